using System.Diagnostics;

namespace Marmot.Benchmarks.Mls;

/// <summary>What one row cost: elapsed time and processor time of all threads in ms; for sizes the same number of bytes twice.</summary>
internal sealed record Figure(double Elapsed, double Processor);

/// <summary>Collects figures by row; the best round counts, because other work on the machine only ever adds.</summary>
internal sealed class Figures
{
    private readonly Dictionary<string, Figure> _best = [];

    public T Time<T>(string row, Func<T> action, int times = 1)
    {
        var (start, processor) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        T result = default!;
        for (var i = 0; i < times; i++) result = action();
        Add(row, Stopwatch.GetElapsedTime(start).TotalMilliseconds / times, (Environment.CpuUsage.TotalTime - processor).TotalMilliseconds / times);
        return result;
    }

    public void Size(string row, int bytes) => _best[row] = new Figure(bytes, bytes);

    public Dictionary<string, Figure> Best() => _best;

    private void Add(string row, double elapsed, double processor)
        => _best[row] = _best.TryGetValue(row, out var best) ? new Figure(Math.Min(best.Elapsed, elapsed), Math.Min(best.Processor, processor)) : new Figure(elapsed, processor);
}
