using System.Reflection;
using Marmot.Cli.Agent;

namespace Marmot.Cli;

/// <summary>The command <c>marmot</c>. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage.</summary>
internal static class CommandLine
{
    internal const int Done = 0;
    internal const int Failed = 1;
    internal const int WrongUsage = 2;

    private const string Usage = """
        marmot: a headless client for Marmot groups

        usage: marmot COMMAND [ARGUMENTS]

          agent                   drive a client from another program: one JSON request a line on
                                  stdin, one answer a line on stdout (docs/client.md)

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
            default:
                await Console.Error.WriteLineAsync($"marmot: unknown command '{args[0]}'\n\n{Usage}");
                return WrongUsage;
        }
    }
}
