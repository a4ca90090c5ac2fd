using System.Globalization;
using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>docs/log-messages.md tells the operator what each line of the log means; it and the code are held together.</summary>
public partial class LogTableTests
{
    private sealed record Line(int Id, string Level, string Text, string File);

    [Fact]
    public void Every_log_message_stands_in_the_table_with_its_number_level_and_text()
    {
        var written = Table().Matches(File.ReadAllText(Path.Combine(Repository.Root, "docs", "log-messages.md")))
            .Select(row => $"{row.Groups[1].Value} | {row.Groups[2].Value} | {row.Groups[3].Value}");
        var coded = Lines().Select(line => $"{line.Id} | {line.Level} | {line.Text}").ToList();
        Assert.True(coded.Count > 50, "the messages are found");
        Assert.Equal(coded.Order(StringComparer.Ordinal), written.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Numbers_are_unique_over_all_servers_and_ascend_within_a_file()
    {
        var lines = Lines();
        Assert.Equal(lines.Count, lines.Select(line => line.Id).Distinct().Count());
        Assert.All(lines.GroupBy(line => line.File), file => Assert.Equal(file.Select(line => line.Id).Order(), file.Select(line => line.Id)));
    }

    [Fact]
    public void No_message_is_logged_past_the_numbered_ones() =>
        Assert.Empty(Sources().Where(file => Unnumbered().IsMatch(file.Code)).Select(file => file.Name));

    private static List<Line> Lines() =>
        [.. Sources().SelectMany(file => Message().Matches(file.Code).Select(match => new Line(
            int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture),
            match.Groups[2].Value,
            string.Concat(Literal().Matches(match.Groups[3].Value).Select(part => Regex.Unescape(part.Groups[1].Value))),
            file.Name)))];

    private static IEnumerable<(string Name, string Code)> Sources()
    {
        var src = Path.Combine(Repository.Root, "src") + Path.DirectorySeparatorChar;
        return Repository.Files("*.cs").Where(file => file.StartsWith(src, StringComparison.Ordinal))
            .Select(file => (file[src.Length..], File.ReadAllText(file)));
    }

    [GeneratedRegex(@"\[LoggerMessage\((\d+), LogLevel\.(\w+),(.*?)\)\]\r?$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Message();

    // Another form of the attribute, or a call that needs none.
    [GeneratedRegex(@"\[LoggerMessage\((?!\d+, LogLevel\.)|\.Log(Trace|Debug|Information|Warning|Error|Critical)\(")]
    private static partial Regex Unnumbered();

    [GeneratedRegex("\"((?:[^\"\\\\]|\\\\.)*)\"")]
    private static partial Regex Literal();

    [GeneratedRegex(@"^\| (\d+) \| (\w+) \| (.*?) \| [^|]+ \|\r?$", RegexOptions.Multiline)]
    private static partial Regex Table();
}
