using System.Reflection;
using Marmot.Blossom.Commands;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.NotifyServer;
using Marmot.ProviderSimulators;
using Marmot.Relay;

namespace Marmot.AllInOne;

/// <summary>The command <c>marmot-server</c>. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or settings.</summary>
internal static class CommandLine
{
    internal const int Done = 0;
    internal const int Failed = 1;
    internal const int WrongUsage = 2;

    private const string Usage = """
        marmot-server: relay, Blossom and push server for Marmot groups

        usage: marmot-server COMMAND [ARGUMENTS]

          all                     relay, Blossom and notification server in one process
          relay                   the Nostr relay
          relay import|export|stats|list|delete|compact|sync|migrate
                                  work on the relay's store, also while the relay runs (all but compact)
          blossom                 the blob store
          blossom stats|list|delete|verify|import|export|gc|reports
                                  work on the blobs, also while the server runs
          notify                  the push server (MIP-05, marmot-push-v1)
          notify test             send a trigger through a running push server
          notify doctor           look at its key, clock, credentials and relays from where it runs
          moderation list|log|ban|unban|block|unblock|allow|unallow
                                  bans and allow list of all roles, also while they run
          console login           a link into the console on the admin port
          keys new|show           the operator's keys
          config check [--online] validate all settings, all mistakes at once; --online asks PostgreSQL, Redis and S3 too
          import-config transponder|strfry FILE
                                  our settings for those of another server
          sim apns|fcm            a push provider simulator
          doctor                  prove a deployment from the outside, step by step
          healthcheck             ask the admin port whether this machine's server is ready

        settings: --config FILE (JSON), environment (Section__Key), --Section:Key=value
                  docs/defaults.md lists them all
        exit codes: 0 done, 1 failed, 2 wrong usage or settings
        """;

    internal static async Task<int> RunAsync(string[] args)
    {
        string command = args.Length > 0 ? args[0] : "--help";
        string[] rest = args.Length > 0 ? args[1..] : [];
        bool hasSubcommand = rest.Length > 0 && !rest[0].StartsWith('-');
        if (rest.Any(word => word is "--help" or "-h") && await TryHelpAsync(command))
        {
            return Done;
        }

        switch (command)
        {
            case "all" when !hasSubcommand || IsSetting(rest[0]):
                return await RoleHost.RunAsync(Roles.All, rest);
            case "relay":
                return hasSubcommand && !IsSetting(rest[0]) ? await RelayCommands.RunAsync(rest) : await RoleHost.RunAsync(Roles.Relay, rest);
            case "blossom":
                return hasSubcommand && !IsSetting(rest[0]) ? await BlossomCommands.RunAsync(rest) : await RoleHost.RunAsync(Roles.Blossom, rest);
            case "notify":
                return hasSubcommand && !IsSetting(rest[0]) ? await NotifyCommands.RunAsync(rest) : await RoleHost.RunAsync(Roles.Notify, rest);
            case "console":
                return await ConsoleCommands.RunAsync(rest);
            case "moderation":
                return await ModerationCommands.RunAsync(rest, RelayCommands.WithDecisionsAsync);
            case "keys":
                return await NotifyCommands.RunAsync(["keys", .. rest]);
            case "sim":
                return await SimCommands.RunAsync(rest);
            case "config" when rest.Length > 0 && rest[0] == "check":
                return await RoleHost.CheckSettingsAsync(rest[1..]);
            case "import-config":
                return await ConfigImport.RunAsync(rest);
            case "doctor":
                return await Doctor.DoctorCommand.RunAsync(rest);
            case "healthcheck":
                return await HealthCheckCommand.RunAsync(rest);
            case "--version":
                Console.WriteLine(Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion);
                return Done;
            case "help" or "--help" or "-h":
                Console.WriteLine(Usage);
                return args.Length > 0 ? Done : WrongUsage;
            default:
                await Console.Error.WriteLineAsync($"marmot-server: unknown command '{string.Join(' ', args.Take(2))}'\n\n{Usage}");
                return WrongUsage;
        }
    }

    // A setting whose dashes were forgotten is no command; what is wrong with it is said where settings are read.
    private static bool IsSetting(string word) => word.Contains(':', StringComparison.Ordinal) && word.Contains('=', StringComparison.Ordinal);

    // Whoever asks for help wants nothing started, wherever the word stands.
    private static async Task<bool> TryHelpAsync(string command)
    {
        if (command is "relay" or "blossom" or "notify")
        {
            Console.WriteLine(
                $"usage: marmot-server {command} [--config FILE] [--Section:Key=value ...]\n  runs it until it is told to stop; docs/defaults.md lists the "
                    + $"settings\n");
        }

        Task<int> shown = command switch
        {
            "relay" => RelayCommands.RunAsync(["--help"]),
            "blossom" => BlossomCommands.RunAsync(["--help"]),
            "notify" or "keys" => NotifyCommands.RunAsync(["--help"]),
            "console" => ConsoleCommands.RunAsync(["--help"]),
            "moderation" => ModerationCommands.RunAsync(["--help"], RelayCommands.WithDecisionsAsync),
            "import-config" => ConfigImport.RunAsync(["--help"]),
            "sim" => SimCommands.RunAsync(["--help"]),
            "doctor" => Doctor.DoctorCommand.RunAsync(["--help"]),
            "all" or "config" or "healthcheck" => RunAsync(["--help"]),
            _ => Task.FromResult(WrongUsage),
        };
        return await shown == Done;
    }
}
