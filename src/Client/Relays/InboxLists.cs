using System.Collections.Concurrent;
using Marmot.Client.Accounts;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Relays;

/// <summary>Where others receive gift wraps: their kind 10050 lists (NIP-17), remembered for a while.</summary>
internal sealed class InboxLists
{
    /// <summary>How long a list of inbox relays is taken for the owner's newest.</summary>
    private static readonly TimeSpan InboxListPause = TimeSpan.FromMinutes(10);

    private readonly Account _account;
    private readonly RelayRequests _relays;
    private readonly ConcurrentDictionary<Bytes32, (IReadOnlyList<string> Relays, long ReadAt)> _known = new();

    public InboxLists(Account account, RelayRequests relays)
        => (_account, _relays) = (account, relays);

    /// <summary>The relays of an account's list; empty when it has none where this client looks.</summary>
    public async Task<IReadOnlyList<string>> FindAsync(Bytes32 account, IReadOnlyList<string> also, CancellationToken cancellationToken)
    {
        if (_known.TryGetValue(account, out var list) && IsNew(list.ReadAt))
        {
            return list.Relays;
        }

        foreach (var (old, _) in _known.Where(pair => !IsNew(pair.Value.ReadAt)))
        {
            _known.TryRemove(old, out _);
        }

        var lists = await _relays.FetchAsync(
            RelayUrls.Distinct([.. _account.Settings.Relays, .. also]),
            new Filter { Authors = [account], Kinds = [MarmotNumbers.InboxRelaysKind] },
            asAccount: false,
            cancellationToken);
        var relays = RelayRequests.NewestList(lists, MarmotNumbers.InboxRelaysKind, "relay");
        if (relays.Count > 0)
        {
            _known[account] = (relays, _account.Time.GetTimestamp());
        }

        return relays;
    }

    private bool IsNew(long readAt) => _account.Time.GetElapsedTime(readAt) <= InboxListPause;
}
