using System.Diagnostics;

namespace Marmot.Benchmarks.Mls;

/// <summary>What one row cost: elapsed time and processor time of all threads in ms; for sizes the same number of bytes twice.</summary>
internal sealed record Figure(double Elapsed, double Processor);

/// <summary>Collects what each round of a row cost.</summary>
internal sealed class Figures
{
    private readonly Dictionary<string, List<Figure>> _rounds = [];

    /// <summary>A round in which the machine did something else, or a garbage collection fell, is neither hidden nor decisive.</summary>
    public Figure this[string row] => new(Median(_rounds[row].Select(f => f.Elapsed)), Median(_rounds[row].Select(f => f.Processor)));

    public T Time<T>(string row, Func<T> action, int times = 1)
    {
        var (start, processor) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        T result = default!;
        for (var i = 0; i < times; i++) result = action();
        Add(row, new Figure(Stopwatch.GetElapsedTime(start).TotalMilliseconds / times, (Environment.CpuUsage.TotalTime - processor).TotalMilliseconds / times));
        return result;
    }

    public void Size(string row, int bytes) => Add(row, new Figure(bytes, bytes));

    public void Add(string row, Figure figure)
    {
        if (!_rounds.TryGetValue(row, out var rounds)) _rounds[row] = rounds = [];
        rounds.Add(figure);
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
