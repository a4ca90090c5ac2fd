using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Tests.Support;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Push;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.NotifyServer.Tests.Claims;

/// <summary>Several notification servers with the same key on the same relay, sharing real ledgers.</summary>
public sealed class ReplicaTests : IAsyncLifetime
{
    private const string Nsec = "0101010101010101010101010101010101010101010101010101010101010101";
    private readonly List<IClaimLedger> _ledgers = [];
    private readonly List<SharedDevices> _devices = [];
    private readonly NotifyMetrics _metrics = new(Clock.Running());
    private SimulatedProviders _providers = null!;

    public async Task InitializeAsync() => _providers = await SimulatedProviders.StartAsync();

    public async Task DisposeAsync()
    {
        foreach (var ledger in _ledgers)
        {
            await ledger.DisposeAsync();
        }

        _devices.ForEach(devices => devices.Dispose());
        _metrics.Dispose();
        await _providers.DisposeAsync();
    }

    [Theory]
    [InlineData("redis")]
    [InlineData("postgres")]
    public async Task Two_send_each_push_once(string kind)
    {
        await using var shared = await SharedServer.StartAsync(kind);
        await using var relay = await TestRelay.StartAsync();
        var (a, _) = await StartAsync(relay, shared.Join());
        var (b, _) = await StartAsync(relay, shared.Join());
        await using (a)
        await using (b)
        {
            await relay.SubscribedAsync(2);
            const int Triggers = 60;
            for (byte i = 1; i <= Triggers; i++)
            {
                await relay.SendAsync(a.Trigger(TokenDialect.MarmotPushV1, Device.Fcm($"device{i}")));
            }

            await EventuallyAsync(() => Done(a) + Done(b) == 2 * Triggers && Accepted(a, b) >= Triggers, "every trigger came to an end on both");
            for (byte i = 1; i <= Triggers; i++)
            {
                Assert.Equal(1, _providers.Fcm.DeliveriesFor($"device{i}"));
            }

            Assert.Equal(Triggers, Triggered(a, "done") + Triggered(b, "done"));
            Assert.Equal(Triggers, Triggered(a, "duplicate") + Triggered(b, "duplicate"));
        }
    }

    [Theory]
    [InlineData("redis")]
    [InlineData("postgres")]
    public async Task Two_ring_a_device_once_a_window(string kind)
    {
        await using var shared = await SharedServer.StartAsync(kind);
        await using var relay = await TestRelay.StartAsync();
        var (a, _) = await StartAsync(relay, shared.Join(), options => options.CoalescingWindow = TimeSpan.FromMinutes(1));
        var (b, _) = await StartAsync(relay, shared.Join(), options => options.CoalescingWindow = TimeSpan.FromMinutes(1));
        await using (a)
        await using (b)
        {
            await relay.SubscribedAsync(2);
            const int Triggers = 30;
            for (byte i = 1; i <= Triggers; i++)
            {
                await relay.SendAsync(a.Trigger(TokenDialect.MarmotPushV1, Device.Fcm("one"), Device.Fcm($"device{i}")));
            }

            await EventuallyAsync(() => Done(a) + Done(b) == 2 * Triggers && Accepted(a, b) > Triggers, "every trigger came to an end on both");
            Assert.Equal(1, _providers.Fcm.DeliveriesFor("one"));
            Assert.Equal(Triggers + 1, Accepted(a, b));
            Assert.All(new[] { a, b }, server => Assert.InRange(server.Service.Apps[0].Lane(DevicePlatform.Fcm)!.Pending, 0, 1)); // the one at the window's end
        }
    }

    [Fact]
    public async Task Without_the_ledger_each_push_is_sent_at_most_once_a_replica_and_never_not_at_all_and_it_heals()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var relay = await TestRelay.StartAsync();
        IClaimLedger Ledger() => new RedisLedger(new RedisEndpoint("127.0.0.1", redis.Port), "t", NullLogger.Instance);
        var (a, claimsA) = await StartAsync(relay, Ledger());
        var (b, claimsB) = await StartAsync(relay, Ledger());
        await using (a)
        await using (b)
        {
            await relay.SubscribedAsync(2);
            await redis.KillAsync();
            for (byte i = 1; i <= 10; i++)
            {
                await relay.SendAsync(a.Trigger(TokenDialect.MarmotPushV1, Device.Fcm($"device{i}")));
            }

            await EventuallyAsync(() => Done(a) + Done(b) == 20
                && Accepted(a, b) == Triggered(a, "done") + Triggered(b, "done"), "every trigger came to an end on both");
            for (byte i = 1; i <= 10; i++)
            {
                Assert.InRange(_providers.Fcm.DeliveriesFor($"device{i}"), 1, 2);
            }

            Assert.Contains("alone", new ClaimsHealth(claimsA).Check().Detail, StringComparison.Ordinal);
            Assert.True(new ClaimsHealth(claimsB).Check().Ready);

            await redis.StartAgainAsync();
            await EventuallyAsync(() => _ledgers.TrueForAll(ledger => ledger.IsConnected), "both ledgers are back");
            for (byte i = 101; i <= 120; i++)
            {
                await relay.SendAsync(a.Trigger(TokenDialect.MarmotPushV1, Device.Fcm($"device{i}")));
            }

            await EventuallyAsync(() => Done(a) + Done(b) == 60
                && Accepted(a, b) == Triggered(a, "done") + Triggered(b, "done"), "every trigger came to an end on both");
            for (byte i = 101; i <= 120; i++)
            {
                Assert.Equal(1, _providers.Fcm.DeliveriesFor($"device{i}"));
            }

            Assert.Equal("ok", new ClaimsHealth(claimsA).Check().Detail);
        }
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task All_use_one_apns_provider_token_and_the_cluster_cannot_read_it()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var first = await TestRelay.StartAsync();
        await using var second = await TestRelay.StartAsync();
        IClaimLedger Ledger() => new RedisLedger(new RedisEndpoint("127.0.0.1", redis.Port), "t", NullLogger.Instance);
        var (a, _) = await StartAsync(first, Ledger());
        var (b, _) = await StartAsync(second, Ledger());
        await using (a)
        await using (b)
        {
            await first.SubscribedAsync();
            await second.SubscribedAsync();
            await first.SendAsync(a.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
            await a.Probe.EndedAsync("accepted", 1);
            await second.SendAsync(b.Trigger(TokenDialect.MarmotPushV1, Device.Apns(2)));
            await b.Probe.EndedAsync("accepted", 1);
            var tokens = _providers.Apns.Requests.Select(request => request.Header("authorization")).Distinct().ToList();
            var token = Assert.Single(tokens)!["bearer ".Length..];

            await using var client = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync(redis.Endpoint + ",allowAdmin=true");
            var keys = await client.GetDatabase().ExecuteAsync("KEYS", "t:value:*");
            var there = Assert.Single((byte[][])keys!);
            byte[] value = (await client.GetDatabase().StringGetAsync(there))!;
            Assert.True(value.AsSpan().IndexOf(System.Text.Encoding.ASCII.GetBytes(token.Split('.')[2])) < 0);
        }
    }

