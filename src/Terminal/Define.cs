using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Marmot.Terminal;

/// <summary>The kinds of options and arguments that commands have, each with its mistakes in plain words.</summary>
public static class Define
{
    /// <summary>An option that is there or not.</summary>
    public static Option<bool> Flag(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.Zero };

    /// <summary>An option with a text; null when it is not given.</summary>
    public static Option<string?> Text(string name, string valueName, string description) => new(name) { Description = description, HelpName = valueName };

    /// <summary>An option that may be repeated; empty when it is not given.</summary>
    public static Option<string[]> List(string name, string valueName, string description) =>
        new(name) { Description = description, HelpName = valueName, DefaultValueFactory = _ => [] };

    /// <summary>An option with one of a few words; the first one is the default.</summary>
    public static Option<string> Choice(string name, string description, params string[] words)
    {
        var option = new Option<string>(name) { Description = description, HelpName = string.Join('|', words), DefaultValueFactory = _ => words[0] };
        option.CompletionSources.Add(words);
        option.Validators.Add(result =>
        {
            if (result.Tokens is [.., var given] && !words.Contains(given.Value))
            {
                result.AddError($"{name}: {Either(words)}, not '{given.Value}'");
            }
        });
        return option;
    }

    /// <summary>An option with a whole number within bounds.</summary>
    public static Option<int> Number(string name, string valueName, string description, int least, int most, int byDefault) => Parsed(
        new Option<int>(name) { Description = description, HelpName = valueName, DefaultValueFactory = _ => byDefault },
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most
            ? (number, null)
            : (0, most == int.MaxValue ? $"'{text}' is not a number from {least} on" : $"'{text}' is not a number from {least} to {most}"));

    /// <summary>An option whose text is read into a value, or refused with a reason.</summary>
    public static Option<T> Parsed<T>(string name, string valueName, string description, Func<string, (T Value, string? Mistake)> read) =>
        Parsed(new Option<T>(name) { Description = description, HelpName = valueName }, read);

    /// <summary>An argument that must be there.</summary>
    public static Argument<string> Word(string name, string description) => new(name) { Description = description };

    /// <summary>An argument that is one of a few words.</summary>
    public static Argument<string> WordOf(string name, string description, params string[] words)
    {
        var argument = ParsedWord(name, description, text => (text, words.Contains(text) ? null : $"{Either(words)}, not '{text}'"));
        argument.HelpName = string.Join('|', words);
        argument.CompletionSources.Add(words);
        return argument;
    }

    /// <summary>An argument that must be there, whose text is read into a value, or refused with a reason.</summary>
    public static Argument<T> ParsedWord<T>(string name, string description, Func<string, (T Value, string? Mistake)> read) => new(name)
    {
        Description = description,
        Arity = ArgumentArity.ExactlyOne,
        CustomParser = result =>
        {
            var (value, mistake) = read(result.Tokens[^1].Value);
            if (mistake is not null)
            {
                result.AddError(mistake);
            }

            return value;
        },
    };

    /// <summary>An argument that may be left out: null then.</summary>
    public static Argument<string?> OptionalWord(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.ZeroOrOne };

    /// <summary>All that follows: at least one.</summary>
    public static Argument<string[]> Words(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.OneOrMore };

    /// <summary>All that follows: perhaps nothing.</summary>
    public static Argument<string[]> AnyWords(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.ZeroOrMore };

    private static string Either(string[] words) => $"{string.Join(", ", words[..^1])} or {words[^1]}";

    private static Option<T> Parsed<T>(Option<T> option, Func<string, (T Value, string? Mistake)> read)
    {
        option.CustomParser = result =>
        {
            var (value, mistake) = read(result.Tokens[^1].Value);
            if (mistake is not null)
            {
                result.AddError($"{option.Name}: {mistake}");
            }

            return value;
        };
        return option;
    }
}
