using System.Reflection;
using Marmot.Cli.Agent;
using Marmot.Cli.Commands;
using Marmot.Client;
using Marmot.Client.Storage;

namespace Marmot.Cli;

/// <summary>The command <c>marmot</c>. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage.</summary>
internal static class CommandLine
{
    internal const int Done = 0;
    internal const int Failed = 1;
    internal const int WrongUsage = 2;

    private const string Usage = """
        marmot: a headless client for Marmot groups

        usage: marmot COMMAND [ARGUMENTS] [--home FOLDER] [--json]

          init --relay URL...         make an account here and publish its key package; again: changes what is named
               [--blossom URL...] [--inbox-relay URL...] [--key-package-relay URL...]
               [--name TEXT] [--key-file FILE with an nsec] [--profile mip|adopted]
          whoami                      the account, and what waits to be sent
          key-package [list]          own key packages
          key-package publish [--legacy] [--once] [--slot D] | rotate [REF] | delete REF
          group [list]                all groups
          group create NAME [--description TEXT] [--relay URL...]
          group members|leave|renew GROUP
          group invite GROUP NPUB...  | remove GROUP NPUB | admin GROUP NPUB...
          group rename GROUP NAME     | describe GROUP TEXT
          group image GROUP set FILE|get FILE|remove
          group retention GROUP SECONDS (0: off) | disband GROUP (adopted profile)
          send GROUP TEXT             | send GROUP - reads standard input | react GROUP MESSAGE [EMOJI]
          messages GROUP [--last N]
          sync [--follow]             join, read, renew keys; with --follow stay and print
          media put GROUP FILE [--type T] [--caption TEXT] | get GROUP MESSAGE [--out FILE]
          push register GROUP --platform apns|fcm --token-file FILE --server NPUB --relay URL
          push off|ring GROUP
          agent                       drive a client from another program: one JSON request a line
                                      on stdin, one answer a line on stdout (docs/client.md)

        GROUP is the start of a group's id, or its name. The account lies in --home, $MARMOT_HOME or
        ~/.local/share/marmot, encrypted under FOLDER/store.key or --passphrase-file FILE.
        exit codes: 0 done, 1 failed, 2 wrong usage
        """;

    internal static async Task<int> RunAsync(string[] args)
    {
        switch (args.Length > 0 ? args[0] : "--help")
        {
            case "agent" when args.Length == 1:
                // Not Console.In, whose asynchronous reads block.
                using (var input = new StreamReader(Console.OpenStandardInput()))
                {
                    return await AgentCommand.RunAsync(input, Console.Out);
                }

            case "--version":
                Console.WriteLine(Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion);
                return Done;
            case "help" or "--help" or "-h":
                Console.WriteLine(Usage);
                return args.Length > 0 ? Done : WrongUsage;
        }

        try
        {
            var words = new Arguments(args[1..]);
            if (words.Flag("--help"))
            {
                Console.WriteLine(Usage);
                return Done;
            }

            return await RunAsync(args[0], words);
        }
        catch (UsageException wrong)
        {
            await Console.Error.WriteLineAsync($"marmot {args[0]}: {wrong.Message}\n'marmot --help' shows all commands");
            return WrongUsage;
        }
        catch (Exception failure)
            when (failure is ClientException or IOException or InvalidDataException or UnauthorizedAccessException or OperationCanceledException
                or DllNotFoundException)
        {
            await Console.Error.WriteLineAsync($"marmot {args[0]}: {failure.Message}");
            return Failed;
        }
    }

    private static async Task<int> RunAsync(string command, Arguments args)
    {
        Func<Context, Arguments, Task> run = command switch
        {
            "init" => AccountCommands.InitAsync,
            "whoami" => Now(AccountCommands.WhoAmI),
            "key-package" => AccountCommands.KeyPackageAsync,
            "group" => GroupCommands.RunAsync,
            "send" => MessageCommands.SendAsync,
            "react" => MessageCommands.ReactAsync,
            "messages" => Now(MessageCommands.Messages),
            "sync" => MessageCommands.SyncAsync,
            "media" => MessageCommands.MediaAsync,
            "push" => PushCommands.RunAsync,
            _ => throw new UsageException("no such command"),
        };
        string home = args.Option("--home") ?? Environment.GetEnvironmentVariable("MARMOT_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "marmot");
        string? passphraseFile = args.Option("--passphrase-file");
        bool json = args.Flag("--json");
        if (command != "init" && !File.Exists(Path.Combine(home, ClientStore.FileName)))
        {
            throw new ClientException($"there is no account in {home} yet; 'marmot init --relay URL' makes one");
        }

        using var secret = StoreLocation.SecretFor(home, passphraseFile);
        await using var context = new Context(ClientStore.Open(home, secret), json, Console.Out);
        await run(context, args);
        return context.HasFailed ? Failed : Done;
    }

    private static Func<Context, Arguments, Task> Now(Action<Context, Arguments> command) => (context, args) =>
    {
        command(context, args);
        return Task.CompletedTask;
    };
}
