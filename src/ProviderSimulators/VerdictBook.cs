namespace Marmot.ProviderSimulators;

/// <summary>The scripts: by device token, and one for every other token. Thread-safe.</summary>
internal sealed class VerdictBook
{
    /// <summary>The name of the script for tokens without one of their own.</summary>
    public const string AnyToken = "*";

    private static readonly SimulatedVerdict Success = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Queue<Entry>> _scripts = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Replaces the script of a token. No verdicts: removes it.</summary>
    public void Set(string token, params IEnumerable<SimulatedVerdict> verdicts)
    {
        lock (_gate)
        {
            var entries = new Queue<Entry>(verdicts.Select(verdict => new Entry { Verdict = verdict, Left = verdict.Times }));
            if (entries.Count == 0) _scripts.Remove(token);
            else _scripts[token] = entries;
        }
    }

    /// <summary>The verdict for one request, used up by one.</summary>
    public SimulatedVerdict Take(string token)
    {
        lock (_gate)
        {
            return TakeFrom(token) ?? TakeFrom(AnyToken) ?? Success;
        }
    }

    private SimulatedVerdict? TakeFrom(string token)
    {
        if (!_scripts.TryGetValue(token, out var entries)) return null;
        while (entries.TryPeek(out var entry))
        {
            if (entry.Left <= 0)
            {
                entries.Dequeue();
                continue;
            }
            if (entry.Left != int.MaxValue) entry.Left--;
            return entry.Verdict;
        }
        // A finished script of a token means success, not the script of the others.
        return Success;
    }

    private sealed class Entry
    {
        public required SimulatedVerdict Verdict { get; init; }
        public required int Left { get; set; }
    }
}
