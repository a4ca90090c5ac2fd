using System.Globalization;
using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>Kind numbers stand once, in src/Protocol/Events/EventKinds.cs; everybody else names them.</summary>
public partial class KindNumberTests
{
    /// <summary>Below this a number may be anything.</summary>
    private const int Smallest = 443;

    /// <summary>Files in which such a number is something else.</summary>
    private static readonly Dictionary<string, string> Others = new(StringComparer.Ordinal)
    {
        ["Hosting/ConsolePages/ConsoleAssets.cs"] = "the script of a page",
        ["Protocol/Components/NormalizedUrl.cs"] = "443 is the port of HTTPS",
        ["Protocol/Events/EventKinds.cs"] = "the list itself",
    };

    [Fact]
    public void No_code_in_src_writes_a_kind_as_a_number()
    {
        var src = Path.Combine(Repository.Root, "src");
        var kinds = Constant().Matches(File.ReadAllText(Path.Combine(src, "Protocol", "Events", "EventKinds.cs")))
            .Select(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))
            .ToList();
        Assert.Equal(kinds.Count, kinds.Distinct().Count());
        var numbers = new Regex($@"(?<![\w.])({string.Join('|', kinds.Where(kind => kind >= Smallest))})(?![\w.])", RegexOptions.CultureInvariant);
        var offenders = Repository.Files("*.cs")
            .Where(file => file.StartsWith(src + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            .Select(file => (Name: Path.GetRelativePath(src, file).Replace('\\', '/'), Code: Text().Replace(File.ReadAllText(file), "")))
            .Where(file => !Others.ContainsKey(file.Name) && numbers.IsMatch(file.Code))
            .Select(file => $"{file.Name}: {numbers.Match(file.Code).Value}");
        Assert.Empty(offenders);
    }

    [GeneratedRegex(@"const int \w+ = (\d+);")]
    private static partial Regex Constant();

    // Comments and one-line strings.
    [GeneratedRegex("//[^\\n]*|\"(?:\\\\.|[^\"\\\\\\n])*\"")]
    private static partial Regex Text();
}
