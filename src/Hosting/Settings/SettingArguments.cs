namespace Marmot.Hosting.Settings;

/// <summary>The words of a command line that are settings: <c>--config FILE</c>, <c>--Section:Key=value</c> or <c>--Section:Key value</c>.</summary>
/// <remarks>The framework's command line source takes <c>Key=value</c> without dashes and skips what it does not understand; an operator's typing error then
/// changes nothing and is not noticed.</remarks>
public static class SettingArguments
{
    /// <summary>Every word that is not a setting in one of these forms.</summary>
    /// <param name="args">The command line after the command word.</param>
    /// <returns>One sentence a mistake, the word in front; empty when all is well.</returns>
    public static IReadOnlyList<string> FindMistakes(IReadOnlyList<string> args)
    {
        var mistakes = new List<string>();
        for (int i = 0; i < args.Count; i++)
        {
            string word = args[i];
            string name = word.TrimStart('-', '/');
            int equals = name.IndexOf('=', StringComparison.Ordinal);
            if (!word.StartsWith("--", StringComparison.Ordinal))
            {
                mistakes.Add(equals > 0 || name.Contains(':', StringComparison.Ordinal)
                    ? $"{word}: a setting starts with two dashes: --{name}"
                    : $"{word}: is no setting. Settings are written --Section:Key=value.");
            }
            else if (equals < 0)
            {
                // The value is the next word.
                if (i + 1 == args.Count || args[i + 1].StartsWith("--", StringComparison.Ordinal))
                {
                    mistakes.Add(name == "config" ? "--config: the file's name is missing" : $"{word}: the value is missing: {word}=VALUE");
                }
                else
                {
                    i++;
                }
            }
            else if (name.StartsWith("urls=", StringComparison.OrdinalIgnoreCase))
            {
                mistakes.Add($"{word}: no such setting; settings are written Section:Key. Did you mean Public:Urls?");
            }
            else if (equals == 0)
            {
                mistakes.Add($"{word}: the name of the setting is missing: --Section:Key=value");
            }
        }

        return mistakes;
    }
}
