using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;

namespace Marmot.Terminal;

/// <summary>Reads the command line of a program and runs the command that it names. Exit codes: <see cref="ExitCodes"/>.</summary>
public static class ConsoleProgram
{
    // No files of words (@FILE) and no letters in one word: both would change what is text.
    private static readonly ParserConfiguration Rules = new() { ResponseFileTokenReplacer = null, EnablePosixBundling = false };

    /// <summary>Adds what every program has: its completion, and a last paragraph to the help of each command.</summary>
    public static void Complete(RootCommand root, string lastWords)
    {
        root.Add(Completion.CreateCommand());
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithLastWords((HelpAction)help.Action!, lastWords);
    }

    /// <summary>Runs the command on the process's own streams.</summary>
    public static Task<int> RunAsync(RootCommand root, IReadOnlyList<string> args) => RunAsync(root, args, Console.Out, Console.Error);

    /// <summary>Runs the command; help goes to <paramref name="output"/>, mistakes go to <paramref name="error"/>.</summary>
    /// <exception cref="Exception">What the command throws.</exception>
    public static async Task<int> RunAsync(RootCommand root, IReadOnlyList<string> args, TextWriter output, TextWriter error,
        CancellationToken cancel = default)
    {
        // Signals and exceptions are the command's own business.
        var streams = new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        if (args.Count == 0 && root.Action is null)
        {
            await root.Parse(["--help"]).InvokeAsync(streams, cancel);
            return ExitCodes.WrongUsage;
        }

        var words = Parse(root, args, out var mistakes);
        if (mistakes.Count > 0)
        {
            string path = PathOf(words.CommandResult);
            foreach (string mistake in mistakes)
            {
                await error.WriteLineAsync($"{path}: {mistake}");
            }

            await error.WriteLineAsync($"'{path} --help' shows how it is used");
            return ExitCodes.WrongUsage;
        }

        return await words.InvokeAsync(streams, cancel);
    }

    /// <summary>What was typed, and every mistake in it; <c>help WORDS</c> is <c>WORDS --help</c>.</summary>
    public static ParseResult Parse(Command root, IReadOnlyList<string> args, out IReadOnlyList<string> mistakes)
    {
        if (args is ["help", ..])
        {
            args = [.. args.Skip(1), "--help"];
        }

        var words = root.Parse(SettingWords.Mark(args), Rules);
        mistakes = FindMistakes(words, args);
        return words;
    }

    private static List<string> FindMistakes(ParseResult words, IReadOnlyList<string> args)
    {
        if (words.Tokens.Any(token => token.Type == TokenType.Directive))
        {
            return [];
        }

        var command = words.CommandResult.Command;
        bool isLenient = !command.TreatUnmatchedTokensAsErrors;
        var names = OptionNames(words.CommandResult);
        var unknown = new List<string>();
        unknown.AddRange(words.UnmatchedTokens.Where((word, i) => !isLenient || (command.Subcommands.Count > 0 && !IsHandedOn(words.UnmatchedTokens, i))));

        // The parser takes an option that it does not know for an argument.
        if (!isLenient)
        {
            unknown.AddRange(args.TakeWhile(word => word != "--").Where(word => word.Length > 2 && word.StartsWith("--", StringComparison.Ordinal)
                && !names.Contains(NameOf(word)) && !SettingWords.IsSetting(word) && !unknown.Contains(word)));
        }

        if (unknown.Count > 0)
        {
            // Its values are not told apart from it: one mistake is enough.
            return [Describe(unknown.Find(word => word.StartsWith('-')) ?? unknown[0], command, names)];
        }

        if (command.Action is null && words.Action is null or ParseErrorAction && command.Subcommands.Count > 0)
        {
            return [$"say which: {string.Join(", ", command.Subcommands.Where(sub => !sub.Hidden).Select(sub => sub.Name))}"];
        }

        var mistakes = words.Errors.Select(error => error.Message.ReplaceLineEndings(" ")).ToList();
        if (!isLenient && SettingWords.LacksFile(words))
        {
            mistakes.Add("--config: the file's name is missing");
        }

        return mistakes;
    }

    // What a role takes for a setting: a word with dashes, or the value behind one.
    private static bool IsHandedOn(IReadOnlyList<string> words, int i) =>
        words[i].StartsWith('-') || (i > 0 && words[i - 1].StartsWith('-') && !words[i - 1].Contains('=', StringComparison.Ordinal));

    private static string Describe(string word, Command command, IReadOnlyCollection<string> options)
    {
        if (SettingWords.IsSetting(word) || word == SettingWords.Marker)
        {
            return "takes no settings";
        }

        bool isOption = word.StartsWith('-');
        string name = isOption ? NameOf(word) : word;
        string? meant = Spelling.Meant(name, isOption ? options : command.Subcommands.SelectMany(sub => sub.Aliases.Append(sub.Name)));
        string what = isOption ? "unknown option" : command.Subcommands.Count > 0 ? "unknown command" : "unexpected";
        return $"{what} '{name}'" + (meant is null ? "" : $"; did you mean '{meant}'?");
    }

    private static string NameOf(string word) => word.Split('=', ':')[0];

    private static HashSet<string> OptionNames(CommandResult result)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var at = result; at is not null; at = at.Parent as CommandResult)
        {
            foreach (var option in at.Command.Options.Where(option => at == result || option.Recursive))
            {
                names.Add(option.Name);
                names.UnionWith(option.Aliases);
            }
        }

        return names;
    }

    private static string PathOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{PathOf(parent)} {result.Command.Name}" : result.Command.Name;
}
