using System.Diagnostics;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>A PostgreSQL or a Redis that answers nonsense is away, with a reason; nothing else ends.</summary>
/// <remarks>The kinds of nonsense are played at the same time: each spends its time waiting for limits.</remarks>
public sealed class NonsenseServerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task Postgres_that_answers_nonsense_is_away(bool afterStart) => ForEachAsync(NonsenseServer.Kinds, async kind =>
    {
        await using var server = NonsenseServer.Start(kind, afterPostgresStart: afterStart);
        var settings = $"Host=127.0.0.1;Port={server.Port};Username=a;Database=a;Timeout=1;Command Timeout=1;Cancellation Timeout=500;Pooling=true";
        await using var bus = new PostgresBus(settings, NullLogger.Instance);
        await using var ledger = new PostgresLedger(settings, NullLogger.Instance);
        await using var identity = new ClusterIdentity(settings, "", NullLogger.Instance);
        await HoldsAsync(server, bus, ledger);
        Assert.Null(identity.Current);
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task Redis_that_answers_nonsense_is_away(bool afterStart) => ForEachAsync(NonsenseServer.RedisKinds, async kind =>
    {
        await using var server = NonsenseServer.Start(kind, afterRedisStart: afterStart);
        Assert.True(RedisEndpoint.TryParse($"127.0.0.1:{server.Port}", out var endpoint));
        var bus = new RedisBus(endpoint, "a", NullLogger.Instance);
        var ledger = new RedisLedger(endpoint, "a", NullLogger.Instance);
        if (afterStart)
        {
            var connecting = Stopwatch.StartNew();
            while (!ledger.IsConnected && connecting.Elapsed < Patience)
            {
                await Task.Delay(20);
            }

            Assert.True(ledger.IsConnected); // else nothing below would reach the nonsense
        }

        await HoldsAsync(server, bus, ledger);
        if (!afterStart)
        {
            Assert.False(bus.IsConnected);
            Assert.False(string.IsNullOrEmpty(bus.Trouble));
            Assert.False(ledger.IsConnected);
        }

        await bus.DisposeAsync().AsTask().WaitAsync(Patience);
        await ledger.DisposeAsync().AsTask().WaitAsync(Patience);
    });

    [Fact]
    public async Task Redis_that_turns_to_nonsense_is_away_and_comes_back()
    {
        await using var redis = await RedisServer.StartAsync();
        await ForEachAsync(NonsenseServer.RedisKinds, async kind =>
        {
            await using var proxy = TurningProxy.Start(redis.Port);
            Assert.True(RedisEndpoint.TryParse($"127.0.0.1:{proxy.Port}", out var endpoint));
            var name = kind.Replace(' ', '-');
            await using var bus = new RedisBus(endpoint, name, NullLogger.Instance);
            await using var ledger = new RedisLedger(endpoint, name, NullLogger.Instance);
            using var listening = bus.Subscribe("a", new Deaf());
            await UntilAsync(() => ClaimsAsync(ledger, 1));

            proxy.Speak(kind);
            await UntilAsync(async () => !await ClaimsAsync(ledger, 2));

            proxy.Speak(null);
            await UntilAsync(() => ClaimsAsync(ledger, 3));
            await UntilAsync(() => Task.FromResult(bus.IsConnected));
        });
    }

    // False while it is away: nothing but that exception comes.
    private static async Task<bool> ClaimsAsync(RedisLedger ledger, int number)
    {
        try
        {
            using var patience = new CancellationTokenSource(Patience);
            await ledger.ClaimAsync(default, Bytes32.ParseHex($"{number:x64}"), TimeSpan.FromSeconds(1), patience.Token);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static async Task UntilAsync(Func<Task<bool>> holds)
    {
        var waiting = Stopwatch.StartNew();
        while (!await holds())
        {
            Assert.True(waiting.Elapsed < Patience * 2);
            await Task.Delay(50);
        }
    }

    private static Task ForEachAsync(IEnumerable<string> kinds, Func<string, Task> check) => Task.WhenAll(kinds.Select(async kind =>
    {
        try
        {
            await check(kind);
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException($"with the nonsense \"{kind}\"", exception);
        }
    }));

    private static async Task HoldsAsync<TLedger>(NonsenseServer server, IClusterBus bus, TLedger ledger)
        where TLedger : IClaimLedger, ISharedValues
    {
        using var listening = bus.Subscribe("a", new Deaf());
        bus.Publish("a", "hello"u8.ToArray());
        for (var i = 0; i < 2; i++)
        {
            using var patience = new CancellationTokenSource(Patience);
            await Assert.ThrowsAnyAsync<IOException>(() =>
                ledger.ClaimAsync(default, Bytes32.ParseHex(new string('1', 64)), TimeSpan.FromSeconds(1), patience.Token).AsTask());
            await Assert.ThrowsAnyAsync<IOException>(() => ledger.OfferAsync(default, [1], TimeSpan.FromSeconds(1), patience.Token).AsTask());
        }

        // It still tries: nothing has given up for good.
        var before = server.Asked;
        var waiting = Stopwatch.StartNew();
        while (server.Asked == before && waiting.Elapsed < Patience)
        {
            await Task.Delay(50);
        }

        Assert.True(server.Asked > before);
    }

    private sealed class Deaf : IClusterListener
    {
        public void OnMessage(ReadOnlyMemory<byte> message)
        {
        }

        public void OnGap()
        {
        }
    }
}
