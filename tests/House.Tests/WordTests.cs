using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>The word list of CONTRIBUTING.md, held over names, comments, texts and docs.</summary>
public partial class WordTests
{
    /// <summary>Folders and files that people read; what is recorded from others (vectors, peers, lock files) speaks their language.</summary>
    private static readonly string[] Places = [
        "src", "tests", "benchmarks", "docs", "deploy", "helm", "eng", "README.md", "SECURITY.md", "Dockerfile", "docker-compose.yml"
    ];

    private static readonly string[] Kinds = [".cs", ".md", ".sh", ".yml", ".yaml", ".service", ".props", ".csproj", ""];

    /// <summary>Each right-hand word of the list, as it is found in text and in names, and what to write instead.</summary>
    private static readonly Dictionary<string, string> Banned = new(StringComparer.Ordinal)
    {
        [@"hardly heard|has spent its"] = "rate limited, over its budget",
        [@"work ?turns?\b|whose turn"] = "fair scheduler, turn",
        [@"\bgiv(e|es|en|ing) ?way\b"] = "yield",
        [@"\bow(e|es|ed|ing)\b|\bSettleAsync\("] = "pending",
        [@"farewell"] = "drain, drain pace",
        [@"keeper\b"] = "blob service",
        [@"examination"] = "deployment check",
        [@"\blone (event|EVENT)"] = "single event",
        [@"\bon trust\b|(?<!\w)(_?is)?unchecked(?! ?\()"] = "deferred",
        [@"\bbad patch\b|\bhurts?\b"] = "corrupt record, damage",
        [@"\bragged\b"] = "torn end",
        [@"\bcom(e|es|ing) again\b|\bwait a little\b"] = "reconnect, back off",
    };

    [Fact]
    public void No_name_and_no_text_uses_a_word_that_the_list_replaces()
    {
        var offenders = new List<string>();
        foreach (var file in Files())
        {
            var at = 0;
            foreach (var line in File.ReadLines(file))
            {
                at++;
                offenders.AddRange(Banned.Where(word => Regex.IsMatch(line, word.Key, RegexOptions.IgnoreCase | RegexOptions.CultureInvariant))
                    .Select(word => $"{Path.GetRelativePath(Repository.Root, file)}:{at}: write \"{word.Value}\""));
            }
        }

        Assert.Empty(offenders);
    }

    /// <summary>How long something is kept is its retention or its lifetime.</summary>
    [Fact]
    public void No_name_in_src_ends_in_Life()
    {
        var src = Path.Combine(Repository.Root, "src") + Path.DirectorySeparatorChar;
        Assert.DoesNotContain(Repository.Files("*.cs"), file => file.StartsWith(src, StringComparison.Ordinal) && Life().IsMatch(File.ReadAllText(file)));
    }

    [Fact]
    public void Every_row_of_the_word_list_is_held()
    {
        var rows = File.ReadLines(Path.Combine(Repository.Root, "CONTRIBUTING.md"))
            .SkipWhile(line => !line.StartsWith("## Words", StringComparison.Ordinal))
            .Where(line => line.StartsWith("| ", StringComparison.Ordinal))
            .Skip(1)
            .Select(line => line.Split('|')[2].Trim())
            .ToList();
        Assert.True(rows.Count >= 13, "the table is read");
        Assert.DoesNotContain(rows, row => row != "life"
            && !Banned.Keys.Any(word => Regex.IsMatch(row, word, RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)));
    }

    private static IEnumerable<string> Files() =>
        Repository.Files("*").Where(file =>
        {
            var parts = Path.GetRelativePath(Repository.Root, file).Split(Path.DirectorySeparatorChar);
            return Places.Contains(parts[0], StringComparer.Ordinal) && !parts.Contains("Vectors")
                && Kinds.Contains(Path.GetExtension(file), StringComparer.Ordinal)
                && Path.GetFileName(file) != "WordTests.cs";
        });

    [GeneratedRegex(@"\w*Life\b")]
    private static partial Regex Life();
}
