using System.Diagnostics;

namespace Marmot.Benchmarks.Mls;

/// <summary>Collects times by row; the median counts.</summary>
internal sealed class Figures
{
    private readonly Dictionary<string, List<double>> _values = [];

    public T Time<T>(string row, Func<T> action, int times = 1)
    {
        var start = Stopwatch.GetTimestamp();
        T result = default!;
        for (var i = 0; i < times; i++) result = action();
        Add(row, Stopwatch.GetElapsedTime(start).TotalMilliseconds / times);
        return result;
    }

    public void Add(string row, double value)
    {
        if (!_values.TryGetValue(row, out var list)) _values[row] = list = [];
        list.Add(value);
    }

    public Dictionary<string, double> Medians() => _values.ToDictionary(v => v.Key, v => v.Value.Order().ElementAt(v.Value.Count / 2));
}
