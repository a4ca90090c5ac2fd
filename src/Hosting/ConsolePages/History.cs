using Marmot.Hosting.Metrics;
using Microsoft.Extensions.Hosting;

namespace Marmot.Hosting.ConsolePages;

/// <summary>The last hour and the last day of the charts, in memory: a sample every ten seconds of the few metrics that are drawn.</summary>
/// <remarks>Bounded: two rings of <see cref="Points"/> values a line, at most <see cref="MaxLines"/> lines. Read from any thread.</remarks>
public sealed class History(PrometheusText metrics, IEnumerable<ConsoleChart> charts, TimeProvider time) : BackgroundService
{
    /// <summary>Samples kept of each span: an hour of ten seconds, a day of four minutes.</summary>
    public const int Points = 360;

    /// <summary>More lines are not drawn.</summary>
    internal const int MaxLines = 128;

    private const int SamplesADayPoint = 24;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private readonly ConsoleChart[] _charts = [.. charts];
    private readonly Lock _lock = new();
    private readonly Dictionary<(ConsoleSeries Series, string Label), Line> _lines = [];
    private readonly HashSet<string> _names = new(charts.SelectMany(chart => chart.Series).SelectMany(Names), StringComparer.Ordinal);
    private long _samples;
    private TimeSpan _sampledAt;

    /// <summary>The charts.</summary>
    public IReadOnlyList<ConsoleChart> Charts => _charts;

    /// <summary>Takes a sample; by the loop, and by tests.</summary>
    public void Sample()
    {
        var now = time.GetUptime();
        var values = metrics.Read(_names);
        lock (_lock)
        {
            var seconds = Math.Max(0.001, (now - _sampledAt).TotalSeconds);
            _sampledAt = now;
            foreach (var series in _charts.SelectMany(chart => chart.Series))
            {
                foreach (var group in values.Where(value => IsOf(value, series))
                    .GroupBy(value => series.By.Length > 0 ? LabelOf(value.Labels, series.By) : "", StringComparer.Ordinal))
                {
                    if (!_lines.TryGetValue((series, group.Key), out var line))
                    {
                        if (_lines.Count == MaxLines)
                        {
                            continue;
                        }

                        _lines.Add((series, group.Key), line = new Line());
                    }

                    var sum = group.Where(value => series.Kind != SeriesKind.Mean || value.Name.EndsWith("_sum", StringComparison.Ordinal))
                        .Sum(value => value.Value);
                    var count = group.Where(value => value.Name.EndsWith("_count", StringComparison.Ordinal)).Sum(value => value.Value);
                    line.Take(series.Kind, sum, count, seconds);
                }
            }

            _samples++;
            foreach (var line in _lines.Values)
            {
                line.Advance(_samples % SamplesADayPoint == 0);
            }
        }
    }

    /// <summary>The lines of a chart, oldest value first; not a number where nothing was known.</summary>
    /// <param name="chart">One of <see cref="Charts"/>.</param>
    /// <param name="day">The last day; else the last hour.</param>
    public IReadOnlyList<(string Label, double[] Values)> Read(ConsoleChart chart, bool day)
    {
        ArgumentNullException.ThrowIfNull(chart);
        lock (_lock)
        {
            return [.. _lines.Where(line => chart.Series.Contains(line.Key.Series))
                .OrderBy(line => chart.Series.TakeWhile(series => series != line.Key.Series).Count()).ThenBy(line => line.Key.Label, StringComparer.Ordinal)
                .Select(line => (line.Key.Label.Length > 0 ? line.Key.Label : line.Key.Series.Label, line.Value.Read(day)))];
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (_charts.Length == 0)
        {
            return;
        }

        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
            {
                Sample();
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // stopping
        }
    }

    private static IEnumerable<string> Names(ConsoleSeries series) =>
        series.Kind == SeriesKind.Mean ? [series.Metric + "_sum", series.Metric + "_count"] : [series.Metric];

    private static bool IsOf(MetricValue value, ConsoleSeries series) =>
        Names(series).Contains(value.Name) && value.Labels.Contains(series.Where, StringComparison.Ordinal);

    private static string LabelOf(string labels, string name)
    {
        var start = labels.IndexOf(name + "=\"", StringComparison.Ordinal);
        if (start < 0)
        {
            return "other";
        }

        start += name.Length + 2;
        var end = labels.IndexOf('"', start);
        return end < 0 ? "other" : labels[start..end];
    }

    private sealed class Line
    {
        private readonly double[] _hour = NewRing();
        private readonly double[] _day = NewRing();
        private (double Sum, double Count)? _before;
        private double _now = double.NaN;
        private int _hourAt;
        private int _dayAt;

        public void Take(SeriesKind kind, double sum, double count, double seconds)
        {
            _now = kind switch
            {
                SeriesKind.Value => sum,
                SeriesKind.Rate => _before is { } before ? Math.Max(0, sum - before.Sum) / seconds : double.NaN,
                _ => _before is { } before && count > before.Count ? (sum - before.Sum) / (count - before.Count) * 1000 : double.NaN,
            };
            _before = (sum, count);
        }

        public void Advance(bool isDayPoint)
        {
            _hour[_hourAt] = _now;
            _hourAt = (_hourAt + 1) % Points;
            _now = double.NaN;
            if (isDayPoint)
            {
                var known = Enumerable.Range(1, SamplesADayPoint).Select(back => _hour[(_hourAt - back + Points) % Points])
                    .Where(value => !double.IsNaN(value)).ToArray();
                _day[_dayAt] = known.Length == 0 ? double.NaN : known.Average();
                _dayAt = (_dayAt + 1) % Points;
            }
        }

        public double[] Read(bool day)
        {
            var (ring, at) = day ? (_day, _dayAt) : (_hour, _hourAt);
            return [.. ring[at..], .. ring[..at]];
        }

        private static double[] NewRing()
        {
            var ring = new double[Points];
            Array.Fill(ring, double.NaN);
            return ring;
        }
    }
}
