using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Marmot.Hosting.Metrics;

/// <summary>Collects every meter whose name starts with <c>marmot.</c> and the runtime's own, and writes them as Prometheus text (version 0.0.4).</summary>
/// <remarks>Thread-safe. Label sets are bounded by their makers: no address, key, token or content is ever a label.</remarks>
public sealed class PrometheusText : IDisposable
{
    private static readonly double[] Buckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

    private readonly MeterListener _listener = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<(Instrument Instrument, string Labels), Series> _series = [];
    private readonly Dictionary<Instrument, string> _names = [];
    private readonly SortedDictionary<string, Instrument> _instruments = new(StringComparer.Ordinal);

    /// <summary>Starts listening; instruments made earlier and later are both seen.</summary>
    public PrometheusText()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name.StartsWith("marmot.", StringComparison.Ordinal) || instrument.Meter.Name == "System.Runtime")
            {
                lock (_lock)
                {
                    _instruments.TryAdd(NameOf(instrument), instrument);
                }

                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<byte>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<short>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<float>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.Start();
    }

    /// <summary>The exposition text, observable instruments read now.</summary>
    public string Write()
    {
        _listener.RecordObservableInstruments();
        var text = new StringBuilder(4096);
        lock (_lock)
        {
            var byName = _series.ToLookup(pair => NameOf(pair.Key.Instrument));
            // Also those without a value yet, so that what can be watched is known before the first bad day.
            foreach (var (name, instrument) in _instruments)
            {
                text.Append("# HELP ").Append(name).Append(' ').Append((instrument.Description ?? instrument.Name).ReplaceLineEndings(" ")).Append('\n');
                text.Append("# TYPE ").Append(name).Append(' ').Append(TypeOf(instrument)).Append('\n');
                foreach (var (key, series) in byName[name].OrderBy(pair => pair.Key.Labels, StringComparer.Ordinal))
                {
                    series.Write(text, name, key.Labels);
                }
            }
        }

        return text.ToString();
    }

    /// <summary>Some values as they stand now, observable instruments read now; of a histogram its sum and count.</summary>
    /// <param name="names">Names as <see cref="Write"/> gives them.</param>
    public IReadOnlyList<MetricValue> Read(IReadOnlySet<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        _listener.RecordObservableInstruments();
        var found = new List<MetricValue>();
        lock (_lock)
        {
            foreach (var ((instrument, labels), series) in _series)
            {
                if (!_names.TryGetValue(instrument, out var name))
                {
                    _names.Add(instrument, name = NameOf(instrument));
                }

                series.Read(found, names, name, labels);
            }
        }

        return found;
    }

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        string labels = LabelsOf(tags);
        lock (_lock)
        {
            if (!_series.TryGetValue((instrument, labels), out Series? series))
            {
                series = IsHistogram(instrument) ? new HistogramSeries() : new ValueSeries(IsSummed(instrument));
                _series.Add((instrument, labels), series);
            }

            series.Add(value);
        }
    }

    private static bool IsHistogram(Instrument instrument) => OpenGenericName(instrument) == "Histogram`1";

    // Synchronous counters report increments; observable ones and gauges report the value itself.
    private static bool IsSummed(Instrument instrument) => OpenGenericName(instrument) is "Counter`1" or "UpDownCounter`1";

    private static string TypeOf(Instrument instrument) => OpenGenericName(instrument) switch
    {
        "Counter`1" or "ObservableCounter`1" => "counter",
        "Histogram`1" => "histogram",
        _ => "gauge",
    };

    private static string OpenGenericName(Instrument instrument) => instrument.GetType().Name;

    private static string NameOf(Instrument instrument)
    {
        var name = new StringBuilder(instrument.Name.Length + 16);
        foreach (char c in instrument.Name)
        {
            name.Append(char.IsAsciiLetterOrDigit(c) ? c : '_');
        }

        string unit = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
        if (unit.Length > 0 && !name.ToString().EndsWith(unit, StringComparison.Ordinal))
        {
            name.Append(unit);
        }

        if (TypeOf(instrument) == "counter" && !name.ToString().EndsWith("_total", StringComparison.Ordinal))
        {
            name.Append("_total");
        }

        return name.ToString();
    }

    private static string LabelsOf(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
        {
            return "";
        }

        var labels = new StringBuilder();
        foreach (var tag in tags)
        {
            string value = Convert.ToString(tag.Value, CultureInfo.InvariantCulture) ?? "";
            labels.Append(labels.Length == 0 ? "" : ",").Append(tag.Key.Replace('.', '_')).Append("=\"")
                .Append(value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
                    .Replace("\n", "\\n", StringComparison.Ordinal)).Append('"');
        }

        return labels.ToString();
    }

    private abstract class Series
    {
        public abstract void Add(double value);

        public abstract void Write(StringBuilder text, string name, string labels);

        public abstract void Read(List<MetricValue> values, IReadOnlySet<string> names, string name, string labels);

        protected static void Take(List<MetricValue> values, IReadOnlySet<string> names, string name, string labels, double value)
        {
            if (names.Contains(name))
            {
                values.Add(new MetricValue(name, labels, value));
            }
        }

        protected static void Line(StringBuilder text, string name, string labels, double value) =>
            text.Append(name).Append(labels.Length == 0 ? "" : "{" + labels + "}").Append(' ')
                .Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
    }

    private sealed class ValueSeries(bool summed) : Series
    {
        private double _value;

        public override void Add(double value) => _value = summed ? _value + value : value;

        public override void Write(StringBuilder text, string name, string labels) => Line(text, name, labels, _value);

        public override void Read(List<MetricValue> values, IReadOnlySet<string> names, string name, string labels) =>
            Take(values, names, name, labels, _value);
    }

    private sealed class HistogramSeries : Series
    {
        private readonly long[] _counts = new long[Buckets.Length + 1];
        private double _sum;

        public override void Add(double value)
        {
            int index = Array.BinarySearch(Buckets, value);
            _counts[index < 0 ? ~index : index]++;
            _sum += value;
        }

        public override void Write(StringBuilder text, string name, string labels)
        {
            string prefix = labels.Length == 0 ? "" : labels + ",";
            long total = 0;
            for (int i = 0; i < _counts.Length; i++)
            {
                total += _counts[i];
                string bound = i < Buckets.Length ? Buckets[i].ToString("R", CultureInfo.InvariantCulture) : "+Inf";
                Line(text, name + "_bucket", prefix + "le=\"" + bound + "\"", total);
            }

            Line(text, name + "_sum", labels, _sum);
            Line(text, name + "_count", labels, total);
        }

        public override void Read(List<MetricValue> values, IReadOnlySet<string> names, string name, string labels)
        {
            Take(values, names, name + "_sum", labels, _sum);
            Take(values, names, name + "_count", labels, _counts.Sum());
        }
    }
}
