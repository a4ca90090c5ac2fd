using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>How long lines, files and classes may be, in src, tests and benchmarks alike.</summary>
public partial class SizeRulesTests
{
    private const int MaxColumns = 160;
    private const int MaxFileLines = 500;
    private const int MaxClassLines = 800;

    /// <summary>Classes that may be longer over all their partial files, and why.</summary>
    private static readonly Dictionary<string, string> LongClasses = new(StringComparer.Ordinal)
    {
        ["Marmot.Mls.Groups.Group"] = "the state machine of RFC 9420, whose steps share the epoch's secrets; its files are its topics",
        ["Marmot.Client.Adopted.AdoptedGroup"] = "the states of a window, which receiving, passes and sending change in one batch; its files are its topics",
    };

    [Fact]
    public void No_line_is_longer_than_160_columns()
    {
        var offenders = Repository.Files("*.cs").SelectMany(file => File.ReadLines(file)
            .Select((line, at) => (Columns: line.Length, Place: $"{Path.GetRelativePath(Repository.Root, file)}:{at + 1}"))
            .Where(line => line.Columns > MaxColumns)
            .Select(line => $"{line.Place}: {line.Columns} columns"));
        Assert.Empty(offenders);
    }

    [Fact]
    public void No_file_is_longer_than_500_lines()
    {
        var offenders = Repository.Files("*.cs")
            .Select(file => (Lines: File.ReadLines(file).Count(), Name: Path.GetRelativePath(Repository.Root, file)))
            .Where(file => file.Lines > MaxFileLines)
            .Select(file => $"{file.Name}: {file.Lines} lines");
        Assert.Empty(offenders);
    }

    [Fact]
    public void No_class_but_those_named_here_has_more_than_800_lines_over_its_partial_files()
    {
        var classes = Repository.Files("*.cs")
            .Select(file => (File: file, Text: File.ReadAllText(file)))
            .SelectMany(file => Partial().Matches(file.Text)
                .Select(match => (Name: $"{Namespace().Match(file.Text).Groups[1].Value}.{match.Groups[1].Value}", file.Text)).Distinct())
            .GroupBy(part => part.Name, part => part.Text.Count(c => c == '\n'))
            .ToDictionary(parts => parts.Key, parts => parts.Sum());
        Assert.Contains("Marmot.Client.Groups.GroupReceiver", classes.Keys);
        Assert.Empty(classes.Where(one => one.Value > MaxClassLines && !LongClasses.ContainsKey(one.Key)).Select(one => $"{one.Key}: {one.Value} lines"));
        Assert.DoesNotContain(LongClasses.Keys, name => classes.GetValueOrDefault(name) <= MaxClassLines);
    }

    [GeneratedRegex(@"^namespace ([\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"^[\w ]*\bpartial (?:class|struct|record|record struct|record class) (\w+)", RegexOptions.Multiline)]
    private static partial Regex Partial();
}
