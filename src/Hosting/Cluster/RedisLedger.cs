using System.Text;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Marmot.Hosting.Cluster;

/// <summary>The ledger on Redis: one key a claim, gone by itself.</summary>
/// <remarks>
/// The value is the owner while the work is under way and one byte once it is done. No scripts: what a script returns may be of any shape, and the library
/// reads that by a method that calls itself for each level, so that a server which answers nonsense could end this process. The replies of the commands used
/// here have one shape.
/// </remarks>
public sealed class RedisLedger : IClaimLedger, ISharedValues
{
    private const int MaxTries = 3;
    private static readonly byte[] Done = "d"u8.ToArray();
    private readonly RedisLink _link;
    private readonly ClusterIdentity _identity;
    private readonly bool _ownsIdentity;

    /// <param name="endpoint">The server.</param>
    /// <param name="prefix">What sets this deployment's keys apart from others on the same server.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public RedisLedger(RedisEndpoint endpoint, string prefix, ILogger log)
        : this(endpoint, ClusterIdentity.Fixed(prefix), log) => _ownsIdentity = true;

    /// <param name="endpoint">The server.</param>
    /// <param name="identity">Which deployment and history this is; until it is known the ledger cannot be asked.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public RedisLedger(RedisEndpoint endpoint, ClusterIdentity identity, ILogger log)
    {
        _identity = identity;
        _link = new RedisLink(endpoint, log);
    }

    /// <inheritdoc/>
    public bool IsConnected => _link.IsConnected && _identity.Current is not null;

    /// <inheritdoc/>
    public async ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel)
    {
        var mine = owner.Span.ToArray();
        var reply = await PutFirstAsync("claim", hash, mine, lease, cancel);
        return reply.AsSpan().SequenceEqual(mine) ? ClaimAnswer.Owned
            : reply.AsSpan().SequenceEqual(Done) ? ClaimAnswer.Done
            : reply.Length == Bytes32.Size ? ClaimAnswer.Held
            : throw new RedisReplyLostException();
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel)
    {
        var key = Key("claim", hash);
        if (!await RedisErrors.AskAsync(() => _link.Connection.GetDatabase().StringSetAsync(key, Done, window), cancel))
        {
            throw new RedisReplyLostException();
        }
    }

    /// <inheritdoc/>
    public async ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel) =>
        await RedisErrors.AskAsync(() => _link.Connection.GetDatabase().LockReleaseAsync(Key("claim", hash), owner.Span.ToArray()), cancel);

    /// <inheritdoc/>
    public async ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel) =>
        await PutFirstAsync("value", name, value, lifetime, cancel);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _link.DisposeAsync();
        if (_ownsIdentity)
        {
            await _identity.DisposeAsync();
        }
    }

    /// <summary>What stands under the name: the value given if nothing did before.</summary>
    private async Task<byte[]> PutFirstAsync(string kind, Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel)
    {
        var key = Key(kind, name);
        for (var i = 0; i < MaxTries; i++)
        {
            if (await RedisErrors.AskAsync(() => TryPutAsync(_link.Connection.GetDatabase(), key, value, lifetime), cancel) is { } found)
            {
                return found;
            }
        }

        throw new RedisReplyLostException();
    }

    // Null when what was there ended between the two commands, which leave together. What others do in between changes nothing: the first alone decides.
    private static async Task<byte[]?> TryPutAsync(IDatabase database, RedisKey key, byte[] value, TimeSpan lifetime)
    {
        var put = database.StringSetAsync(key, value, lifetime, When.NotExists);
        var get = database.StringGetAsync(key);
        await Task.WhenAll(put, get);
        var found = (byte[]?)await get;
        return await put && !found.AsSpan().SequenceEqual(value) ? throw new RedisReplyLostException() : found;
    }

    // PREFIX:HISTORY:KIND:NAME. What was claimed in an earlier history of the database does not count in this one.
    private RedisKey Key(string kind, in Bytes32 name)
    {
        var identity = _identity.Current ?? throw new RedisUnavailableException();
        byte[] key = [
            .. Encoding.UTF8.GetBytes(identity.History == 0 ? $"{identity.Prefix}:{kind}:" : $"{identity.Prefix}:{identity.History:x16}:{kind}:"), .. name.Span
        ];
        return key;
    }
}
