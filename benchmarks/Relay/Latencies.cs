using System.Diagnostics;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>Times of single operations, in stopwatch ticks; not thread-safe.</summary>
internal sealed class Latencies
{
    private readonly List<long> _ticks = [];

    public int Count => _ticks.Count;

    public void Add(long ticks) => _ticks.Add(ticks);

    public void AddAll(Latencies other) => _ticks.AddRange(other._ticks);

    /// <summary>Milliseconds at a fraction, 0.5 or 0.99.</summary>
    public double At(double fraction)
    {
        if (_ticks.Count == 0)
        {
            return double.NaN;
        }

        _ticks.Sort();
        return _ticks[Math.Min(_ticks.Count - 1, (int)(_ticks.Count * fraction))] * 1000.0 / Stopwatch.Frequency;
    }
}
