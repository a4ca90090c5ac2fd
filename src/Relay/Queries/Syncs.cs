using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Budgets;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Queries;

/// <summary>One open reconciliation: a snapshot of ids, taken when it was opened.</summary>
internal sealed class Sync(ReplyTarget client, string id, NegentropySet set)
{
    public ReplyTarget Client { get; } = client;

    public string Id { get; } = id;

    /// <summary>Null once it was given up for others.</summary>
    public NegentropySet? Set { get; set; } = set;
}

/// <summary>NIP-77: NEG-OPEN, NEG-MSG, NEG-CLOSE. Only ids that the connection may read are told.</summary>
/// <remarks>Snapshots take memory, so all together are bounded; the one that rested longest is dropped. One lock, see docs/locking.md.</remarks>
internal sealed class Syncs(IEventStore store, TimeProvider clock, RelayBudgets budgets, RelayMetrics metrics, IOptions<RelayOptions> options)
{
    /// <summary>Longest answer before hex; other implementations take at least this.</summary>
    private const int MaxAnswerBytes = 60_000;

    /// <summary>Records that are summed into fingerprints in one unit of work.</summary>
    private const int ItemsPerUnit = 300;

    /// <summary>Full snapshots that fit into memory together.</summary>
    private const int MaxSnapshots = 4;

    private readonly Lock _lock = new();
    private readonly LinkedList<Sync> _open = []; // the longest unused first
    private readonly RelayOptions _options = options.Value;
    private long _items;

    /// <summary>NEG-OPEN; an id in use is replaced. One that needs authentication waits for it (NIP-42).</summary>
    public ValueTask OpenAsync(OpenRequests open, string id, Filter filter, byte[] message, CancellationToken cancel)
    {
        Close(open, id);
        if (Allows(open, filter, out var reason))
        {
            return AnswerAsync(open, id, filter, message, cancel);
        }

        var request = new WaitingRequest(
            ClientMessageKind.NegOpen,
            id,
            AuthWaits.BytesOf([filter]) + message.Length,
            Check: () => Allows(open, filter, out var still) ? default : still,
            Serve: token => AnswerAsync(open, id, filter, message, token),
            Refuse: why => open.Client.RefuseSync(id, why));
        if (reason.Prefix != RejectPrefix.AuthRequired || !open.Client.TryWait(request))
        {
            open.Client.RefuseSync(id, reason);
        }

        return default;
    }

    private async ValueTask AnswerAsync(OpenRequests open, string id, Filter filter, byte[] message, CancellationToken cancel)
    {
        // 1. Is there room?
        if (open.Syncs?.Count >= _options.MaxSubscriptions)
        {
            open.Client.Outbox.SendSyncError(id, Rejections.TooManySubscriptions);
            return;
        }

        if (!budgets.TryTake(open.Client.AddressPrefix, RelayBudgets.RequestUnits))
        {
            open.Client.Outbox.SendSyncError(id, Rejections.TooMuchWork);
            return;
        }

        // 2. The snapshot.
        metrics.Query();
        NegentropySet set;
        try
        {
            var scope = new ReadScope(open.Client.Keys, IsOpen, clock.GetUtcNow().ToUnixTimeSeconds())
            {
                MaxWork = Math.Max(_options.MaxQueryWork, _options.MaxSyncEvents + 1),
                Turn = open.Client.Turn,
            };
            var keys = await store.QueryAsync(filter, scope, await store.ReadMarkAsync(cancel), _options.MaxSyncEvents + 1, cancel);
            budgets.Charge(open.Client.AddressPrefix, scope.Work);
            if (keys.Count > _options.MaxSyncEvents)
            {
                open.Client.Outbox.SendSyncError(id, Rejections.TooManyToSync);
                return;
            }

            set = new NegentropySet(keys.Select(key => new NegentropyItem(key.CreatedAt, key.Id)));
        }
        catch (QueryTooWideException)
        {
            open.Client.Outbox.SendSyncError(id, Rejections.TooManyToSync);
            return;
        }
        catch (IOException)
        {
            open.Client.Outbox.SendSyncError(id, Rejections.StoreFailed);
            return;
        }

        // 3. The first answer.
        var sync = new Sync(open.Client, id, set);
        (open.Syncs ??= new(StringComparer.Ordinal))[id] = sync;
        Enter(sync);
        Answer(open, sync, set, message);
    }

    /// <summary>NEG-MSG.</summary>
    public void Continue(OpenRequests open, string id, byte[] message)
    {
        if (open.Syncs is null || !open.Syncs.TryGetValue(id, out var sync) || Touch(sync) is not { } set)
        {
            Refuse(open, id, Rejections.SyncClosed);
            return;
        }

        budgets.Charge(open.Client.AddressPrefix, RelayBudgets.RequestUnits + ((double)set.Count / ItemsPerUnit));
        Answer(open, sync, set, message);
    }

    /// <summary>NEG-CLOSE; an unknown id is nothing.</summary>
    public void Close(OpenRequests open, string id)
    {
        open.Client.EndWait(ClientMessageKind.NegOpen, id);
        if (open.Syncs is not null && open.Syncs.Remove(id, out var sync))
        {
            Leave(sync);
        }
    }

    /// <summary>NEG-ERR; nothing of that id is open afterwards.</summary>
    public void Refuse(OpenRequests open, string id, in RejectReason reason)
    {
        Close(open, id);
        open.Client.RefuseSync(id, reason);
    }

    public void CloseAll(OpenRequests open)
    {
        foreach (var sync in open.Syncs?.Values ?? Enumerable.Empty<Sync>())
        {
            Leave(sync);
        }

        open.Syncs = null;
    }

    private bool Allows(OpenRequests open, Filter filter, out RejectReason reason) =>
        ReadPolicy.Allows([filter], open.Client.Keys, IsOpen, searches: false, out reason);

    private bool IsOpen => _options.GiftWraps == GiftWrapAccessMode.Open;

    private void Answer(OpenRequests open, Sync sync, NegentropySet set, byte[] message)
    {
        if (Reconciliation.TryRespond(set, message, MaxAnswerBytes, out var answer))
        {
            sync.Client.Outbox.SendSyncMessage(sync.Id, answer, sync.Client.Compression == RelayCompression.All);
            return;
        }

        Close(open, sync.Id);
        sync.Client.Outbox.SendSyncError(sync.Id, Rejections.BadSyncMessage);
    }

    private void Enter(Sync sync)
    {
        lock (_lock)
        {
            _open.AddLast(sync);
            _items += sync.Set!.Count;
            while (_items > (long)MaxSnapshots * _options.MaxSyncEvents && _open.First is { } oldest && oldest.Value != sync)
            {
                Drop(oldest.Value);
            }
        }
    }

    private NegentropySet? Touch(Sync sync)
    {
        lock (_lock)
        {
            if (sync.Set is not null && _open.Last!.Value != sync)
            {
                _open.Remove(sync);
                _open.AddLast(sync);
            }

            return sync.Set;
        }
    }

    private void Leave(Sync sync)
    {
        lock (_lock)
        {
            Drop(sync);
        }
    }

    private void Drop(Sync sync)
    {
        if (sync.Set is { } set)
        {
            _items -= set.Count;
            sync.Set = null;
            _open.Remove(sync);
        }
    }
}
