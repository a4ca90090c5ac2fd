using Marmot.Protocol.Events;
using Marmot.Relay.Budgets;
using Marmot.Relay.Live;
using Marmot.Relay.Replies;

namespace Marmot.Relay.Queries;

/// <summary>What one client has open: subscriptions by id, reconciliations by id, and the bytes that their filters take. Its read loop's own.</summary>
/// <param name="client">Whose.</param>
/// <param name="shares">What all clients share.</param>
/// <param name="share">The part of the client's address.</param>
/// <param name="maxFilterBytes">Bytes of filters that the client may hold open.</param>
internal sealed class OpenRequests(ReplyTarget client, AddressShares shares, AddressShare share, long maxFilterBytes)
{
    private long _filterBytes;

    public ReplyTarget Client { get; } = client;

    /// <summary>Open subscriptions by id.</summary>
    public Dictionary<string, Subscription> Subscriptions { get; } = new(StringComparer.Ordinal);

    /// <summary>Open reconciliations by id (NIP-77); null while there is none.</summary>
    public Dictionary<string, Sync>? Syncs { get; set; }

    /// <summary>Counts the filters of a subscription that is about to be opened; false when the client, its address or all together hold too much.</summary>
    public bool TryHoldFilters(int bytes)
    {
        if (_filterBytes + bytes > maxFilterBytes || !shares.Filters.TryTake(ref share.FilterBytes, bytes, share.Part))
        {
            return false;
        }

        _filterBytes += bytes;
        return true;
    }

    /// <summary>After <see cref="TryHoldFilters"/>.</summary>
    public void ReturnFilters(int bytes)
    {
        _filterBytes -= bytes;
        shares.Filters.Return(ref share.FilterBytes, bytes);
    }

    /// <summary>Says CLOSED or NEG-ERR for everything that is open.</summary>
    public void SayClosed(RejectReason reason)
    {
        foreach (var id in Subscriptions.Keys)
        {
            Client.Outbox.SendClosed(id, reason);
        }

        foreach (var id in Syncs?.Keys ?? Enumerable.Empty<string>())
        {
            Client.Outbox.SendSyncError(id, reason);
        }
    }
}
