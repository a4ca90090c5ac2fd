using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

public partial class DocumentationTests
{
    [Fact]
    public void Every_file_named_in_the_architecture_page_exists()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "architecture.md"));
        var named = CodeSpan().Matches(page).Select(match => match.Groups[1].Value).Where(name => name.Contains('/', StringComparison.Ordinal))
            .Distinct().ToList();
        Assert.NotEmpty(named);
        Assert.DoesNotContain(named, name => !Path.Exists(Path.Combine(Repository.Root, name)));
    }

    /// <summary>The walks name a method in brackets after its file.</summary>
    [Fact]
    public void Every_method_named_in_the_architecture_page_stands_in_its_file()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "architecture.md"));
        var steps = Step().Matches(page)
            .SelectMany(match => match.Groups[2].Captures.Select(method => (File: match.Groups[1].Value, Method: method.Value)))
            .ToList();
        Assert.True(steps.Count > 20, "the page walks by file and method");
        Assert.DoesNotContain(steps, step => !Regex.IsMatch(File.ReadAllText(Path.Combine(Repository.Root, step.File)), $@"\b{step.Method}(<\w+>)?\("));
    }

    [Fact]
    public void Every_test_named_in_a_conformance_page_exists()
    {
        var tests = Repository.Files("*.cs").Where(file => file.Contains("tests", StringComparison.Ordinal))
            .SelectMany(file => Method().Matches(File.ReadAllText(file)).Select(match => match.Groups[1].Value))
            .ToHashSet(StringComparer.Ordinal);
        var missing = Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs", "conformance"), "*.md")
            .SelectMany(page => CodeSpan().Matches(File.ReadAllText(page)).Select(match => (Page: Path.GetFileName(page), Name: match.Groups[1].Value)))
            .Where(row => Sentence().IsMatch(row.Name) && !tests.Contains(row.Name))
            .Select(row => row.Page + ": " + row.Name);
        Assert.Empty(missing);
    }

    [Fact]
    public void No_folder_is_named_like_a_public_type_in_it()
    {
        var offenders = Repository.Files("*.cs")
            .Where(file => Path.GetFileNameWithoutExtension(file) == Path.GetFileName(Path.GetDirectoryName(file))
                && file.Contains($"{Path.DirectorySeparatorChar}src{Path.DirectorySeparatorChar}", StringComparison.Ordinal));
        Assert.Empty(offenders);
    }

    [GeneratedRegex("`([^`\\s]+)`")]
    private static partial Regex CodeSpan();

    // `src/A/B.cs` (`MethodOne`, `MethodTwo`)
    [GeneratedRegex(@"`(src/[^`]+\.cs)`\s+\((?:`(\w+)`(?:,\s+)?)+\)")]
    private static partial Regex Step();

    [GeneratedRegex(@"public (?:async )?(?:Task|void|ValueTask) (\w+)\(")]
    private static partial Regex Method();

    // A test's name is a sentence: capital letter, at least three words joined by underscores.
    [GeneratedRegex("^[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+){2,}$")]
    private static partial Regex Sentence();
}
