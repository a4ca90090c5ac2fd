using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Connections;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Queries;

/// <summary>One open reconciliation: a snapshot of ids, taken when it was opened.</summary>
internal sealed class Sync(Connection connection, string id, NegentropySet set)
{
    public Connection Connection { get; } = connection;

    public string Id { get; } = id;

    /// <summary>Null once it was given up for others.</summary>
    public NegentropySet? Set { get; set; } = set;
}

/// <summary>NIP-77: NEG-OPEN, NEG-MSG, NEG-CLOSE. Only ids that the connection may read are told.</summary>
/// <remarks>Snapshots take memory, so all together are bounded; the one that rested longest gives way. One lock, see docs/locking.md.</remarks>
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
    public ValueTask OpenAsync(Connection connection, string id, Filter filter, byte[] message, CancellationToken cancel)
    {
        Close(connection, id);
        if (Allows(connection, filter, out var reason))
        {
            return AnswerAsync(connection, id, filter, message, cancel);
        }

        var request = new WaitingRequest(
            ClientMessageKind.NegOpen,
            id,
            AuthWaits.BytesOf([filter]) + message.Length,
            Check: () => Allows(connection, filter, out var still) ? default : still,
            Serve: token => AnswerAsync(connection, id, filter, message, token),
            Refuse: why => connection.RefuseSync(id, why));
        if (reason.Prefix != RejectPrefix.AuthRequired || !connection.TryWait(request))
        {
            connection.RefuseSync(id, reason);
        }

        return default;
    }

    private async ValueTask AnswerAsync(Connection connection, string id, Filter filter, byte[] message, CancellationToken cancel)
    {
        // 1. Is there room?
        if (connection.Syncs?.Count >= _options.MaxSubscriptions)
        {
            connection.Outbox.SendSyncError(id, Rejections.TooManySubscriptions);
            return;
        }

        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.RequestUnits))
        {
            connection.Outbox.SendSyncError(id, Rejections.TooMuchWork);
            return;
        }

        // 2. The snapshot.
        metrics.Query();
        NegentropySet set;
        try
        {
            var scope = new ReadScope(connection.Keys, IsOpen, clock.GetUtcNow().ToUnixTimeSeconds())
            {
                MaxWork = Math.Max(_options.MaxQueryWork, _options.MaxSyncEvents + 1),
                Turn = connection.Turn,
            };
            var keys = await store.QueryAsync(filter, scope, await store.ReadMarkAsync(cancel), _options.MaxSyncEvents + 1, cancel);
            budgets.Charge(connection.AddressPrefix, scope.Work);
            if (keys.Count > _options.MaxSyncEvents)
            {
                connection.Outbox.SendSyncError(id, Rejections.TooManyToSync);
                return;
            }

            set = new NegentropySet(keys.Select(key => new NegentropyItem(key.CreatedAt, key.Id)));
        }
        catch (QueryTooWideException)
        {
            connection.Outbox.SendSyncError(id, Rejections.TooManyToSync);
            return;
        }
        catch (IOException)
        {
            connection.Outbox.SendSyncError(id, Rejections.StoreFailed);
            return;
        }

        // 3. The first answer.
        var sync = new Sync(connection, id, set);
        (connection.Syncs ??= new(StringComparer.Ordinal))[id] = sync;
        Enter(sync);
        Answer(sync, set, message);
    }

    /// <summary>NEG-MSG.</summary>
    public void Continue(Connection connection, string id, byte[] message)
    {
        if (connection.Syncs is null || !connection.Syncs.TryGetValue(id, out var sync) || Touch(sync) is not { } set)
        {
            Refuse(connection, id, Rejections.SyncClosed);
            return;
        }

        budgets.Charge(connection.AddressPrefix, RelayBudgets.RequestUnits + ((double)set.Count / ItemsPerUnit));
        Answer(sync, set, message);
    }

    /// <summary>NEG-CLOSE; an unknown id is nothing.</summary>
    public void Close(Connection connection, string id)
    {
        connection.EndWait(ClientMessageKind.NegOpen, id);
        if (connection.Syncs is not null && connection.Syncs.Remove(id, out var sync))
        {
            Leave(sync);
        }
    }

    /// <summary>NEG-ERR; nothing of that id is open afterwards.</summary>
    public void Refuse(Connection connection, string id, in RejectReason reason)
    {
        Close(connection, id);
        connection.RefuseSync(id, reason);
    }

    public void CloseAll(Connection connection)
    {
        foreach (var sync in connection.Syncs?.Values ?? Enumerable.Empty<Sync>())
        {
            Leave(sync);
        }

        connection.Syncs = null;
    }

    private bool Allows(Connection connection, Filter filter, out RejectReason reason) =>
        ReadPolicy.Allows([filter], connection.Keys, IsOpen, searches: false, out reason);

    private bool IsOpen => _options.GiftWraps == GiftWrapAccessMode.Open;

    private void Answer(Sync sync, NegentropySet set, byte[] message)
    {
        if (Reconciliation.TryRespond(set, message, MaxAnswerBytes, out var answer))
        {
            sync.Connection.Outbox.SendSyncMessage(sync.Id, answer, sync.Connection.Compression == RelayCompression.All);
            return;
        }

        Close(sync.Connection, sync.Id);
        sync.Connection.Outbox.SendSyncError(sync.Id, Rejections.BadSyncMessage);
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
