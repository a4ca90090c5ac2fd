namespace Marmot.ProviderSimulators;

/// <summary>Every request with its answer, in order, with waiters and an optional listener. Thread-safe.</summary>
internal sealed class RequestLog(Action<SimulatedRequest>? listener)
{
    private readonly Lock _gate = new();
    private readonly List<SimulatedRequest> _requests = [];
    private readonly List<(int Count, TaskCompletionSource Reached)> _waiters = [];

    public IReadOnlyList<SimulatedRequest> Snapshot
    {
        get { lock (_gate) return [.. _requests]; }
    }

    /// <summary>Numbers and stores the request. Called before its answer is written, so whoever has an answer finds the record.</summary>
    public void Add(SimulatedRequest request)
    {
        List<TaskCompletionSource> reached;
        lock (_gate)
        {
            request = request with { Number = _requests.Count + 1 };
            _requests.Add(request);
            reached = [.. _waiters.Where(waiter => waiter.Count <= _requests.Count).Select(waiter => waiter.Reached)];
            _waiters.RemoveAll(waiter => waiter.Count <= _requests.Count);
            // Inside the lock, so that a capture file has the order of the numbers.
            listener?.Invoke(request);
        }
        foreach (var waiter in reached) waiter.TrySetResult();
    }

    public int CountOf(string token, bool acceptedOnly)
    {
        lock (_gate)
        {
            return _requests.Count(request => string.Equals(request.Token, token, StringComparison.OrdinalIgnoreCase) && (request.Accepted || !acceptedOnly));
        }
    }

    public async Task<IReadOnlyList<SimulatedRequest>> WaitAsync(int count, CancellationToken cancellationToken)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_requests.Count >= count) return [.. _requests];
            _waiters.Add((count, reached));
        }
        await reached.Task.WaitAsync(cancellationToken);
        return Snapshot;
    }

    public void Clear()
    {
        lock (_gate) _requests.Clear();
    }
}
