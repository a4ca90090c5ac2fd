using System.Buffers;

namespace Marmot.NotifyServer.Inbox;

/// <summary>One event that passed the gate, so its shape, recipient and id are right, in a rented buffer owned by whoever holds it.</summary>
internal sealed class IntakeItem(byte[] buffer, int length, int relay, TimeSpan arrived) : IDisposable
{
    private byte[]? _buffer = buffer;

    public int Relay { get; } = relay;

    /// <summary>When it came in, as <see cref="Hosting.MonotonicTime.GetUptime"/> counts.</summary>
    public TimeSpan Arrived { get; } = arrived;

    public ReadOnlySpan<byte> Json => _buffer.AsSpan(0, length);

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _buffer, null) is { } buffer)
        {
            ArrayPool<byte>.Shared.Return(buffer); // ciphertext only: nothing to wipe
        }
    }
}

/// <summary>The waiting events of all relays. The relay that has had the least work done is served next, so a flood on one delays nobody on another.</summary>
/// <remarks>Start-time fair queueing by cost in elliptic-curve operations. Each relay's queue is bounded and refuses the newest when full.
/// Thread-safe.</remarks>
internal sealed class FairIntake : IDisposable
{
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _waiting = new(0);
    private readonly Lane[] _lanes;
    private readonly int _capacity;
    private double _served;
    private bool _closed;

    public FairIntake(int relays, int capacityPerRelay)
    {
        _capacity = capacityPerRelay;
        _lanes = new Lane[relays];
        for (var i = 0; i < relays; i++)
        {
            _lanes[i] = new Lane();
        }
    }

    public int Waiting(int relay)
    {
        lock (_gate)
        {
            return _lanes[relay].Items.Count;
        }
    }

    /// <summary>Copies the event in; false when the relay's queue is full or the intake is closed.</summary>
    public bool TryAdd(int relay, ReadOnlySpan<byte> json, TimeSpan arrived)
    {
        lock (_gate)
        {
            var lane = _lanes[relay];
            if (_closed || lane.Items.Count >= _capacity)
            {
                return false;
            }

            if (lane.Items.Count == 0)
            {
                lane.Work = Math.Max(lane.Work, _served); // idling earns no credit
            }

            var buffer = ArrayPool<byte>.Shared.Rent(json.Length);
            json.CopyTo(buffer);
            lane.Items.Enqueue(new IntakeItem(buffer, json.Length, relay, arrived));
        }

        _waiting.Release();
        return true;
    }

    /// <summary>The next event in fairness; null once closed and empty. The caller owns it.</summary>
    public async ValueTask<IntakeItem?> TakeAsync(CancellationToken cancellationToken)
    {
        await _waiting.WaitAsync(cancellationToken);
        lock (_gate)
        {
            Lane? least = null;
            foreach (var lane in _lanes)
            {
                if (lane.Items.Count > 0 && (least is null || lane.Work < least.Work))
                {
                    least = lane;
                }
            }

            if (least is null)
            {
                _waiting.Release(); // closed: let the next worker see it too
                return null;
            }

            _served = Math.Max(_served, least.Work);
            least.Work++; // so that two workers do not take from one relay before either has charged
            return least.Items.Dequeue();
        }
    }

    /// <summary>Books work done for a relay.</summary>
    public void Charge(int relay, int operations)
    {
        lock (_gate)
        {
            _lanes[relay].Work += operations;
        }
    }

    /// <summary>Takes no more; what waits may still be taken.</summary>
    public void Close()
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
        }

        _waiting.Release();
    }

    public void Dispose()
    {
        Close();
        lock (_gate)
        {
            foreach (var lane in _lanes)
            {
                while (lane.Items.TryDequeue(out var item))
                {
                    item.Dispose();
                }
            }
        }

        _waiting.Dispose();
    }

    private sealed class Lane
    {
        public double Work;

        public Queue<IntakeItem> Items { get; } = new();
    }
}
