using System.Text.RegularExpressions;
using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed partial class MonitoringTests : IDisposable
{
    private readonly TemporaryFolder _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Every_metric_in_the_alert_rules_and_the_dashboard_is_exported_by_the_server()
    {
        string files = Path.Combine(MarmotServerProcess.RepositoryRoot, "helm", "marmot-server", "files");
        await using var suite = await MarmotServerProcess.StartAsync("all", _data.Path);
        using var client = new HttpClient();
        var exported = new HashSet<string>(StringComparer.Ordinal);
        foreach (Match line in TypeLine().Matches(await client.GetStringAsync(new Uri(suite.AdminUrl, "/metrics"))))
        {
            exported.Add(line.Groups[1].Value);
            if (line.Groups[2].Value == "histogram")
            {
                exported.Add(line.Groups[1].Value + "_bucket");
            }
        }

        foreach (string file in new[] { "alerts.yaml", "dashboard.json" })
        {
            var named = MetricName().Matches(File.ReadAllText(Path.Combine(files, file))).Select(match => match.Value).ToHashSet(StringComparer.Ordinal);
            Assert.True(named.Count > 8, file);
            Assert.Empty(named.Except(exported));
        }
    }

    [GeneratedRegex(@"^# TYPE (\S+) (\S+)$", RegexOptions.Multiline)]
    private static partial Regex TypeLine();

    [GeneratedRegex("(?:marmot|relay)_[a-z0-9_]+")]
    private static partial Regex MetricName();
}
