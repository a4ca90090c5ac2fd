using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Connections;
using Marmot.Relay.Ingest;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Queries;

/// <summary>REQ, COUNT and CLOSE: read policy, subscription, stored scan, EOSE, live.</summary>
internal sealed class Requests(
    IEventStore store,
    SubscriptionIndex index,
    TimeProvider clock,
    RelayBudgets budgets,
    AuthWaitMemory held,
    RelayMetrics metrics,
    IOptions<RelayOptions> options)
{
    /// <summary>Events of a count that are read for their authors (NIP-45, HyperLogLog).</summary>
    private const int MaxRegistered = 100_000;

    private readonly RelayOptions _options = options.Value;

    /// <summary>NIP-01 REQ. An id in use is replaced. One that needs authentication waits for it (NIP-42), in the index already.</summary>
    public async ValueTask OpenAsync(Connection connection, string id, Filter[] filters, CancellationToken cancel)
    {
        // 1. May it?
        Close(connection, id);
        var needsAuth = !Allows(connection, filters, out var reason) && reason.Prefix == RejectPrefix.AuthRequired;
        if (!needsAuth && reason.Prefix is not null)
        {
            connection.RefuseRequest(id, reason);
            return;
        }

        if (connection.Subscriptions.Count >= _options.MaxSubscriptions)
        {
            connection.RefuseRequest(id, Rejections.TooManySubscriptions);
            return;
        }

        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.RequestUnitsOf(filters)))
        {
            connection.RefuseRequest(id, Rejections.TooMuchWork);
            return;
        }

        var bytes = FilterMemory.BytesOf(filters);
        if (!connection.TryHoldFilters(bytes))
        {
            connection.RefuseRequest(id, Rejections.TooMuchOpen);
            return;
        }

        // 2. Listen first, then read the mark: see Subscription.
        metrics.Query();
        var subscription = new Subscription(connection, id, filters, needsAuth ? held : null) { FilterBytes = bytes };
        connection.Subscriptions.Add(id, subscription);
        index.Add(subscription);
        if (needsAuth)
        {
            await WaitAsync(subscription, reason, cancel);
        }
        else
        {
            await AnswerAsync(subscription, mark: null, cancel);
        }
    }

    // The mark is that of the request, not of the answer: a filter with a limit of 0 would else miss what comes while it waits.
    private async ValueTask WaitAsync(Subscription subscription, RejectReason reason, CancellationToken cancel)
    {
        var (connection, id) = (subscription.Connection, subscription.Id);
        ulong mark;
        try
        {
            mark = await store.ReadMarkAsync(cancel);
        }
        catch (IOException)
        {
            Refuse(connection, id, Rejections.StoreFailed);
            return;
        }

        subscription.StartFrom(mark);
        var request = new WaitingRequest(
            ClientMessageKind.Req,
            id,
            AuthWaits.BytesOf(subscription.Filters),
            Check: () => Allows(connection, subscription.Filters, out var still) ? default : still,
            Serve: token => AdmitAsync(subscription, mark, token),
            Refuse: why => Refuse(connection, id, why));
        if (!connection.TryWait(request))
        {
            Refuse(connection, id, reason);
        }
    }

    private ValueTask AdmitAsync(Subscription subscription, ulong mark, CancellationToken cancel)
    {
        if (subscription.Admit(subscription.Connection.Keys, IsOpen))
        {
            return AnswerAsync(subscription, mark, cancel);
        }

        Refuse(subscription.Connection, subscription.Id, Rejections.TooMuchHeld);
        return default;
    }

    /// <summary>CLOSED for a REQ; nothing of that id is open afterwards.</summary>
    public void Refuse(Connection connection, string id, in RejectReason reason)
    {
        Close(connection, id);
        connection.RefuseRequest(id, reason);
    }

    // What is stored, then EOSE, then live.
    private async ValueTask AnswerAsync(Subscription subscription, ulong? mark, CancellationToken cancel)
    {
        var (connection, filters) = (subscription.Connection, subscription.Filters);
        var scope = Scope(connection);
        try
        {
            var answer = mark is null ? await store.TryAnswerAsync(filters, scope, _options.MaxLimit, cancel) : null;
            var upTo = mark ?? answer?.Mark ?? await store.ReadMarkAsync(cancel);
            subscription.StartFrom(upTo);
            var keys = answer?.Keys ?? await StoredEventScan.FindAsync(store, filters, scope, upTo, _options.MaxLimit, cancel);
            await StoredEventScan.SendAsync(store, subscription, keys, _options.MaxOutboxBytes, cancel);
        }
        catch (Exception exception) when (exception is IOException or QueryTooWideException)
        {
            Refuse(connection, subscription.Id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
            return;
        }
        finally
        {
            budgets.Charge(connection.AddressPrefix, scope.Work);
        }

        subscription.GoLive(RelayMessages.Eose(subscription.EncodedId));
    }

    /// <summary>NIP-45. Counts what the connection may see, so that nothing is learnt by counting. One that needs authentication waits for it (NIP-42).</summary>
    public ValueTask CountAsync(Connection connection, string id, Filter[] filters, CancellationToken cancel)
    {
        connection.EndWait(ClientMessageKind.Count, id);
        if (Allows(connection, filters, out var reason))
        {
            return AnswerCountAsync(connection, id, filters, cancel);
        }

        var request = new WaitingRequest(
            ClientMessageKind.Count,
            id,
            AuthWaits.BytesOf(filters),
            Check: () => Allows(connection, filters, out var still) ? default : still,
            Serve: token => AnswerCountAsync(connection, id, filters, token),
            Refuse: why => connection.RefuseRequest(id, why));
        if (reason.Prefix != RejectPrefix.AuthRequired || !connection.TryWait(request))
        {
            connection.RefuseRequest(id, reason);
        }

        return default;
    }

    /// <summary>CLOSED for a COUNT; one of that id that waits does so no more.</summary>
    public static void RefuseCount(Connection connection, string id, in RejectReason reason)
    {
        connection.EndWait(ClientMessageKind.Count, id);
        connection.RefuseRequest(id, reason);
    }

    private async ValueTask AnswerCountAsync(Connection connection, string id, Filter[] filters, CancellationToken cancel)
    {
        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.RequestUnitsOf(filters)))
        {
            connection.RefuseRequest(id, Rejections.TooMuchWork);
            return;
        }

        metrics.Query();
        var scope = Scope(connection);
        try
        {
            if (filters is [{ Search: null } single])
            {
                await CountAsync(connection, id, single, scope, cancel);
                return;
            }

            var found = await StoredEventScan.FindAsync(
                store, [.. filters.Select(f => f.WithLimit(null))], scope, await store.ReadMarkAsync(cancel), int.MaxValue, cancel);
            connection.Outbox.SendCount(id, found.Count);
        }
        catch (Exception exception) when (exception is IOException or QueryTooWideException)
        {
            connection.RefuseRequest(id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
        }
        finally
        {
            budgets.Charge(connection.AddressPrefix, scope.Work);
        }
    }

    // With the authors' registers where NIP-45 defines them and reading the events is not too much.
    private async ValueTask CountAsync(Connection connection, string id, Filter filter, ReadScope scope, CancellationToken cancel)
    {
        if (HyperLogLog.TryCreate(filter) is not { } authors)
        {
            connection.Outbox.SendCount(id, await store.CountAsync(filter, scope, await store.ReadMarkAsync(cancel), cancel));
            return;
        }

        var keys = await store.QueryAsync(filter.WithLimit(null), scope, await store.ReadMarkAsync(cancel), int.MaxValue, cancel);
        if (keys.Count > MaxRegistered)
        {
            connection.Outbox.SendCount(id, keys.Count);
            return;
        }

        await store.ReadAsync(keys, 0, authors, cancel);
        scope.Work += keys.Count;
        connection.Outbox.SendCount(id, keys.Count, authors.ToHex());
    }

    /// <summary>NIP-01 CLOSE, also of a REQ or COUNT that waits for authentication; an unknown id is nothing.</summary>
    public void CloseByClient(Connection connection, string id)
    {
        connection.EndWait(ClientMessageKind.Count, id);
        Close(connection, id);
    }

    private void Close(Connection connection, string id)
    {
        connection.EndWait(ClientMessageKind.Req, id);
        if (connection.Subscriptions.Remove(id, out var subscription))
        {
            End(subscription);
        }
    }

    public void CloseAll(Connection connection)
    {
        foreach (var subscription in connection.Subscriptions.Values)
        {
            End(subscription);
        }

        connection.Subscriptions.Clear();
    }

    private void End(Subscription subscription)
    {
        index.Remove(subscription);
        subscription.Close();
        subscription.Connection.ReturnFilters(subscription.FilterBytes);
    }

    private bool Allows(Connection connection, Filter[] filters, out RejectReason reason) =>
        ReadPolicy.Allows(filters, connection.Keys, IsOpen, _options.Search, out reason);

    private bool IsOpen => _options.GiftWraps == GiftWrapAccessMode.Open;

    private ReadScope Scope(Connection connection) => new(connection.Keys, IsOpen, clock.GetUtcNow().ToUnixTimeSeconds()) { MaxWork = _options.MaxQueryWork, Turn = connection.Turn };
}
