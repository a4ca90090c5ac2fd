using System.CommandLine;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Doctor;
using Marmot.Platform.Files;
using Marmot.Terminal;

namespace Marmot.NotifyServer;

/// <summary><c>notify test|doctor</c> and <c>keys new|show</c>. Exit codes: 0 done, 1 failed, 2 wrong usage.</summary>
public static class NotifyCommands
{
    // Where a server started in this folder with default settings keeps its key.
    private static readonly string DefaultKeyFile = Path.Combine("data", "notify.key");

    /// <summary>Adds <c>test</c> and <c>doctor</c> below the command of the role.</summary>
    public static void AddTo(Command notify)
    {
        var doctor = new Command("doctor",
            "look at key, clock, names, TLS, both providers' credentials and the relays from where the server runs; rings nobody");
        doctor.TakeSettings();
        doctor.SetAction((words, _) => DoctorCommand.RunAsync(SettingWords.From(words), Console.Out, Console.Error));
        notify.Add(TestTrigger.CreateCommand());
        notify.Add(doctor);
    }

    /// <summary><c>keys new|show</c>.</summary>
    public static Command CreateKeys()
    {
        var made = Define.Text("--out", "FILE", $"where it goes (default: {DefaultKeyFile})");
        var shown = Define.OptionalWord("FILE", $"the key's file (default: {DefaultKeyFile})");
        var secret = Define.Flag("--secret", "print the secret instead");
        var create = new Command("new", "make a key and print its public half; a file is never overwritten") { made };
        create.SetAction(words => Guard(() => Create(words.GetValue(made) ?? DefaultKeyFile)));
        var show = new Command("show", "print the public key, or on request the secret") { shown, secret };
        show.SetAction(words => Guard(() => Show(words.GetValue(shown) ?? DefaultKeyFile, words.GetValue(secret))));
        return new Command("keys", "the operator's keys") { create, show };
    }

    private static int Create(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        if (!KeyFile.TryCreate(path, out var made))
        {
            Console.Error.WriteLine($"{path}: exists already; keys are never overwritten");
            return ExitCodes.Failed;
        }

        Console.WriteLine(made.ToString());
        return ExitCodes.Done;
    }

    private static int Show(string path, bool isSecret)
    {
        if (isSecret)
        {
            Console.WriteLine(SecretFile.ReadText(path).Trim());
            return ExitCodes.Done;
        }

        using var key = KeyFile.Load(path);
        Console.WriteLine(key.PublicKey.ToString());
        return ExitCodes.Done;
    }

    private static int Guard(Func<int> run)
    {
        try
        {
            return run();
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine(e.Message);
            return ExitCodes.Failed;
        }
    }
}
