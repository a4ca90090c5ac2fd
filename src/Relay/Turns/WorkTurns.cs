namespace Marmot.Relay.Turns;

/// <summary>Who may use a core next: signature checks and queries take turns, one address after the other, so that a flood delays only itself.</summary>
/// <remarks>
/// As many turns as cores at a time. Work is done in slices of at most about a millisecond: whoever holds a turn asks between two slices
/// whether somebody waits, and goes to the end of the line if so. Within a lane first come, first served; the lanes go round. While nobody
/// waits a turn costs one uncontended lock. Thread-safe.
/// </remarks>
internal sealed class WorkTurns
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, Queue<TaskCompletionSource>> _lanes = [];
    private readonly Queue<long> _order = new();
    private int _free;
    private int _waiting;

    public WorkTurns()
        : this(Environment.ProcessorCount)
    {
    }

    public WorkTurns(int turns) => _free = turns;

    /// <summary>True when somebody waits.</summary>
    public bool IsWanted => Volatile.Read(ref _waiting) > 0;

    /// <summary>Takes a turn; completes when it is this lane's. <see cref="Leave"/> follows.</summary>
    public Task EnterAsync(long lane)
    {
        lock (_lock)
        {
            if (_free > 0)
            {
                _free--;
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
    public bool TryEnter()
    {
        lock (_lock)
        {
            if (_free == 0)
            {
                return false;
            }

            _free--;
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

        Leave();
        return EnterAsync(lane);
    }

    public void Leave()
    {
        TaskCompletionSource next;
        lock (_lock)
        {
            if (!_order.TryDequeue(out var lane))
            {
                _free++;
                return;
            }

            var line = _lanes[lane];
            next = line.Dequeue();
            _waiting--;
            if (line.Count > 0)
            {
                _order.Enqueue(lane);
            }
            else
            {
                _lanes.Remove(lane);
            }
        }

        next.SetResult();
    }
}

/// <summary>One connection's place at the <see cref="WorkTurns"/>; its read loop uses it for one thing after the other.</summary>
internal sealed class WorkTurn(WorkTurns turns, long lane)
{
    private bool _held;

    public bool IsWanted => turns.IsWanted;

    public async ValueTask EnterAsync()
    {
        await turns.EnterAsync(lane);
        _held = true;
    }

    public Task YieldAsync() => turns.YieldAsync(lane);

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
            turns.Leave();
        }
    }
}
