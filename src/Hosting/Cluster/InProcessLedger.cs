using Marmot.Protocol.Encoding;

namespace Marmot.Hosting.Cluster;

/// <summary>The ledger of one process.</summary>
public sealed class InProcessLedger(TimeProvider time) : IClaimLedger, ISharedValues
{
    private const int SweepAt = 10_000;
    private readonly Lock _lock = new();
    private readonly Dictionary<Bytes32, Entry> _entries = [];
    private readonly Dictionary<Bytes32, (byte[] Value, TimeSpan Until)> _values = [];
    private int _sweepAt = SweepAt;

    /// <inheritdoc/>
    public bool IsConnected => true;

    /// <inheritdoc/>
    public ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel)
    {
        lock (_lock)
        {
            var now = time.GetUptime();
            if (_entries.TryGetValue(hash, out var entry) && entry.Until > now && (entry.IsDone || entry.Owner != owner))
            {
                return new ValueTask<ClaimAnswer>(entry.IsDone ? ClaimAnswer.Done : ClaimAnswer.Held);
            }

            _entries[hash] = new Entry(owner, false, now + lease);
            Sweep(now);
            return new ValueTask<ClaimAnswer>(ClaimAnswer.Owned);
        }
    }

    /// <inheritdoc/>
    public ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel)
    {
        lock (_lock)
        {
            _entries[hash] = new Entry(owner, true, time.GetUptime() + window);
        }

        return default;
    }

    /// <inheritdoc/>
    public ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(hash, out var entry) && !entry.IsDone && entry.Owner == owner)
            {
                _entries.Remove(hash);
            }
        }

        return default;
    }

    /// <inheritdoc/>
    public ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel)
    {
        lock (_lock)
        {
            var now = time.GetUptime();
            if (_values.TryGetValue(name, out var there) && there.Until > now)
            {
                return new ValueTask<byte[]>(there.Value);
            }

            _values[name] = (value, now + lifetime);
            return new ValueTask<byte[]>(value);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => default;

    private void Sweep(TimeSpan now)
    {
        if (_entries.Count < _sweepAt)
        {
            return;
        }

        foreach (var (hash, _) in _entries.Where(pair => pair.Value.Until <= now).ToList())
        {
            _entries.Remove(hash);
        }

        _sweepAt = Math.Max(SweepAt, _entries.Count * 2);
    }

    private readonly record struct Entry(Bytes32 Owner, bool IsDone, TimeSpan Until);
}
