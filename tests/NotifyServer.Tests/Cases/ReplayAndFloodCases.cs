using System.Security.Cryptography;
using Marmot.NotifyServer.Tests.Support;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 4, 5, 7, 11, 28, 29, 30, 31, 32, 33 and 34 through the whole server.</summary>
public class ReplayAndFloodCases
{
    [Fact]
    public async Task Case_4_fifty_rewraps_at_once_ring_once()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        using var author = SecretKey.Generate();
        var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1,
            Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(4), server.PublicKey), 1);
        var wraps = Enumerable.Range(0, 50).Select(_ => GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System)).ToArray();

        await Task.WhenAll(wraps.Select(relay.SendAsync));
        await server.Probe.EventsAsync("duplicate", 49);
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName(4)));
    }

    [Fact]
    public async Task Case_5_a_crash_in_the_middle_of_a_trigger_leaves_no_claim_behind()
    {
        await using var relay = await TestRelay.StartAsync();
        var claims = new CrashingClaims(new ReplayCache(100, TimeSpan.FromMinutes(5), Clock.Running()));
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero,
            extras: new ServerExtras { Claims = claims });
        await relay.SubscribedAsync();
        using var author = SecretKey.Generate();
        var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1,
            Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(5), server.PublicKey), 1);

        await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        await server.Probe.UntilAsync("marmot_notify_faults", 1);
        await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        await server.Probe.EventsAsync("done", 1); // the second owner took over
        await server.Probe.EndedAsync("accepted", 2);
        Assert.Equal(2, server.Apns.DeliveriesFor(Device.ApnsName(5))); // one extra and no more
    }

    [Fact]
    public async Task Case_7_the_same_chunk_twice_in_a_trigger_rings_once_and_costs_one_decryption()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        var chunk = Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(7), server.PublicKey);

        await relay.SendAsync(Forge.Request(server.PublicKey, Convert.ToBase64String([.. chunk, .. chunk, .. chunk]), ["v", "marmot-push-v1"]));
        await server.Probe.EventsAsync("done", 1);
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(2, server.Probe.Count("marmot_notify_tokens:repeated"));
        Assert.Equal(1, server.Probe.Count("marmot_notify_tokens:decrypted"));
        Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName(7)));
    }

    [Fact]
    public async Task Case_11_two_replicas_with_one_claim_store_ring_once_however_the_trigger_is_wrapped()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await SimulatedProviders.StartSharedAsync();
        var claims = new ReplayCache(1000, TimeSpan.FromMinutes(5), Clock.Running());
        using var key = SecretKey.Generate();
        var secret = new byte[32];
        key.CopyTo(secret);
        var nsec = Convert.ToHexStringLower(secret);
        await using var first = await RunningServer.StartAsync([relay], o => o.CoalescingWindow = TimeSpan.Zero, nsec: nsec, providers: providers,
            extras: new ServerExtras { Claims = claims });
        await using var second = await RunningServer.StartAsync([relay], o => o.CoalescingWindow = TimeSpan.Zero, nsec: nsec, providers: providers,
            extras: new ServerExtras { Claims = claims });
        await relay.SubscribedAsync(2);
        using var author = SecretKey.Generate();
        for (byte i = 1; i <= 10; i++)
        {
            var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1,
                Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(i), key.PublicKey), i);
            await relay.SendAsync(GiftWrap.Create(rumor, author, key.PublicKey, TimeProvider.System));
            await relay.SendAsync(GiftWrap.Create(rumor, author, key.PublicKey, TimeProvider.System));
        }

        // Each replica gets all 20 events: 10 are done by one of the two, 30 are duplicates.
        await providers.Apns.WaitForRequestsAsync(10, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
        await first.Probe.UntilAsync("marmot_notify_events", 40);
        await second.Probe.UntilAsync("marmot_notify_events", 40);
        Assert.Equal(30, first.Probe.Events("duplicate") + second.Probe.Events("duplicate"));
        Assert.All(Enumerable.Range(1, 10), i => Assert.Equal(1, providers.Apns.RequestsFor(Device.ApnsName((byte)i))));
    }

    [Fact]
    public async Task Case_28_garbage_beyond_the_budget_on_one_relay_keeps_no_trigger_of_another_relay()
    {
        await using var bad = await TestRelay.StartAsync();
        await using var good = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([bad, good], options => options.EcOperationsPerSecond = 600);
        await bad.SubscribedAsync();
        await good.SubscribedAsync();
        using var stranger = SecretKey.Generate();
        var content = Convert.ToBase64String(new byte[] { 2 }.Concat(RandomNumberGenerator.GetBytes(200)).ToArray());
        var garbage = Enumerable.Range(0, 2_000).Select(i => NostrEvent.Create(stranger, 1059, [["p", server.PublicKey.ToString()]], content, i)).ToArray();
        var triggers = Enumerable.Range(1, 40).Select(i => server.Trigger(TokenDialect.MarmotPushV1, Device.Apns((byte)i))).ToArray();

        // 2,000 wraps of two operations each are more than three seconds of budget; the queue of that relay takes 512 and refuses the rest.
        var flood = Task.Run(async () =>
        {
            foreach (var wrap in garbage)
            {
                await bad.SendAsync(wrap);
            }
        });
        await server.Probe.EventsAsync("inbox-full", 1);
        foreach (var trigger in triggers)
        {
            await good.SendAsync(trigger);
        }

        await server.Probe.EndedAsync("accepted", 40);
        Assert.True(server.Service.Relays.Count == 2 && server.Probe.Events("not-openable") < 512, "the flood was done before the triggers");
        await flood;
        Assert.All(Enumerable.Range(1, 40), i => Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName((byte)i))));
    }

    [Fact]
    public async Task Cases_29_and_32_a_budget_that_runs_out_in_a_trigger_puts_the_next_off_and_loses_no_token()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.EcOperationsPerSecond = 40);
        await relay.SubscribedAsync();

        // Each trigger costs 36 operations of 40 a second.
        for (var i = 0; i < 3; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(i * 32, 32).Select(n => Device.Apns((byte)n))]));
        }

        await server.Probe.EndedAsync("accepted", 96);
        Assert.Equal(0, server.Probe.Count("marmot_notify_tokens_lost"));
        Assert.All(Enumerable.Range(0, 96), n => Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName((byte)n))));
    }

    [Fact]
    public void Case_30_a_hundred_thousand_keys_leave_the_tables_as_large_as_they_were()
    {
        var clock = Clock.Standing();
        var gate = new DeviceGate(new NotifyOptions { LimiterCapacity = 4096 }, clock);
        var before = gate.TableBytes;
        Assert.Equal(4096 * 72, before);
        var token = new byte[32];
        Warm();
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 50_000; i++)
        {
            BitConverter.TryWriteBytes(token, i);
            Assert.True(gate.TryTakeToken(new Bytes32(token)));
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        for (var i = 0; i < 50_000; i++)
        {
            BitConverter.TryWriteBytes(token, i);
            Assert.Null(gate.TryTake(gate.Identify("app", DevicePlatform.Apns, token), out _));
        }

        Assert.Equal(before, gate.TableBytes);

        void Warm() => gate.TryTakeToken(new Bytes32(token));
    }

    [Fact]
    public void Case_31_a_device_under_a_thousand_ciphertexts_is_held_to_its_minute_and_its_hour()
    {
        var clock = Clock.Standing();
        var gate = new DeviceGate(new NotifyOptions { CoalescingWindow = TimeSpan.Zero }, clock);
        byte[] token = [1, 2, 3];

        // A burst of a tenth of the minute's 240, then four a second.
        var taken = Ask(1_000);
        Assert.Equal(24, taken);
        clock.Advance(TimeSpan.FromMinutes(1));
        taken = Ask(1_000);
        Assert.Equal(24, taken);

        // Over an hour of asking four times a second it is the hour's 5,000, not the minutes' 14,400.
        taken = 0;
        for (var i = 0; i < 4 * 3600; i++)
        {
            clock.Advance(TimeSpan.FromMilliseconds(250));
            taken += Ask(1);
        }

        Assert.InRange(taken, 4_900, 5_240);

        int Ask(int times)
        {
            var admitted = 0;
            for (var i = 0; i < times; i++)
            {
                admitted += gate.TryTake(gate.Identify("app", DevicePlatform.Apns, token), out _) is null ? 1 : 0;
            }

            return admitted;
        }
    }

    [Fact]
    public async Task Case_31_a_ciphertext_replayed_in_ever_new_triggers_is_not_decrypted_beyond_its_rate()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options =>
        {
            options.DeviceHintsPerMinute = 20; // a burst of two
            options.CoalescingWindow = TimeSpan.Zero;
        });
        await relay.SubscribedAsync();
        var stolen = Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(31), server.PublicKey);
        for (byte i = 1; i <= 5; i++)
        {
            var other = Forge.Token(TokenDialect.MarmotPushV1, Device.Apns((byte)(100 + i)), server.PublicKey);
            await relay.SendAsync(Forge.Request(server.PublicKey, Convert.ToBase64String([.. stolen, .. other]), ["v", "marmot-push-v1"]));
        }

        await server.Probe.EventsAsync("done", 5);
        await server.Probe.EndedAsync("accepted", 7); // five others, the burst of two
        Assert.Equal(3, server.Probe.Lost("token-rate"));
        Assert.Equal(2, server.Apns.RequestsFor(Device.ApnsName(31)));
    }

    [Fact]
    public async Task Cases_33_and_34_a_full_queue_refuses_the_trigger_whole_and_its_copy_rings_later()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var other = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay, other], options =>
        {
            options.QueueCapacity = 100;
            options.HintLifetime = TimeSpan.FromMinutes(2);
        });
        await relay.SubscribedAsync();
        await other.SubscribedAsync();
        server.Apns.BlackHole = true;
        for (var i = 0; i < 3; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(i * 32, 32).Select(n => Device.Apns((byte)n))]));
        }

        await server.Probe.EventsAsync("done", 3); // 96 of 100 places
        var trigger = server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(200, 10).Select(n => Device.Apns((byte)n))]);
        await relay.SendAsync(trigger);
        await server.Probe.EventsAsync("queue-full", 1);
        Assert.Equal(10, server.Probe.Lost("queue-full"));
        Assert.Equal(96, server.Probe.Count("marmot_notify_pushes_admitted"));

        // The same event from another relay, once there is room: neither its id, nor its content, nor its devices were kept.
        server.Apns.BlackHole = false;
        server.Apns.DropConnections();
        await server.Probe.EndedAsync("accepted", 96);
        await other.SendAsync(trigger);
        await server.Probe.EndedAsync("accepted", 106);
        Assert.All(Enumerable.Range(200, 10), n => Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName((byte)n))));
    }

    /// <summary>The first owner's worker breaks right after it has claimed.</summary>
    private sealed class CrashingClaims(IClaimStore inner) : IClaimStore
    {
        private int _crashes = 1;

        public ValueTask<ClaimOutcome> ClaimAsync(Bytes32 content, CancellationToken cancellationToken) => inner.ClaimAsync(content, cancellationToken);

        public void Complete(in Bytes32 content)
        {
            if (Interlocked.Decrement(ref _crashes) >= 0)
            {
                inner.Release(content);
                throw new InvalidOperationException("a worker broke");
            }

            inner.Complete(content);
        }

        public void Release(in Bytes32 content) => inner.Release(content);
    }
}
