using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Doctor;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer;

/// <summary><c>notify test|doctor</c> and <c>keys new|show</c>. Exit codes: 0 done, 1 failed, 2 wrong usage.</summary>
public static class NotifyCommands
{
    // Where a server started in this folder with default settings keeps its key.
    private static readonly string DefaultKeyFile = Path.Combine("data", "notify.key");

    private const string Usage = """
        keys new [--out FILE]          make a key; prints the public key (FILE: data/notify.key)
        keys show [FILE] [--secret]    print the public key, or on request the secret
        notify test --npub KEY --token TOKEN --relay URL [--platform apns|fcm] [--dialect a|b|c] [--ca FILE] [--admin URL]
                                       send one trigger to a notification server through a relay, and wait for what its provider says
                                       (URL: the server's admin port; http://127.0.0.1:8081 is tried)
        notify doctor [SETTINGS]       look at key, clock, names, TLS, both providers' credentials and the relays; rings nobody
        """;

    public static async Task<int> RunAsync(string[] args)
    {
        switch (args)
        {
            case ["keys", .. var rest]:
                return RunKeys(rest);
            case ["test", .. var rest]:
                return await TestTrigger.RunAsync(rest, Console.Out, Console.Error);
            case ["doctor", .. var rest]:
                return await DoctorCommand.RunAsync(rest, Console.Out, Console.Error);
            case ["--help"]:
                Console.WriteLine(Usage);
                return 0;
            default:
                return WrongUsage();
        }
    }

    private static int RunKeys(string[] args)
    {
        args = args switch
        {
            ["new"] => ["new", "--out", DefaultKeyFile],
            ["show"] => ["show", DefaultKeyFile],
            ["show", "--secret"] => ["show", DefaultKeyFile, "--secret"],
            _ => args,
        };
        try
        {
            switch (args)
            {
                case ["new", "--out", var path]:
                    Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
                    if (!KeyFile.TryCreate(path, out var made))
                    {
                        Console.Error.WriteLine($"{path}: exists already; keys are never overwritten");
                        return 1;
                    }

                    Console.WriteLine(made.ToString());
                    return 0;
                case ["show", var path]:
                    using (var key = KeyFile.Load(path))
                    {
                        Console.WriteLine(key.PublicKey.ToString());
                    }

                    return 0;
                case ["show", var path, "--secret"]:
                    Console.WriteLine(SecretFile.ReadText(path).Trim());
                    return 0;
                default:
                    return WrongUsage();
            }
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
    }

    private static int WrongUsage()
    {
        Console.Error.WriteLine(Usage);
        return 2;
    }
}
