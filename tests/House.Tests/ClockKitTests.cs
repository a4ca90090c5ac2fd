using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>Fake clocks stand in TestKit, so that no test makes its own notion of time.</summary>
public partial class ClockKitTests
{
    /// <summary>Clocks that one test alone needs, and what no clock of TestKit does.</summary>
    private static readonly Dictionary<string, string> Own = new(StringComparer.Ordinal)
    {
        ["Hosting.Tests/MonotonicTimeTests.cs"] = "counts timestamps of any frequency",
        ["NotifyServer.Tests/Cases/LifecycleCases.cs"] = "throws when it is read",
        ["NotifyServer.Tests/Inbox/RelayBehaviourTests.cs"] = "fires its timers at once and counts them",
    };

    [Fact]
    public void A_clock_of_a_test_stands_in_TestKit()
    {
        var tests = Path.Combine(Repository.Root, "tests");
        var clocks = Repository.Files("*.cs")
            .Where(file => file.StartsWith(tests + Path.DirectorySeparatorChar, StringComparison.Ordinal) && Fake().IsMatch(File.ReadAllText(file)))
            .Select(file => Path.GetRelativePath(tests, file).Replace('\\', '/'))
            .ToList();
        Assert.Contains("TestKit/Clocks/ManualClock.cs", clocks);
        Assert.DoesNotContain(clocks, file => !file.StartsWith("TestKit/Clocks/", StringComparison.Ordinal) && !Own.ContainsKey(file));
    }

    [GeneratedRegex(@"class \w+(\([^)]*\))? : (TimeProvider|FakeTimeProvider)\b")]
    private static partial Regex Fake();
}
