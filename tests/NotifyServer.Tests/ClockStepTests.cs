using Marmot.Hosting;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Tests.Support;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests;

/// <summary>The date of the machine is set while the server runs. Most tests of this project run on a clock whose date steps by hours at each reading
/// (RunningServer); these say what must hold.</summary>
public class ClockStepTests
{
    public static TheoryData<int> Steps => [-120, -1, 1, 120, 3000];

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_step_of_the_date_keeps_no_hint_from_a_known_device(int minutes)
    {
        var below = Clock.Standing();
        var clock = new WallClock(DateTimeOffset.UtcNow, below);
        await using var rig = new PipelineRig(clock);
        Assert.Equal("done", await rig.HintAsync(Device.Apns(1)));

        clock.Advance(TimeSpan.FromMinutes(minutes));
        below.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("done", await rig.HintAsync(Device.Apns(1)));
        Assert.Equal(2, rig.Sent.Count);
        Assert.Equal(0, rig.Probe.Lost("coalesced"));
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task Windows_and_pauses_last_as_long_as_they_should(int minutes)
    {
        var below = Clock.Standing();
        var clock = new WallClock(DateTimeOffset.UtcNow, below);
        var cache = new ReplayCache(10, TimeSpan.FromMinutes(5), clock);
        var circuit = new CircuitBreaker(clock);
        var limiter = new KeyedLimiter(1024, clock, new Rate(TimeSpan.FromMinutes(5), 1));
        Assert.Equal(ClaimOutcome.Owned, await cache.ClaimAsync(default, default));
        cache.Complete(default);
        circuit.CredentialFailure(PushReason.InvalidProviderToken, TimeSpan.FromMinutes(5));
        Assert.True(limiter.TryAdmit(new Bytes32(new byte[32])));

        clock.Advance(TimeSpan.FromMinutes(minutes));
        below.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Equal(ClaimOutcome.Duplicate, await cache.ClaimAsync(default, default));
        Assert.False(circuit.TryPass(out var wait));
        Assert.True(wait <= TimeSpan.FromMinutes(0.1));
        Assert.False(limiter.TryAdmit(new Bytes32(new byte[32])));

        below.Advance(TimeSpan.FromMinutes(0.1));
        Assert.Equal(ClaimOutcome.Owned, await cache.ClaimAsync(default, default));
        Assert.True(circuit.TryPass(out _));
        Assert.True(limiter.TryAdmit(new Bytes32(new byte[32])));
    }

    [Fact]
    public async Task A_push_that_waits_neither_ends_early_nor_lives_longer_when_the_date_steps()
    {
        var clock = new SteppingClock();
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], time: clock, configure: options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        for (byte i = 1; i <= 20; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(i), Device.Fcm($"t{i}")));
        }

        await server.Probe.EndedAsync("accepted", 40);
        Assert.True(clock.Readings >= 20); // each push to Apple bears a date
        Assert.Equal(0, server.Probe.Ended("expired"));
        Assert.Equal(1, server.Apns.ProviderTokenCount);
        Assert.Equal(1, server.Fcm.TokenRequestCount);
    }
}
