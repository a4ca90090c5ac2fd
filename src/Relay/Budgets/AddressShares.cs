using Marmot.Hosting.Callers;

namespace Marmot.Relay.Budgets;

/// <summary>What the connections of one address hold together. Changed by <see cref="SharedLimit"/> alone.</summary>
internal sealed class AddressShare(AddressPrefix? prefix)
{
    /// <summary>Connections whose client is nobody we know.</summary>
    public long Connections;

    /// <summary>Connections of members (<see cref="AddressShares.TryAdmitMember"/>).</summary>
    public long Members;

    /// <summary>Bytes of filters held open.</summary>
    public long FilterBytes;

    /// <summary>Bytes of messages that are not whole, or not read yet.</summary>
    public long InputBytes;

    /// <summary>How many connections use it; under the lock of <see cref="AddressShares"/>.</summary>
    public int Users;

    /// <summary>Null when the address is not counted.</summary>
    public AddressPrefix? Prefix { get; } = prefix;

    /// <summary>For <see cref="SharedLimit.TryTake"/>.</summary>
    public int Part => Prefix is null ? 0 : SharedLimit.Part;
}

/// <summary>Who holds how much of what all connections share: places for connections, filters held open, and messages that are not whole.</summary>
/// <remarks>An address is known here only while it has connections. Thread-safe; see docs/locking.md.</remarks>
internal sealed class AddressShares(RelayOptions options)
{
    /// <summary>Connections an address may have however full the relay is: a household, a small office.</summary>
    private const int FewConnections = 8;

    /// <summary>Bytes of filters: a client that follows a hundred keys in several requests.</summary>
    private const int FewFilterBytes = 256 * 1024;

    /// <summary>An address that members come from may hold as much as it leaves free.</summary>
    private const int MembersPart = 1;

    private readonly Lock _lock = new();
    private readonly Dictionary<AddressPrefix, AddressShare> _shares = [];
    private readonly SharedLimit _connections = new(options.MaxConnections, FewConnections);
    private readonly AddressShare _uncounted = new(prefix: null); // of all whose address is not counted: they share only the whole

    /// <summary>Bytes of filters held open over all connections.</summary>
    public SharedLimit Filters { get; } = new(options.MaxFilterBytesTogether, FewFilterBytes);

    /// <summary>Bytes of messages that are not whole or not read yet over all connections.</summary>
    public SharedLimit Input { get; } = new(options.MaxInputBytesTogether, options.MaxMessageBytes);

    /// <summary>Takes a place for a connection; null when the address has its share, or all places are taken. <see cref="Close"/> gives it back.</summary>
    public AddressShare? TryOpen(AddressPrefix? prefix)
    {
        if (prefix is not { } address)
        {
            return _connections.TryTake(ref _uncounted.Connections, 1, _uncounted.Part) ? _uncounted : null;
        }

        lock (_lock)
        {
            if (!_shares.TryGetValue(address, out var share))
            {
                share = new AddressShare(address);
            }

            if (!_connections.TryTake(ref share.Connections, 1, share.Part))
            {
                return null;
            }

            share.Users++;
            _shares[address] = share;
            return share;
        }
    }

    /// <summary>Counts a connection as a member's from now on, which leaves its address room for another; false when the address has too many of
    /// them.</summary>
    public bool TryAdmitMember(AddressShare share)
    {
        if (!_connections.TryTake(ref share.Members, 1, share.Prefix is null ? 0 : MembersPart))
        {
            return false;
        }

        _connections.Return(ref share.Connections, 1);
        return true;
    }

    /// <summary>Gives back the place of a connection.</summary>
    /// <param name="share">What <see cref="TryOpen"/> returned.</param>
    /// <param name="isMember">Whether <see cref="TryAdmitMember"/> took it in.</param>
    public void Close(AddressShare share, bool isMember)
    {
        _connections.Return(ref isMember ? ref share.Members : ref share.Connections, 1);
        if (share.Prefix is { } address)
        {
            lock (_lock)
            {
                if (--share.Users == 0)
                {
                    _shares.Remove(address);
                }
            }
        }
    }
}
