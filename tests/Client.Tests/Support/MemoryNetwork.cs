using System.Collections.Concurrent;
using Marmot.Client.Relays;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Tests.Support;

/// <summary>The relays of one test, by URL; each client looks at them through a view of its own, which can be cut off.</summary>
internal sealed class MemoryNetwork
{
    private readonly ConcurrentDictionary<string, MemoryRelay> _relays = new(StringComparer.Ordinal);

    public MemoryRelay this[string url] => _relays.GetOrAdd(RelayUrls.Normalize(url), _ => new MemoryRelay());

    public View Connect() => new(this);

    internal sealed class View(MemoryNetwork network) : IRelayNetwork
    {
        /// <summary>Decides what becomes of an event on its way to a relay; null lets it through.</summary>
        public Func<string, NostrEvent, (RelayAnswer Answer, string Message, bool Store)?>? OnPublish { get; set; }

        /// <summary>Changes what a relay gives.</summary>
        public Func<string, IReadOnlyList<NostrEvent>, IReadOnlyList<NostrEvent>>? OnFetch { get; set; }

        /// <summary>True cuts the client off.</summary>
        public bool IsOffline { get; set; }

        /// <summary>Relays this client cannot reach.</summary>
        public HashSet<string> Unreachable { get; } = new(StringComparer.Ordinal);

        public Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken)
        {
            if (IsOffline || Unreachable.Contains(RelayUrls.Normalize(relay)))
            {
                return Task.FromResult(new RelayReply(relay, RelayAnswer.Unknown, "no connection"));
            }

            if (OnPublish?.Invoke(relay, evt) is { } fate)
            {
                if (fate.Store)
                {
                    network[relay].Publish(evt);
                }

                return Task.FromResult(new RelayReply(relay, fate.Answer, fate.Message));
            }

            var (answer, message) = network[relay].Publish(evt);
            return Task.FromResult(new RelayReply(relay, answer, message));
        }

        public Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken)
        {
            if (IsOffline || Unreachable.Contains(RelayUrls.Normalize(relay)))
            {
                return Task.FromResult(new RelayFetch(relay, [], false, "no connection"));
            }

            var events = network[relay].Fetch(filter);
            return Task.FromResult(new RelayFetch(relay, OnFetch?.Invoke(relay, events) ?? events, true));
        }

        public async Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken)
        {
            network[relay].Listen(filter, onEvent);
            try
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                network[relay].StopListening(onEvent);
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
