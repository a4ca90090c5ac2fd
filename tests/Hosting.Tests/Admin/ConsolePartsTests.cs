using System.Diagnostics.Metrics;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Metrics;
using Marmot.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace Marmot.Hosting.Tests.Admin;

[Trait("Clock", "Date")]
public sealed class ConsolePartsTests
{
    [Fact]
    public void A_value_in_a_page_is_never_markup()
    {
        var html = new HtmlWriter();
        html.Add($"<p title=\"{"\" onclick=\"x"}\">{"<script>"}{5}</p>");
        Assert.Equal("<p title=\"&quot; onclick=&quot;x\">&lt;script&gt;5</p>", html.ToString());
    }

    [Fact]
    public void A_chart_has_the_rate_of_a_counter_the_value_of_a_gauge_and_the_mean_of_a_histogram()
    {
        using var metrics = new PrometheusText();
        using var meter = new Meter("marmot.console-test");
        var counter = meter.CreateCounter<long>("console_test_events");
        var histogram = meter.CreateHistogram<double>("console_test_time", "s");
        meter.CreateObservableGauge("console_test_open", () => 7);
        var time = new FakeTimeProvider(); // the date is compared
        var rate = new ConsoleChart("rate", "/s", new ConsoleSeries("", "console_test_events_total", SeriesKind.Rate, By: "kind"));
        var gauge = new ConsoleChart("gauge", "", new ConsoleSeries("open", "console_test_open", SeriesKind.Value));
        var mean = new ConsoleChart("mean", "ms", new ConsoleSeries("mean", "console_test_time_seconds", SeriesKind.Mean));
        using var history = new History(metrics, [rate, gauge, mean], time);
        Count(3, "a");
        history.Sample();
        time.Advance(TimeSpan.FromSeconds(10));
        Count(20, "a");
        Count(5, "b");
        histogram.Record(0.010);
        histogram.Record(0.030);
        history.Sample();
        time.Advance(TimeSpan.FromSeconds(10));
        Count(10, "b");
        histogram.Record(0.5);
        history.Sample();

        var lines = history.Read(rate, day: false);
        Assert.Equal(["a", "b"], lines.Select(line => line.Label));
        Assert.Equal([double.NaN, 2, 0], lines[0].Values[^3..]);
        Assert.Equal([double.NaN, double.NaN, 1], lines[1].Values[^3..]); // new in the second sample
        Assert.Equal([7, 7, 7], history.Read(gauge, day: false).Single().Values[^3..]);
        Assert.Equal(500, history.Read(mean, day: false).Single().Values[^1], 6);
        Assert.All(history.Read(gauge, day: true).Single().Values, value => Assert.Equal(double.NaN, value));

        void Count(int count, string kind) => counter.Add(count, new KeyValuePair<string, object?>("kind", kind));
    }

    [Fact]
    public void A_day_is_drawn_from_means_of_four_minutes_and_nothing_grows_without_end()
    {
        using var metrics = new PrometheusText();
        using var meter = new Meter("marmot.console-test-day");
        var value = 0;
        meter.CreateObservableGauge("console_test_day", () => value);
        var time = new FakeTimeProvider(); // the date is compared
        var chart = new ConsoleChart("gauge", "", new ConsoleSeries("open", "console_test_day", SeriesKind.Value));
        using var history = new History(metrics, [chart], time);
        for (var i = 1; i <= History.Points * 2; i++)
        {
            value = i;
            history.Sample();
            time.Advance(TimeSpan.FromSeconds(10));
        }

        var hour = history.Read(chart, day: false).Single().Values;
        Assert.Equal(History.Points, hour.Length);
        Assert.Equal(History.Points * 2, hour[^1]);
        var day = history.Read(chart, day: true).Single().Values;
        Assert.Equal(History.Points, day.Length);
        Assert.Equal(30, day.Count(point => !double.IsNaN(point)));
        Assert.Equal(Enumerable.Range((History.Points * 2) - 23, 24).Average(), day[^1]);
    }

    [Theory]
    [InlineData(double.NaN, "", "-")]
    [InlineData(0, "/s", "0/s")]
    [InlineData(12.34, "ms", "12.3 ms")]
    [InlineData(1500, "", "1.5k")]
    [InlineData(3 * 1024 * 1024, "B", "3 MiB")]
    public void Numbers_of_a_chart_are_short(double value, string unit, string expected) => Assert.Equal(expected, ChartSvg.Format(value, unit));

    [Fact]
    public void A_one_time_code_works_once_and_not_after_ten_minutes()
    {
        using var folder = new TemporaryFolder();
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow); // the date is compared
        var sessions = new ConsoleSessions(
            Microsoft.Extensions.Options.Options.Create(new Marmot.Hosting.Settings.StorageOptions { DataDirectory = folder.Path }), time);
        Assert.False(sessions.TryTakeCode("anything"));
        var code = ConsoleSessions.CreateCode(folder.Path, time);
        Assert.False(sessions.TryTakeCode(code + "0"));
        Assert.True(sessions.TryTakeCode(code));
        Assert.False(sessions.TryTakeCode(code));
        var late = ConsoleSessions.CreateCode(folder.Path, time);
        time.Advance(TimeSpan.FromMinutes(11));
        Assert.False(sessions.TryTakeCode(late));
        if (!OperatingSystem.IsWindows())
        {
            ConsoleSessions.CreateCode(folder.Path, time);
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(folder.File("console.login")));
        }
    }
}
