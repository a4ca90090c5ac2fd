using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;

namespace Marmot.Terminal;

/// <summary>The words of a command line that are settings, for the configuration: <c>--config FILE</c>, <c>--Section:Key=value</c>, <c>--Section:Key
/// value</c>.</summary>
/// <remarks>Their names are not known here, so the parser gets each as the value of one option; whoever binds the settings says which do not exist.</remarks>
public static partial class SettingWords
{
    private const string ConfigName = "--config";

    private static readonly Option<string?> Config = new(ConfigName)
    {
        Description = "settings from a JSON file",
        HelpName = "FILE",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private static readonly Option<string[]> Setting = new("--Section:Key")
    {
        Description = "one setting (docs/defaults.md lists them)",
        HelpName = "VALUE",
    };

    /// <summary>What stands before each setting for the parser.</summary>
    internal static string Marker => Setting.Name;

    /// <summary>The command takes settings.</summary>
    public static void TakeSettings(this Command command)
    {
        if (!command.Options.Contains(Config))
        {
            command.Add(Config);
            command.Add(Setting);
        }
    }

    /// <summary>The command itself runs with settings; every word that it does not know is handed on as one of them, so that a misspelt one is refused with
    /// the nearest right name.</summary>
    public static void RunsWithSettings(this Command command, Func<string[], Task<int>> run) => command.RunsWithSettings((settings, _) => run(settings));

    /// <summary>The same for a command with words of its own.</summary>
    public static void RunsWithSettings(this Command command, Func<string[], ParseResult, Task<int>> run)
    {
        command.TakeSettings();
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction((words, _) => run([.. From(words), .. words.UnmatchedTokens], words));
    }

    /// <summary>The settings among the words, as the configuration's command line source reads them.</summary>
    public static string[] From(ParseResult words)
    {
        string[] file = words.GetResult(Config) is not { Implicit: false } given ? [] : given.Tokens is [var name] ? [Config.Name, name.Value] : [Config.Name];
        return [.. file, .. words.GetValue(Setting) ?? []];
    }

    /// <summary>What was typed but for the commands and the settings.</summary>
    public static IEnumerable<string> Without(ParseResult words)
    {
        bool isValue = false;
        foreach (var token in words.Tokens)
        {
            bool isSetting = token.Type == TokenType.Option && (token.Value == Config.Name || token.Value == Setting.Name);
            if (!isSetting && !isValue && token.Type != TokenType.Command)
            {
                yield return token.Value;
            }

            isValue = isSetting;
        }
    }

    /// <summary>True when every word is a whole setting, so that nothing is left to read: the start of a server need not wait for the parser, which costs
    /// about 35 ms.</summary>
    public static bool AreAll(ReadOnlySpan<string> words)
    {
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i] == ConfigName && i + 1 < words.Length && !words[i + 1].StartsWith('-'))
            {
                i++;
                continue;
            }

            int colon = words[i].IndexOf(':', StringComparison.Ordinal), equals = words[i].IndexOf('=', StringComparison.Ordinal);
            if (!words[i].StartsWith("--", StringComparison.Ordinal) || colon < 3 || equals < colon)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Gives each setting the form that the parser knows.</summary>
    internal static List<string> Mark(IReadOnlyList<string> args)
    {
        var marked = new List<string>(args.Count);
        for (int i = 0; i < args.Count; i++)
        {
            string word = args[i];
            if (word == "--")
            {
                marked.AddRange(args.Skip(i));
                break;
            }

            if (!IsSetting(word))
            {
                marked.Add(word);
                continue;
            }

            // The value of --Section:Key is the next word.
            if (!word.Contains('=', StringComparison.Ordinal) && i + 1 < args.Count && !args[i + 1].StartsWith("--", StringComparison.Ordinal))
            {
                word = $"{word}={args[++i]}";
            }

            marked.AddRange([Setting.Name, word]);
        }

        return marked;
    }

    /// <summary>A name of parts with colons between them; one whose dashes were forgotten too, so that this can be said.</summary>
    internal static bool IsSetting(string word) => Written().IsMatch(word);

    /// <summary>True for a <c>--config</c> whose file's name is missing.</summary>
    internal static bool LacksFile(ParseResult words) => words.GetResult(Config) is { Implicit: false, Tokens.Count: 0 };

    [GeneratedRegex("^(--[A-Za-z]\\w*(:\\w+)+($|=)|[-/]?[A-Za-z]\\w*(:\\w+)+=)", RegexOptions.CultureInvariant)]
    private static partial Regex Written();
}