    [Fact]
    public async Task What_a_dead_replica_had_claimed_another_does_when_the_lease_ends()
    {
        var time = Clock.Standing();
        var ledger = new InProcessLedger(time);
        SharedClaims Claims() =>
            new(new ReplayCache(100, TimeSpan.FromMinutes(5), time), ledger, TimeSpan.FromMinutes(5), _metrics, time);
        var (dead, other) = (Claims(), Claims());
        var content = new Protocol.Encoding.Bytes32(new byte[32]);
        Assert.Equal(ClaimOutcome.Owned, await dead.ClaimAsync(content, default));
        var waiting = other.ClaimAsync(content, default).AsTask();
        Assert.False(waiting.IsCompleted);
        while (!waiting.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.Equal(ClaimOutcome.Owned, await waiting);
        other.Complete(content);
        Assert.Equal(ClaimOutcome.Duplicate, await Claims().ClaimAsync(content, default));
    }

    [Fact]
    public async Task What_one_gives_back_the_other_does()
    {
        var ledger = new InProcessLedger(Clock.Running());
        SharedClaims Claims() =>
            new(new ReplayCache(100, TimeSpan.FromMinutes(5), Clock.Running()), ledger, TimeSpan.FromMinutes(5), _metrics, Clock.Running());
        var (first, second) = (Claims(), Claims());
        var content = new Protocol.Encoding.Bytes32(new byte[32]);
        Assert.Equal(ClaimOutcome.Owned, await first.ClaimAsync(content, default));
        var waiting = second.ClaimAsync(content, default).AsTask();
        first.Release(content);
        Assert.Equal(ClaimOutcome.Owned, await waiting);
        second.Complete(content);
        Assert.Equal(ClaimOutcome.Duplicate, await first.ClaimAsync(content, default));
    }

    private async Task<(RunningServer Server, SharedClaims Claims)> StartAsync(TestRelay relay, IClaimLedger ledger, Action<NotifyOptions>? configure = null)
    {
        _ledgers.Add(ledger);
        await EventuallyAsync(() => ledger.IsConnected, "the ledger connects");
        var window = TimeSpan.FromMinutes(5);
        var claims = new SharedClaims(new ReplayCache(1000, window, Clock.Running()), ledger, window, _metrics, Clock.Running());
        var devices = new SharedDevices(ledger, claims, _metrics, Clock.Running());
        _devices.Add(devices);
        var extras = new ServerExtras
        {
            Claims = claims,
            SharedTokens = new SharedProviderTokens((ISharedValues)ledger, Clock.Running()),
            SharedDevices = devices,
        };
        return (await RunningServer.StartAsync([relay], configure, nsec: Nsec, providers: _providers, extras: extras), claims);
    }

    private static long Done(RunningServer server) => Triggered(server, "done") + Triggered(server, "duplicate");

    private static long Accepted(params RunningServer[] servers) => servers.Sum(server => server.Probe.Ended("accepted"));

    private static long Triggered(RunningServer server, string outcome) => server.Probe.Events(outcome);

    private static async Task EventuallyAsync(Func<bool> condition, string what)
    {
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(30), "never came: " + what);
            await Task.Delay(10);
        }
    }

    /// <summary>A real Redis or PostgreSQL for one test.</summary>
    private sealed class SharedServer(RedisServer? redis, PostgresServer? postgres, string database) : IAsyncDisposable
    {
        public static async Task<SharedServer> StartAsync(string kind)
        {
            if (kind == "redis")
            {
                return new SharedServer(await RedisServer.StartAsync(), null, "");
            }

            var postgres = await PostgresServer.StartAsync();
            return new SharedServer(null, postgres, await postgres.CreateDatabaseAsync());
        }

        public IClaimLedger Join() => redis is null
            ? new PostgresLedger(database, NullLogger.Instance)
            : new RedisLedger(new RedisEndpoint("127.0.0.1", redis.Port), "t", NullLogger.Instance);

        public async ValueTask DisposeAsync()
        {
            await (redis?.DisposeAsync() ?? default);
            await (postgres?.DisposeAsync() ?? default);
        }
    }
}
