using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Connections;
using Marmot.Relay.Ingest;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Queries;

/// <summary>REQ, COUNT and CLOSE: read policy, subscription, stored scan, EOSE, live.</summary>
internal sealed class Requests(IEventStore store, SubscriptionIndex index, TimeProvider clock, RelayBudgets budgets, RelayMetrics metrics, IOptions<RelayOptions> options)
{
    /// <summary>Events of a count that are read for their authors (NIP-45, HyperLogLog).</summary>
    private const int MaxRegistered = 100_000;

    private readonly RelayOptions _options = options.Value;

    /// <summary>NIP-01 REQ. An id in use is replaced.</summary>
    public async ValueTask OpenAsync(Connection connection, string id, Filter[] filters, CancellationToken cancel)
    {
        // 1. May it?
        Close(connection, id);
        if (!ReadPolicy.Allows(filters, connection.Keys, IsOpen, _options.Search, out var reason))
        {
            connection.Outbox.SendClosed(id, reason);
            return;
        }

        if (connection.Subscriptions.Count >= _options.MaxSubscriptions)
        {
            connection.Outbox.SendClosed(id, Rejections.TooManySubscriptions);
            return;
        }

        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.RequestUnits * filters.Length))
        {
            connection.Outbox.SendClosed(id, Rejections.TooMuchWork);
            return;
        }

        // 2. Listen first, then read the mark: see Subscription.
        metrics.Query();
        var subscription = new Subscription(connection, id, filters);
        connection.Subscriptions.Add(id, subscription);
        index.Add(subscription);
        var scope = Scope(connection);
        try
        {
            var answer = await store.TryAnswerAsync(filters, scope, _options.MaxLimit, cancel);
            var mark = answer?.Mark ?? await store.ReadMarkAsync(cancel);
            subscription.StartFrom(mark);

            // 3. What is stored, then EOSE, then live.
            var keys = answer?.Keys ?? await StoredEventScan.FindAsync(store, filters, scope, mark, _options.MaxLimit, cancel);
            await StoredEventScan.SendAsync(store, subscription, keys, _options.MaxOutboxBytes, cancel);
        }
        catch (Exception exception) when (exception is IOException or QueryTooWideException)
        {
            Close(connection, id);
            connection.Outbox.SendClosed(id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
            return;
        }
        finally
        {
            budgets.Charge(connection.AddressPrefix, scope.Work);
        }

        subscription.GoLive(RelayMessages.Eose(subscription.EncodedId));
    }

    /// <summary>NIP-45. Counts what the connection may see, so that nothing is learnt by counting.</summary>
    public async ValueTask CountAsync(Connection connection, string id, Filter[] filters, CancellationToken cancel)
    {
        if (!ReadPolicy.Allows(filters, connection.Keys, IsOpen, _options.Search, out var reason))
        {
            connection.Outbox.SendClosed(id, reason);
            return;
        }

        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.RequestUnits * filters.Length))
        {
            connection.Outbox.SendClosed(id, Rejections.TooMuchWork);
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
            connection.Outbox.SendClosed(id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
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

    /// <summary>NIP-01 CLOSE; an unknown id is nothing.</summary>
    public void Close(Connection connection, string id)
    {
        if (connection.Subscriptions.Remove(id, out var subscription))
        {
            index.Remove(subscription);
            subscription.Close();
        }
    }

    public void CloseAll(Connection connection)
    {
        foreach (var subscription in connection.Subscriptions.Values)
        {
            index.Remove(subscription);
            subscription.Close();
        }

        connection.Subscriptions.Clear();
    }

    private bool IsOpen => _options.GiftWraps == GiftWrapAccessMode.Open;

    private ReadScope Scope(Connection connection) => new(connection.Keys, IsOpen, clock.GetUtcNow().ToUnixTimeSeconds()) { MaxWork = _options.MaxQueryWork };
}
