using System.Text;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Marmot.Hosting.Cluster;

/// <summary>The ledger on Redis: one key a claim, gone by itself.</summary>
/// <remarks>The value is the owner while the work is under way and one byte once it is done. Each step is one script, so that nothing comes between its look
/// and its change.</remarks>
public sealed class RedisLedger : IClaimLedger, ISharedValues
{
    private const string ClaimScript = """
        local v = redis.call('GET', KEYS[1])
        if v and v ~= ARGV[1] then return v end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return ARGV[1]
        """;

    private const string ReleaseScript = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
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
        var reply = await EvaluateAsync(ClaimScript, "claim", hash, cancel, mine, (long)lease.TotalMilliseconds);
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
        await RedisErrors.AskAsync(() => _link.Connection.GetDatabase()
            .ScriptEvaluateAsync(ReleaseScript, [Key("claim", hash)], [owner.Span.ToArray()]), cancel);

    /// <inheritdoc/>
    public async ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan life, CancellationToken cancel) =>
        // The same script: what is there stays, unless it is the very same value.
        await EvaluateAsync(ClaimScript, "value", name, cancel, value, (long)life.TotalMilliseconds);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _link.DisposeAsync();
        if (_ownsIdentity)
        {
            await _identity.DisposeAsync();
        }
    }

    private async Task<byte[]> EvaluateAsync(string script, string kind, Bytes32 name, CancellationToken cancel, params RedisValue[] arguments)
    {
        var key = Key(kind, name);
        var result = await RedisErrors.AskAsync(() => _link.Connection.GetDatabase().ScriptEvaluateAsync(script, [key], arguments), cancel);
        return result.Resp2Type == ResultType.BulkString && (byte[]?)result is { } bytes ? bytes : throw new RedisReplyLostException();
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
