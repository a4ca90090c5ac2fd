using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Budgets;
using Marmot.Relay.Live;
using Marmot.Relay.Replies;
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
    public async ValueTask OpenAsync(OpenRequests open, string id, Filter[] filters, CancellationToken cancel)
    {
        // 1. May it?
        Close(open, id);
        var needsAuth = !Allows(open, filters, out var reason) && reason.Prefix == RejectPrefix.AuthRequired;
        if (!needsAuth && !reason.IsNone)
        {
            open.Client.RefuseRequest(id, reason);
            return;
        }

        if (open.Subscriptions.Count >= _options.MaxSubscriptions)
        {
            open.Client.RefuseRequest(id, Rejections.TooManySubscriptions);
            return;
        }

        if (!budgets.TryTake(open.Client.AddressPrefix, RelayBudgets.RequestUnitsOf(filters)))
        {
            open.Client.RefuseRequest(id, Rejections.TooMuchWork);
            return;
        }

        var bytes = FilterMemory.BytesOf(filters);
        if (!open.TryHoldFilters(bytes))
        {
            open.Client.RefuseRequest(id, Rejections.TooMuchOpen);
            return;
        }

        // 2. Listen first, then read the mark: see Subscription.
        metrics.Query();
        var subscription = new Subscription(open.Client, id, filters, needsAuth ? held : null) { FilterBytes = bytes };
        open.Subscriptions.Add(id, subscription);
        index.Add(subscription);
        if (needsAuth)
        {
            await WaitAsync(open, subscription, reason, cancel);
        }
        else
        {
            await AnswerAsync(open, subscription, mark: null, cancel);
        }
    }

    // The mark is that of the request, not of the answer: a filter with a limit of 0 would else miss what comes while it waits.
    private async ValueTask WaitAsync(OpenRequests open, Subscription subscription, RejectReason reason, CancellationToken cancel)
    {
        var id = subscription.Id;
        ulong mark;
        try
        {
            mark = await store.ReadMarkAsync(cancel);
        }
        catch (IOException)
        {
            Refuse(open, id, Rejections.StoreFailed);
            return;
        }

        subscription.StartFrom(mark);
        var request = new WaitingRequest(
            ClientMessageKind.Req,
            id,
            AuthWaits.BytesOf(subscription.Filters),
            Check: () => Allows(open, subscription.Filters, out var still) ? default : still,
            Serve: token => AdmitAsync(open, subscription, mark, token),
            Refuse: why => Refuse(open, id, why));
        if (!open.Client.TryWait(request))
        {
            Refuse(open, id, reason);
        }
    }

    private ValueTask AdmitAsync(OpenRequests open, Subscription subscription, ulong mark, CancellationToken cancel)
    {
        if (subscription.Admit(open.Client.Keys, IsOpen))
        {
            return AnswerAsync(open, subscription, mark, cancel);
        }

        Refuse(open, subscription.Id, Rejections.TooMuchHeld);
        return default;
    }

    /// <summary>CLOSED for a REQ; nothing of that id is open afterwards.</summary>
    public void Refuse(OpenRequests open, string id, in RejectReason reason)
    {
        Close(open, id);
        open.Client.RefuseRequest(id, reason);
    }

    // What is stored, then EOSE, then live.
    private async ValueTask AnswerAsync(OpenRequests open, Subscription subscription, ulong? mark, CancellationToken cancel)
    {
        var filters = subscription.Filters;
        var scope = Scope(open, keepsSeconds: true);
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
            Refuse(open, subscription.Id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
            return;
        }
        finally
        {
            budgets.Charge(open.Client.AddressPrefix, scope.Work);
        }

        subscription.GoLive(RelayMessages.Eose(subscription.EncodedId, HintOf(scope)));
    }

    /// <summary>NIP-45. Counts what the connection may see, so that nothing is learnt by counting. One that needs authentication waits for it
    /// (NIP-42).</summary>
    public ValueTask CountAsync(OpenRequests open, string id, Filter[] filters, CancellationToken cancel)
    {
        open.Client.EndWait(ClientMessageKind.Count, id);
        if (Allows(open, filters, out var reason))
        {
            return AnswerCountAsync(open, id, filters, cancel);
        }

        var request = new WaitingRequest(
            ClientMessageKind.Count,
            id,
            AuthWaits.BytesOf(filters),
            Check: () => Allows(open, filters, out var still) ? default : still,
            Serve: token => AnswerCountAsync(open, id, filters, token),
            Refuse: why => open.Client.RefuseRequest(id, why));
        if (reason.Prefix != RejectPrefix.AuthRequired || !open.Client.TryWait(request))
        {
            open.Client.RefuseRequest(id, reason);
        }

        return default;
    }

    /// <summary>CLOSED for a COUNT; one of that id that waits does so no more.</summary>
    public static void RefuseCount(OpenRequests open, string id, in RejectReason reason)
    {
        open.Client.EndWait(ClientMessageKind.Count, id);
        open.Client.RefuseRequest(id, reason);
    }

    private async ValueTask AnswerCountAsync(OpenRequests open, string id, Filter[] filters, CancellationToken cancel)
    {
        if (!budgets.TryTake(open.Client.AddressPrefix, RelayBudgets.RequestUnitsOf(filters)))
        {
            open.Client.RefuseRequest(id, Rejections.TooMuchWork);
            return;
        }

        metrics.Query();
        var scope = Scope(open);
        try
        {
            if (filters is [{ Search: null } single])
            {
                await CountAsync(open, id, single, scope, cancel);
                return;
            }

            var found = await StoredEventScan.FindAsync(
                store, [.. filters.Select(f => f.WithLimit(null))], scope, await store.ReadMarkAsync(cancel), int.MaxValue, cancel);
            open.Client.Outbox.SendCount(id, found.Count);
        }
        catch (Exception exception) when (exception is IOException or QueryTooWideException)
        {
            open.Client.RefuseRequest(id, exception is QueryTooWideException ? Rejections.TooWide : Rejections.StoreFailed);
        }
        finally
        {
            budgets.Charge(open.Client.AddressPrefix, scope.Work);
        }
    }

    // With the authors' registers where NIP-45 defines them and reading the events is not too much.
    private async ValueTask CountAsync(OpenRequests open, string id, Filter filter, ReadScope scope, CancellationToken cancel)
    {
        if (HyperLogLog.TryCreate(filter) is not { } authors)
        {
            open.Client.Outbox.SendCount(id, await store.CountAsync(filter, scope, await store.ReadMarkAsync(cancel), cancel));
            return;
        }

        var keys = await store.QueryAsync(filter.WithLimit(null), scope, await store.ReadMarkAsync(cancel), int.MaxValue, cancel);
        if (keys.Count > MaxRegistered)
        {
            open.Client.Outbox.SendCount(id, keys.Count);
            return;
        }

        await store.ReadAsync(keys, 0, authors, cancel);
        scope.Work += keys.Count;
        open.Client.Outbox.SendCount(id, keys.Count, authors.ToHex());
    }

    /// <summary>NIP-01 CLOSE, also of a REQ or COUNT that waits for authentication; an unknown id is nothing.</summary>
    public void CloseByClient(OpenRequests open, string id)
    {
        open.Client.EndWait(ClientMessageKind.Count, id);
        Close(open, id);
    }

    private void Close(OpenRequests open, string id)
    {
        open.Client.EndWait(ClientMessageKind.Req, id);
        if (open.Subscriptions.Remove(id, out var subscription))
        {
            End(open, subscription);
        }
    }

    public void CloseAll(OpenRequests open)
    {
        foreach (var subscription in open.Subscriptions.Values)
        {
            End(open, subscription);
        }

        open.Subscriptions.Clear();
    }

    private void End(OpenRequests open, Subscription subscription)
    {
        index.Remove(subscription);
        subscription.Close();
        open.ReturnFilters(subscription.FilterBytes);
    }

    private bool Allows(OpenRequests open, Filter[] filters, out RejectReason reason) =>
        ReadPolicy.Allows(filters, open.Client.Keys, IsOpen, _options.Search, out reason);

    private bool IsOpen => _options.GiftWraps == GiftWrapAccessMode.Open;

    // NIP-67. A damaged record is stored and was not sent, so that nothing is whole while there are any.
    private EoseHint HintOf(ReadScope scope) => scope.Rest switch
    {
        StoredRest.More => EoseHint.More,
        StoredRest.None when store.DamagedRecords == 0 => EoseHint.Finish,
        _ => EoseHint.None,
    };

    private ReadScope Scope(OpenRequests open, bool keepsSeconds = false) => new(open.Client.Keys, IsOpen, clock.GetUtcNow().ToUnixTimeSeconds())
    {
        MaxWork = _options.MaxQueryWork,
        Turn = open.Client.Turn,
        KeepsSeconds = keepsSeconds,
    };
}
