using System.Diagnostics.Metrics;
using Marmot.Hosting.Metrics;

namespace Marmot.Hosting.Tests.Metrics;

public class PrometheusTextTests
{
    [Fact]
    public void Counters_sum_by_label_and_end_in_total()
    {
        using var text = new PrometheusText();
        using var meter = new Meter("marmot.test.counters");
        var counter = meter.CreateCounter<long>("marmot.test.events", description: "Events seen.");
        counter.Add(2, KeyValuePair.Create("outcome", (object?)"stored"));
        counter.Add(3, KeyValuePair.Create("outcome", (object?)"stored"));
        counter.Add(1, KeyValuePair.Create("outcome", (object?)"ref\"used"));
        string written = text.Write();
        Assert.Contains("# HELP marmot_test_events_total Events seen.\n# TYPE marmot_test_events_total counter\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_events_total{outcome=\"stored\"} 5\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_events_total{outcome=\"ref\\\"used\"} 1\n", written, StringComparison.Ordinal);
    }

    [Fact]
    public void Histogram_buckets_are_cumulative_and_carry_the_unit()
    {
        using var text = new PrometheusText();
        using var meter = new Meter("marmot.test.histograms");
        var histogram = meter.CreateHistogram<double>("marmot.test.wait", unit: "s");
        histogram.Record(0.0001);
        histogram.Record(0.2);
        histogram.Record(1000);
        string written = text.Write();
        Assert.Contains("marmot_test_wait_seconds_bucket{le=\"0.0001\"} 1\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_wait_seconds_bucket{le=\"0.25\"} 2\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_wait_seconds_bucket{le=\"120\"} 2\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_wait_seconds_bucket{le=\"+Inf\"} 3\n", written, StringComparison.Ordinal);
        Assert.Contains("marmot_test_wait_seconds_count 3\n", written, StringComparison.Ordinal);
    }

    [Fact]
    public void An_instrument_without_a_value_is_named_already()
    {
        using var text = new PrometheusText();
        using var meter = new Meter("marmot.test.unused");
        meter.CreateCounter<long>("marmot.test.never", description: "Not yet.");
        string written = text.Write();
        Assert.Contains("# TYPE marmot_test_never_total counter\n", written, StringComparison.Ordinal);
        Assert.DoesNotContain("\nmarmot_test_never_total", written, StringComparison.Ordinal);
    }

    [Fact]
    public void Observable_gauges_show_their_last_value_and_strangers_meters_stay_out()
    {
        using var text = new PrometheusText();
        using var meter = new Meter("marmot.test.gauges");
        using var stranger = new Meter("stranger");
        int depth = 4;
        meter.CreateObservableGauge("marmot.test.depth", () => depth);
        stranger.CreateCounter<int>("stranger.count").Add(1);
        Assert.Contains("marmot_test_depth 4\n", text.Write(), StringComparison.Ordinal);
        depth = 7;
        string written = text.Write();
        Assert.Contains("marmot_test_depth 7\n", written, StringComparison.Ordinal);
        Assert.DoesNotContain("stranger", written, StringComparison.Ordinal);
    }
}
