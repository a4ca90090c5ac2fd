using System.CommandLine;
using Marmot.AllInOne.Doctor;
using Marmot.Blossom.Commands;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.NotifyServer;
using Marmot.ProviderSimulators;
using Marmot.Relay;
using Marmot.Terminal;

namespace Marmot.AllInOne;

/// <summary>The command <c>marmot-server</c>. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or settings.</summary>
internal static class CommandLine
{
    private const string LastWords = """
        Settings: --config FILE (JSON), environment (Section__Key), --Section:Key=value; docs/defaults.md lists them all.
        Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
        """;

    internal static Task<int> RunAsync(string[] args) => args switch
    {
        // What starts a server, and what a container asks every few seconds, in the form that scripts use: it can mean nothing else.
        ["all", .. var settings] when SettingWords.AreAll(settings) => RoleHost.RunAsync(Roles.All, settings),
        ["relay", .. var settings] when SettingWords.AreAll(settings) => RoleHost.RunAsync(Roles.Relay, settings),
        ["blossom", .. var settings] when SettingWords.AreAll(settings) => RoleHost.RunAsync(Roles.Blossom, settings),
        ["notify", .. var settings] when SettingWords.AreAll(settings) => RoleHost.RunAsync(Roles.Notify, settings),
        ["healthcheck", .. var settings] when SettingWords.AreAll(settings) => HealthCheckCommand.RunAsync(settings),
        _ => ConsoleProgram.RunAsync(Create(), args),
    };

    /// <summary>All commands. A room adds its own below its role; see docs/architecture.md.</summary>
    internal static RootCommand Create()
    {
        var relay = Role("relay", "the Nostr relay", Roles.Relay);
        RelayCommands.AddTo(relay);
        var blossom = Role("blossom", "the blob store", Roles.Blossom);
        BlossomCommands.AddTo(blossom);
        var notify = Role("notify", "the push server (MIP-05, marmot-push-v1)", Roles.Notify);
        NotifyCommands.AddTo(notify);
        var root = new RootCommand("relay, Blossom and push server for Marmot groups")
        {
            Role("all", "relay, Blossom and notification server in one process", Roles.All),
            relay,
            blossom,
            notify,
            ModerationCommands.CreateCommand(RelayCommands.WithDecisionsAsync),
            NotifyCommands.CreateKeys(),
            CreateConfig(),
            SimCommands.CreateCommand(),
            DoctorCommand.CreateCommand(),
            CreateHealthCheck(),
            ConsoleCommands.CreateCommand(),
            ConfigImport.CreateCommand(),
        };
        ConsoleProgram.Complete(root, LastWords);
        return root;
    }

    private static Command Role(string name, string description, Roles roles)
    {
        var command = new Command(name, description);
        command.RunsWithSettings(settings => RoleHost.RunAsync(roles, settings));
        return command;
    }

    private static Command CreateConfig()
    {
        var online = Define.Flag("--online", "ask PostgreSQL, Redis and S3 too");
        var check = new Command("check", "validate all settings, all mistakes at once, exit code 1") { online };
        check.RunsWithSettings((settings, words) => RoleHost.CheckSettingsAsync(settings, words.GetValue(online)));
        return new Command("config", "the settings") { check };
    }

    private static Command CreateHealthCheck()
    {
        var command = new Command("healthcheck", "ask the admin port whether this machine's server is ready");
        command.TakeSettings();
        command.SetAction((words, _) => HealthCheckCommand.RunAsync(SettingWords.From(words)));
        return command;
    }
}
