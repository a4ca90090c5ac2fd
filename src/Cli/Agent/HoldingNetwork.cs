using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Cli.Agent;

/// <summary>A relay network that can keep publishes of some kinds waiting: the agent's <c>hold</c>, <c>held</c> and <c>release</c>.</summary>
internal sealed class HoldingNetwork(IRelayNetwork inner) : IRelayNetwork
{
    private readonly Lock _gate = new();
    private readonly HashSet<int> _kinds = [];
    private readonly List<NostrEvent> _held = [];
    private TaskCompletionSource _released = NewSignal();
    private TaskCompletionSource _changed = NewSignal();

    public void Hold(IEnumerable<int> kinds)
    {
        lock (_gate)
        {
            _kinds.UnionWith(kinds);
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
        Task? released = null;
        lock (_gate)
        {
            if (_kinds.Contains(evt.Kind))
            {
                if (!_held.Exists(one => one.Id == evt.Id))
                {
                    _held.Add(evt);
                }

                released = _released.Task;
                var changed = _changed;
                _changed = NewSignal();
                changed.TrySetResult();
            }
        }

        if (released is not null)
        {
            await released.WaitAsync(cancellationToken);
        }

        return await inner.PublishAsync(relay, evt, cancellationToken);
    }

    public Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken) => inner.FetchAsync(relay, filter, asAccount, cancellationToken);

    public Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken) => inner.ListenAsync(relay, filter, asAccount, onEvent, cancellationToken);

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
