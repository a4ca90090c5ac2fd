using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Tests.Support;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Tests.Triggers;

/// <summary>Limits, claims and fairness without any network.</summary>
public class LimiterAndCacheTests
{
    [Fact]
    public async Task Case_3_a_trigger_may_come_again_after_the_window()
    {
        var clock = Clock.Standing();
        var cache = new ReplayCache(10, TimeSpan.FromMinutes(5), clock);
        Assert.Equal(ClaimOutcome.Owned, await cache.ClaimAsync(Key(1), default));
        cache.Complete(Key(1));
        Assert.Equal(ClaimOutcome.Duplicate, await cache.ClaimAsync(Key(1), default));
        clock.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(ClaimOutcome.Owned, await cache.ClaimAsync(Key(1), default));
    }

    [Fact]
    public async Task Case_4_fifty_claims_at_once_have_one_owner()
    {
        var cache = new ReplayCache(10, TimeSpan.FromMinutes(5), Clock.Standing());
        var claims = Enumerable.Range(0, 50).Select(_ => cache.ClaimAsync(Key(1), default).AsTask()).ToArray();
        Assert.Equal(ClaimOutcome.Owned, await claims[0]);
        Assert.All(claims.Skip(1), claim => Assert.False(claim.IsCompleted));
        cache.Complete(Key(1));
        Assert.All(await Task.WhenAll(claims.Skip(1)), outcome => Assert.Equal(ClaimOutcome.Duplicate, outcome));
    }

    [Fact]
    public async Task Case_5_when_the_owner_gives_up_one_waiter_takes_over()
    {
        var cache = new ReplayCache(10, TimeSpan.FromMinutes(5), Clock.Standing());
        await cache.ClaimAsync(Key(1), default);
        var waiting = cache.ClaimAsync(Key(1), default);
        cache.Release(Key(1));
        Assert.Equal(ClaimOutcome.Owned, await waiting);
    }

    [Fact]
    public async Task Case_6_a_full_cache_never_evicts_what_is_under_way()
    {
        var cache = new ReplayCache(2, TimeSpan.FromMinutes(5), Clock.Standing());
        await cache.ClaimAsync(Key(1), default);
        await cache.ClaimAsync(Key(2), default);
        Assert.Equal(ClaimOutcome.Full, await cache.ClaimAsync(Key(3), default));
        cache.Complete(Key(1));
        Assert.Equal(ClaimOutcome.Owned, await cache.ClaimAsync(Key(3), default));
    }

    [Fact]
    public void Case_30_a_flood_of_keys_neither_grows_the_table_nor_shuts_out_a_new_one()
    {
        var clock = Clock.Standing();
        var limiter = new KeyedLimiter(1024, clock, new Rate(TimeSpan.FromSeconds(1), 3));
        Assert.True(limiter.TryAdmit(Key(1)) && limiter.TryAdmit(Key(1)) && limiter.TryAdmit(Key(1)));
        for (var i = 100; i < 50_000; i++)
        {
            Assert.True(limiter.TryAdmit(Key(i)));
        }

        Assert.Equal(1024, limiter.Capacity);
        Assert.True(limiter.TryAdmit(Key(99_999)));
        Assert.False(limiter.TryAdmit(Key(1))); // the one held back was not displaced by fresh keys
    }

    [Fact]
    public void Cases_31_and_33_a_key_is_held_to_its_rate_and_a_refund_counts()
    {
        var clock = Clock.Standing();
        var limiter = new KeyedLimiter(1024, clock, new Rate(TimeSpan.FromSeconds(1), 2));
        Assert.True(limiter.TryAdmit(Key(1)));
        Assert.True(limiter.TryAdmit(Key(1)));
        Assert.False(limiter.TryAdmit(Key(1)));
        limiter.Refund(Key(1));
        Assert.True(limiter.TryAdmit(Key(1)));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(limiter.TryAdmit(Key(1)));
        Assert.False(limiter.TryAdmit(Key(1)));
    }

    [Fact]
    public async Task Case_28_a_flood_on_one_relay_does_not_delay_another()
    {
        using var intake = new FairIntake(2, 100);
        for (var i = 0; i < 200; i++)
        {
            Assert.Equal(i < 100, intake.TryAdd(0, [1], default)); // refuses the newest when full
        }

        for (var i = 0; i < 5; i++)
        {
            using var first = await intake.TakeAsync(default);
            intake.Charge(first!.Relay, 4);
        }

        Assert.True(intake.TryAdd(1, [2], default));
        Assert.True(intake.TryAdd(1, [2], default));
        var order = new List<int>();
        for (var i = 0; i < 4; i++)
        {
            using var item = await intake.TakeAsync(default);
            order.Add(item!.Relay);
            intake.Charge(item.Relay, item.Relay == 0 ? 33 : 5);
        }

        Assert.Contains(1, order.Take(2));
        Assert.Equal(2, order.Count(relay => relay == 1));
    }

    [Fact]
    public void Cases_29_and_32_a_trigger_is_charged_whole_and_the_next_waits()
    {
        var clock = Clock.Standing();
        var budget = new EcBudget(100, clock);
        Assert.Equal(TimeSpan.Zero, budget.UntilAvailable());
        budget.Charge(132);
        Assert.True(budget.UntilAvailable() > TimeSpan.FromSeconds(0.3));
        clock.Advance(TimeSpan.FromSeconds(0.4));
        Assert.Equal(TimeSpan.Zero, budget.UntilAvailable());
    }

    private static Bytes32 Key(int value)
    {
        Span<byte> bytes = stackalloc byte[32];
        BitConverter.TryWriteBytes(bytes, value);
        return new Bytes32(bytes);
    }
}
