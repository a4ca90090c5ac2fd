using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Marmot.Terminal;

/// <summary>The parser's help for the exact command, and below it what holds for all commands.</summary>
internal sealed class HelpWithLastWords(HelpAction help, string lastWords) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        // Else it would tell of "additional arguments", by which a role takes settings that it does not know.
        parseResult.CommandResult.Command.TreatUnmatchedTokensAsErrors = true;
        int exitCode = help.Invoke(parseResult);
        parseResult.InvocationConfiguration.Output.WriteLine(lastWords);
        return exitCode;
    }
}
