using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Cli.Agent;

/// <summary>A relay network that can keep publishes of some kinds waiting, or the relays' answers to them: the agent's <c>hold</c>, <c>held</c> and
/// <c>release</c>.</summary>
internal sealed class HoldingNetwork(IRelayNetwork inner) : IRelayNetwork
{
    private readonly Lock _gate = new();
    private readonly Dictionary<int, bool> _kinds = []; // true: the event leaves, the answer waits
    private readonly List<NostrEvent> _held = [];
    private TaskCompletionSource _released = NewSignal();
    private TaskCompletionSource _changed = NewSignal();

    /// <summary>True when publishes of some kinds wait.</summary>
    public bool IsHolding
    {
        get
        {
            lock (_gate)
            {
                return _kinds.Count > 0;
            }
        }
    }

    /// <summary>From now on publishes of these kinds wait before they are sent, or with <paramref name="answers"/> after the relay has answered.</summary>
    public void Hold(IEnumerable<int> kinds, bool answers)
    {
        lock (_gate)
        {
            foreach (int kind in kinds)
            {
                _kinds[kind] = answers;
            }
        }
    }

    public void Release(bool stop)
    {
        lock (_gate)
        {
            if (stop)
            {
                _kinds.Clear();
            }

            _held.Clear();
            var released = _released;
            _released = NewSignal();
            released.TrySetResult();
        }
    }

    /// <summary>The events that wait, once there are so many or the time is over.</summary>
    public async Task<IReadOnlyList<NostrEvent>> HeldAsync(int count, TimeSpan wait)
    {
        using var deadline = new CancellationTokenSource(wait);
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (_held.Count >= count || deadline.IsCancellationRequested)
                {
                    return [.. _held];
                }

                changed = _changed.Task;
            }

            try
            {
                await changed.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                // What is there is the answer.
            }
        }
    }

    public async Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken)
    {
        bool isHeld, answers;
        lock (_gate)
        {
            isHeld = _kinds.TryGetValue(evt.Kind, out answers);
        }

        if (isHeld && !answers)
        {
            await WaitAsync(evt, cancellationToken);
        }

        var reply = await inner.PublishAsync(relay, evt, cancellationToken);
        if (isHeld && answers)
        {
            await WaitAsync(evt, cancellationToken);
        }

        return reply;
    }

    public Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken) =>
        inner.FetchAsync(relay, filter, asAccount, cancellationToken);

    public Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken) =>
        inner.ListenAsync(relay, filter, asAccount, onEvent, cancellationToken);

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private Task WaitAsync(NostrEvent evt, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (!_held.Exists(one => one.Id == evt.Id))
            {
                _held.Add(evt);
            }

            var changed = _changed;
            _changed = NewSignal();
            changed.TrySetResult();
            return _released.Task.WaitAsync(cancellationToken);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
