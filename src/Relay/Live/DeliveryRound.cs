namespace Marmot.Relay.Live;

/// <summary>What one round of <see cref="FanOut"/> hands out, by connection; written to the sockets on all cores.</summary>
/// <remarks>
/// One thread fills it and runs it once. Each connection is served by one thread, in the order of arrival. Helpers that come late find
/// nothing left to do.
/// </remarks>
internal sealed class DeliveryRound(ulong number) : IThreadPoolWorkItem
{
    /// <summary>Connections served by one grasp: about a tenth of a millisecond of writing.</summary>
    private const int Share = 16;

    private readonly List<Delivery> _deliveries = [];
    private readonly List<(int First, int Last)> _connections = [];
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _next;
    private int _finished;

    // Those of one connection are a chain.
    private record struct Delivery(Subscription Subscription, LiveEvent Live, int Next);

    public int Count => _deliveries.Count;

    public void Add(Subscription subscription, LiveEvent live)
    {
        var at = _deliveries.Count;
        _deliveries.Add(new Delivery(subscription, live, Next: -1));
        ref var place = ref subscription.Client.DeliveryPlace;
        if (place.Round != number)
        {
            place = (number, _connections.Count);
            _connections.Add((at, at));
            return;
        }

        var (first, last) = _connections[place.Index];
        _deliveries[last] = _deliveries[last] with { Next = at };
        _connections[place.Index] = (first, at);
    }

    public Task RunAsync()
    {
        if (_connections.Count == 0)
        {
            return Task.CompletedTask;
        }

        for (var helpers = Math.Min(Environment.ProcessorCount, _connections.Count / Share) - 1; helpers > 0; helpers--)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        Work();
        return _done.Task;
    }

    void IThreadPoolWorkItem.Execute() => Work();

    private void Work()
    {
        int start;
        while ((start = Interlocked.Add(ref _next, Share) - Share) < _connections.Count)
        {
            var end = Math.Min(start + Share, _connections.Count);
            try
            {
                for (var i = start; i < end; i++)
                {
                    Serve(_connections[i].First);
                }
            }
            catch (Exception exception)
            {
                _done.TrySetException(exception);
            }

            if (Interlocked.Add(ref _finished, end - start) == _connections.Count)
            {
                _done.TrySetResult();
            }
        }
    }

    private void Serve(int first)
    {
        var client = _deliveries[first].Subscription.Client;
        var count = 0;
        for (var i = first; i >= 0; i = _deliveries[i].Next)
        {
            _deliveries[i].Subscription.Deliver(_deliveries[i].Live);
            count++;
        }

        client.Outbox.Flush();
        client.ChargeDeliveries(count);
    }
}
