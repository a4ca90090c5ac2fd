using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Cluster;

/// <summary>The ledger on Redis: one key a claim, gone by itself.</summary>
/// <remarks>The value is the owner while the work is under way and one byte once it is done. Each step is one script, so that nothing comes between its look and its change.</remarks>
public sealed class RedisLedger : IClaimLedger, ISharedValues
{
    private const string ClaimScript = """
        local v = redis.call('GET', KEYS[1])
        if v and v ~= ARGV[1] then return v end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return ARGV[1]
        """;

    private const string ReleaseScript = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
    private static readonly ReadOnlyMemory<byte> Done = "d"u8.ToArray();
    private readonly RedisClient _client;
    private readonly ReadOnlyMemory<byte> _prefix;
    private readonly ReadOnlyMemory<byte> _valuePrefix;

    /// <param name="endpoint">The server.</param>
    /// <param name="name">What sets this deployment's keys apart from others on the same server.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public RedisLedger(RedisEndpoint endpoint, string name, ILogger log)
    {
        _client = new RedisClient(endpoint, log);
        _prefix = Encoding.UTF8.GetBytes(name + ":claim:");
        _valuePrefix = Encoding.UTF8.GetBytes(name + ":value:");
    }

    /// <inheritdoc/>
    public bool IsConnected => _client.IsConnected;

    /// <inheritdoc/>
    public async ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel)
    {
        var mine = owner.Span.ToArray();
        var reply = await EvaluateAsync(ClaimScript, ClaimHash, Key(_prefix, hash), cancel, mine, RespWriter.Word((long)lease.TotalMilliseconds));
        return reply.Bytes.Span.SequenceEqual(mine) ? ClaimAnswer.Owned : reply.Bytes.Span.SequenceEqual(Done.Span) ? ClaimAnswer.Done : ClaimAnswer.Held;
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel) =>
        ThrowOnError(await _client.SendAsync(RespWriter.Word("SET"), Key(_prefix, hash), Done, RespWriter.Word("PX"), RespWriter.Word((long)window.TotalMilliseconds)).WaitAsync(cancel));

    /// <inheritdoc/>
    public async ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel) =>
        await EvaluateAsync(ReleaseScript, ReleaseHash, Key(_prefix, hash), cancel, owner.Span.ToArray());

    /// <inheritdoc/>
    public async ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan life, CancellationToken cancel)
    {
        // The same script: what is there stays, unless it is the very same value.
        var reply = await EvaluateAsync(ClaimScript, ClaimHash, Key(_valuePrefix, name), cancel, value, RespWriter.Word((long)life.TotalMilliseconds));
        return reply.Bytes.ToArray();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _client.DisposeAsync();

    private static ReadOnlyMemory<byte> ClaimHash { get; } = ScriptHash(ClaimScript);

    private static ReadOnlyMemory<byte> ReleaseHash { get; } = ScriptHash(ReleaseScript);

    // By its hash; the text goes once, to a server that does not know it yet.
    private async Task<RespValue> EvaluateAsync(string script, ReadOnlyMemory<byte> scriptHash, ReadOnlyMemory<byte> key, CancellationToken cancel, params ReadOnlyMemory<byte>[] arguments)
    {
        var one = RespWriter.Word(1);
        var reply = await _client.SendAsync([RespWriter.Word("EVALSHA"), scriptHash, one, key, .. arguments]).WaitAsync(cancel);
        if (reply.ErrorCode == "NOSCRIPT")
        {
            reply = await _client.SendAsync([RespWriter.Word("EVAL"), RespWriter.Word(script), one, key, .. arguments]).WaitAsync(cancel);
        }

        return ThrowOnError(reply);
    }

    private static ReadOnlyMemory<byte> Key(ReadOnlyMemory<byte> prefix, in Bytes32 name)
    {
        byte[] key = [.. prefix.Span, .. name.Span];
        return key;
    }

    // A server that still loads its data, is full or read-only answers with an error: it cannot be asked.
    private static RespValue ThrowOnError(RespValue reply) =>
        reply.Kind == RespKind.Error ? throw new IOException("Redis refused: " + reply.ErrorCode) : reply;

#pragma warning disable CA5350 // Redis names scripts by their SHA-1; nothing rests on it
    private static ReadOnlyMemory<byte> ScriptHash(string script) => RespWriter.Word(Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(script))));
#pragma warning restore CA5350
}
