using System.CommandLine;
using Marmot.Cli.Agent;
using Marmot.Cli.Commands;
using Marmot.Terminal;

namespace Marmot.Cli;

/// <summary>The command <c>marmot</c>. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage.</summary>
internal static class CommandLine
{
    private const string LastWords = """
        GROUP is the start of a group's id, or its name.
        Exit codes: 0 done, 1 failed, 2 wrong usage.
        """;

    internal static Task<int> RunAsync(string[] args) => ConsoleProgram.RunAsync(Create(), args);

    /// <summary>All commands; see docs/architecture.md.</summary>
    internal static RootCommand Create()
    {
        var root = new RootCommand("a headless client for Marmot groups")
        {
            AccountCommands.CreateInit(),
            AccountCommands.CreateWhoAmI(),
            AccountCommands.CreateKeyPackage(),
            GroupCommands.CreateCommand(),
            MessageCommands.CreateSend(),
            MessageCommands.CreateReact(),
            MessageCommands.CreateMessages(),
            MessageCommands.CreateSync(),
            MessageCommands.CreateMedia(),
            PushCommands.CreateCommand(),
            CreateAgent(),
        };
        AccountOptions.AddTo(root);
        ConsoleProgram.Complete(root, LastWords);
        return root;
    }

    private static Command CreateAgent()
    {
        var agent = new Command("agent", "be driven by another program: one JSON request a line on stdin, one answer a line on stdout (docs/client.md)");
        agent.Validators.Add(given =>
        {
            if (AccountOptions.AnyGiven(given))
            {
                given.AddError("takes no options: the request 'init' names the folder");
            }
        });
        agent.SetAction(async (_, _) =>
        {
            using var input = new StreamReader(Console.OpenStandardInput()); // not Console.In, whose asynchronous reads block
            return await AgentCommand.RunAsync(input, Console.Out);
        });
        return agent;
    }
}
