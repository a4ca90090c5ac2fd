using System.Runtime.InteropServices;

namespace Marmot.Relay.Turns;

/// <summary>A fair scheduler: signature checks and queries take turns at the cores, one address after the other, so that an address with much work delays only
/// itself.</summary>
/// <remarks>
/// As many turns as cores at a time, of which one address has all but one at most: who comes meanwhile finds a core that is free. Work is done
/// in slices of at most about a millisecond: whoever holds a turn asks between two slices whether somebody waits, and goes to the end of the
/// line if so. Within a lane first come, first served; the lanes go round. While nobody waits a turn costs one uncontended lock. Thread-safe.
/// </remarks>
internal sealed class FairScheduler
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, Queue<TaskCompletionSource>> _lanes = [];
    private readonly Queue<long> _order = new();
    private readonly Dictionary<long, int> _held = [];
    private readonly int _maxOfAddress;
    private int _free;
    private int _waiting;

    public FairScheduler()
        : this(Environment.ProcessorCount)
    {
    }

    public FairScheduler(int turns)
    {
        _free = turns;
        _maxOfAddress = Math.Max(1, turns - 1);
    }

    /// <summary>True when somebody waits.</summary>
    public bool IsWanted => Volatile.Read(ref _waiting) > 0;

    /// <summary>Takes a turn; completes when it is this lane's. <see cref="Leave"/> follows.</summary>
    /// <param name="lane">An address; below zero one of many who share none, and who is not held to an address's part.</param>
    public Task EnterAsync(long lane)
    {
        lock (_lock)
        {
            if (_free > 0 && MayHoldMore(lane))
            {
                Take(lane);
                return Task.CompletedTask;
            }

            if (!_lanes.TryGetValue(lane, out var line))
            {
                _lanes.Add(lane, line = new Queue<TaskCompletionSource>());
                _order.Enqueue(lane);
            }

            var waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            line.Enqueue(waiter);
            _waiting++;
            return waiter.Task;
        }
    }

    /// <summary>Takes a turn only when nobody else wants it.</summary>
    public bool TryEnter(long lane)
    {
        lock (_lock)
        {
            if (_free == 0 || !MayHoldMore(lane))
            {
                return false;
            }

            Take(lane);
            return true;
        }
    }

    /// <summary>Lets those who wait go first; the turn is held again on completion.</summary>
    public Task YieldAsync(long lane)
    {
        if (!IsWanted)
        {
            return Task.CompletedTask;
        }

        Leave(lane);
        return EnterAsync(lane);
    }

    public void Leave(long lane)
    {
        TaskCompletionSource? next;
        lock (_lock)
        {
            _free++;
            if (lane >= 0 && --CollectionsMarshal.GetValueRefOrNullRef(_held, lane) == 0)
            {
                _held.Remove(lane);
            }

            next = FindNext();
        }

        next?.SetResult();
    }

    // The first in line whose address may hold one more; few lanes are passed over, since only those who hold turns can be.
    private TaskCompletionSource? FindNext()
    {
        for (var i = _order.Count; i > 0; i--)
        {
            var lane = _order.Dequeue();
            if (!MayHoldMore(lane))
            {
                _order.Enqueue(lane);
                continue;
            }

            var line = _lanes[lane];
            var next = line.Dequeue();
            _waiting--;
            Take(lane);
            if (line.Count > 0)
            {
                _order.Enqueue(lane);
            }
            else
            {
                _lanes.Remove(lane);
            }

            return next;
        }

        return null;
    }

    private bool MayHoldMore(long lane) => lane < 0 || !_held.TryGetValue(lane, out var held) || held < _maxOfAddress;

    private void Take(long lane)
    {
        _free--;
        if (lane >= 0)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_held, lane, out _)++;
        }
    }
}

/// <summary>One connection's place at the <see cref="FairScheduler"/>; its read loop uses it for one thing after the other.</summary>
internal sealed class FairTurn(FairScheduler turns, long lane)
{
    private bool _held;

    public bool IsWanted => turns.IsWanted;

    /// <summary>Whose: see <see cref="FairScheduler.EnterAsync"/>.</summary>
    public long Lane => lane;

    /// <summary>A turn more for somebody who helps, if nobody wants it; given back with <see cref="LeaveHelper"/>.</summary>
    public bool TryEnterHelper() => turns.TryEnter(lane);

    public void LeaveHelper() => turns.Leave(lane);

    public async ValueTask EnterAsync()
    {
        await turns.EnterAsync(lane);
        _held = true;
    }

    /// <summary>Between two slices: lets those go first who wait for a turn or a core.</summary>
    public Task YieldAsync()
    {
        YieldThread();
        return turns.YieldAsync(lane);
    }

    /// <summary>Lets threads go first that wait for a core, when it is an address that is at work.</summary>
    public void YieldThread()
    {
        if (lane >= 0)
        {
            Thread.Yield();
        }
    }

    /// <summary>Waits for something else without keeping others from their work.</summary>
    public async ValueTask WaitAsync(Task other)
    {
        if (!other.IsCompleted)
        {
            Leave();
            await other;
            await EnterAsync();
        }
    }

    /// <summary>Gives the turn back; nothing when it is not held.</summary>
    public void Leave()
    {
        if (_held)
        {
            _held = false;
            turns.Leave(lane);
        }
    }
}
