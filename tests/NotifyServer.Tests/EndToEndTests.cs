using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests;

/// <summary>From the relay's frame to the provider's record, with nothing in between replaced. Numbers are the cases of the conformance pages.</summary>
public class EndToEndTests
{
    [Theory]
    [InlineData(TokenDialect.Mip05Short)]
    [InlineData(TokenDialect.Mip05Long)]
    [InlineData(TokenDialect.MarmotPushV1)]
    [Trait("Spec", "MIP-05")]
    public async Task Rings_each_device_of_a_trigger_once(TokenDialect dialect)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(dialect, Device.Apns(0xcd), Device.Apns(0xce), Device.Fcm("fcm:token_-.1")));
        await server.Probe.EndedAsync("accepted", 3);

        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(0xcd)));
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(0xce)));
        Assert.Equal(1, server.Fcm.DeliveriesFor("fcm:token_-.1"));
    }

    [Fact]
    [Trait("Spec", "MIP-05")]
    public async Task Sends_silent_pushes_that_expire_with_the_hint()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], time: TimeProvider.System); // the date is compared with another clock
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1), Device.Fcm("abc")));
        await server.Probe.EndedAsync("accepted", 2);

        var apns = Assert.Single(server.Apns.Requests);
        Assert.Equal("background", apns.Header("apns-push-type"));
        Assert.Equal("5", apns.Header("apns-priority"));
        Assert.Equal(RunningServer.Topic, apns.Header("apns-topic"));
        Assert.InRange(long.Parse(apns.Header("apns-expiration")!, System.Globalization.CultureInfo.InvariantCulture)
            - apns.Time.ToUnixTimeSeconds(), 150, 181);
        Assert.Equal("""{"aps":{"content-available":1}}""", System.Text.Encoding.UTF8.GetString(apns.Body.Span));
        Assert.Empty(apns.Warnings);
        var fcm = Assert.Single(server.Fcm.Requests, request => request.Token == "abc");
        Assert.Empty(fcm.Warnings);
        Assert.DoesNotContain("notification", System.Text.Encoding.UTF8.GetString(fcm.Body.Span), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Case_1_an_event_from_three_relays_rings_once()
    {
        await using var a = await TestRelay.StartAsync();
        await using var b = await TestRelay.StartAsync();
        await using var c = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([a, b, c]);
        await Task.WhenAll(a.SubscribedAsync(), b.SubscribedAsync(), c.SubscribedAsync());

        var trigger = server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1));
        await Task.WhenAll(a.SendAsync(trigger), b.SendAsync(trigger), c.SendAsync(trigger));
        await server.Probe.EndedAsync("accepted", 1);
        await server.Probe.UntilAsync("marmot_notify_events:queued", 1);
        await EventuallyAsync(() => server.Probe.Events("seen") + server.Probe.Events("duplicate") == 2, server);

        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(1)));
    }

    [Fact]
    public async Task Case_2_the_same_content_wrapped_anew_rings_once()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        using var author = SecretKey.Generate();
        var rumor = Rumor(server.PublicKey, author, TokenDialect.MarmotPushV1, Device.Apns(7));

        await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        await server.Probe.EventsAsync("duplicate", 1);
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(7)));
    }

    [Theory]
    [InlineData(TokenDialect.Mip05Short)]
    [InlineData(TokenDialect.Mip05Long)]
    public async Task The_same_MIP_05_tokens_ring_again_for_the_next_message_and_once_for_each(TokenDialect dialect)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        using var author = SecretKey.Generate();
        var token = Forge.Token(dialect, Device.Apns(9), server.PublicKey);

        foreach (long second in new[] { 1, 2, 2, 1 })
        {
            var rumor = Trigger.CreateRumor(author.PublicKey, dialect, token, second);
            await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        }

        await server.Probe.EventsAsync("duplicate", 2);
        await server.Probe.EndedAsync("accepted", 2);
        Assert.Equal(2, server.Apns.DeliveriesFor(Device.ApnsName(9)));
    }

    [Fact]
    public async Task Case_8_one_device_under_two_ciphertexts_rings_once()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(8), Device.Apns(8)));
        await server.Probe.EventsAsync("done", 1);
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName(8)));
        Assert.Equal(1, server.Probe.Lost("coalesced"));
    }

    [Fact]
    public async Task Cases_9_and_10_a_stored_event_rings_nobody_but_its_live_copy_does()
    {
        await using var a = await TestRelay.StartAsync();
        await using var b = await TestRelay.StartAsync();
        using var key = SecretKey.Generate();
        var trigger = TestTrigger.Create(key.PublicKey, TokenDialect.MarmotPushV1, [Device.Apns(9)], TimeProvider.System);
        b.Backlog.Add(trigger);
        await using var server = await RunningServer.StartAsync([a, b], nsec: SecretHex(key));
        await server.Probe.EventsAsync("backlog", 1);
        await a.SubscribedAsync();
        Assert.Empty(server.Apns.Requests);

        await a.SendAsync(trigger);
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(9)));
    }

    [Fact]
    public async Task Cases_13_and_14_strangers_wraps_and_forgeries_are_dropped_and_the_genuine_one_still_rings()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        using var stranger = SecretKey.Generate();
        var genuine = server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(14));
        var json = System.Text.Encoding.UTF8.GetString(genuine.Json.Span);
        var signature = Convert.ToHexStringLower(genuine.Signature.Span);

        await relay.SendAsync(TestTrigger.Create(stranger.PublicKey, TokenDialect.MarmotPushV1, [Device.Apns(13)], TimeProvider.System));
        await relay.SendAsync(
            NostrEvent.Create(stranger, 1059, [["p", server.PublicKey.ToString()], ["p", stranger.PublicKey.ToString()]], genuine.Content, 1));
        await relay.SendAsync(NostrEvent.Create(stranger, 1, [["p", server.PublicKey.ToString()]], genuine.Content, 1));
        await SendForgeryAsync(json.Replace(genuine.Content, stranger.PublicKey.ToString() + genuine.Content[64..], StringComparison.Ordinal));
        var forged = json.Replace(signature, new string('a', 128), StringComparison.Ordinal);
        await SendForgeryAsync(forged);
        await SendForgeryAsync(forged);
        await server.Probe.EventsAsync("other-recipient", 2);
        await server.Probe.EventsAsync("other-kind", 1);
        await server.Probe.EventsAsync("bad-id", 1);
        await server.Probe.EventsAsync("bad-signature", 2);
        Assert.Empty(server.Apns.Requests);

        await relay.SendAsync(genuine);
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(14)));

        async Task SendForgeryAsync(string text)
        {
            Assert.True(NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(text), out var evt, out _));
            await relay.SendAsync(evt!);
        }
    }

    [Fact]
    public async Task Cases_21_to_24_a_bad_chunk_is_skipped_and_its_siblings_ring()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        var size = TokenDialect.MarmotPushV1.TokenSize;
        var chunks = new byte[size * 5];
        System.Security.Cryptography.RandomNumberGenerator.Fill(chunks); // 0: random padding
        chunks.AsSpan(size, 32).Fill(0xff); // 1: x above the field's prime
        Encrypt(TokenDialect.Mip05Long, Device.Apns(21), 2); // 2: another dialect's key
        Encrypt(TokenDialect.MarmotPushV1, Device.Apns(24), 3);
        chunks[(size * 4) - 1] ^= 1; // 3: a flipped tag
        Encrypt(TokenDialect.MarmotPushV1, Device.Apns(22), 4);
        using var author = SecretKey.Generate();
        var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1, chunks, DateTimeOffset.UtcNow.ToUnixTimeSeconds());

        await relay.SendAsync(GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System));
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(4, server.Probe.Count("marmot_notify_tokens:skipped"));
        Assert.Equal(Device.ApnsName(22), Assert.Single(server.Apns.Requests).Token);

        void Encrypt(TokenDialect dialect, (DevicePlatform Platform, byte[] Token) device, int index) =>
            Assert.True(EncryptedToken.TryCreate(dialect, device.Platform, device.Token, server.PublicKey, chunks.AsSpan(index * size, size)));
    }

    [Fact]
    public async Task Case_26_an_fcm_token_with_illegal_characters_never_leaves_the_house()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Fcm("white space"), Device.Fcm("good")));
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(1, server.Probe.Lost("implausible"));
        Assert.Equal(1, server.Fcm.DeliveriesFor("good"));
        Assert.Equal(0, server.Fcm.RequestsFor("white space"));
    }

    [Fact]
    public async Task A_trigger_of_32_tokens_with_the_extended_length_prefix_rings_all()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(1, 32).Select(i => Device.Apns((byte)i))]));
        await server.Probe.EndedAsync("accepted", 32);

        Assert.Equal(32, server.Apns.Requests.Where(request => request.Accepted).Select(request => request.Token).Distinct().Count());
    }

    [Fact]
    public async Task Case_61_what_was_admitted_is_sent_before_the_server_stops()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.Apps[0].Apns.Connections = 1);
        await relay.SubscribedAsync();
        for (var i = 0; i < 10; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(i * 20, 20).Select(n => Device.Apns((byte)n))]));
        }

        await server.Probe.EventsAsync("queued", 10);
        await server.Service.StopAsync(CancellationToken.None);

        Assert.Equal(200, server.Apns.Requests.Count(request => request.Accepted));
        Assert.Equal(200, server.Probe.Ended("accepted"));
        Assert.Equal(0, server.Probe.Ended("abandoned"));
    }

    [Fact]
    public async Task Case_49_a_brown_out_shorter_than_the_hint_loses_nothing()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        server.Apns.Script(Device.ApnsName(49), new ProviderSimulators.SimulatedVerdict { Status = 503, Reason = "ServiceUnavailable", Times = 2 });
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(49)));
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(3, server.Apns.RequestsFor(Device.ApnsName(49)));
        Assert.Single(server.Apns.Requests.Select(request => request.Header("apns-id")).Distinct());
    }

    [Fact]
    public async Task Case_57_a_flood_of_foreign_and_dead_tokens_changes_no_readiness()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        server.Apns.ScriptAll(ProviderSimulators.SimulatedVerdict.Of(400, "DeviceTokenNotForTopic"));
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(1, 30).Select(i => Device.Apns((byte)i))]));
        await server.Probe.EndedAsync("foreign", 30);

        Assert.True(new LaneHealth(server.Service).Check().Ready);
    }

    [Fact]
    public async Task Case_27_a_token_for_an_unconfigured_provider_is_counted_and_dropped()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.Apps[0].Fcm = new FcmOptions());
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Fcm("abc"), Device.Apns(27)));
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(1, server.Probe.Lost("no-provider"));
    }

    [Fact]
    public async Task A_retiring_key_still_rings()
    {
        await using var relay = await TestRelay.StartAsync();
        using var old = SecretKey.Generate();
        var folder = Directory.CreateTempSubdirectory("retiring").FullName;
        var path = Path.Combine(folder, "old.key");
        Assert.True(SecretFile.TryCreate(path, System.Text.Encoding.ASCII.GetBytes(SecretHex(old))));
        await using var server = await RunningServer.StartAsync([relay], options => options.Apps[0].RetiringKeyFiles.Add(path));
        await relay.SubscribedAsync(2);

        await relay.SendAsync(TestTrigger.Create(old.PublicKey, TokenDialect.Mip05Long, [Device.Apns(1)], TimeProvider.System));
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(1)));
        Directory.Delete(folder, recursive: true);
    }

    private static async Task EventuallyAsync(Func<bool> condition, RunningServer server)
    {
        // Each wake-up is an event's outcome; the condition is over their sum.
        for (var seen = server.Probe.Count("marmot_notify_events"); !condition(); seen++)
        {
            await server.Probe.UntilAsync("marmot_notify_events", seen + 1);
        }
    }

    private static Rumor Rumor(in Bytes32 server, SecretKey author, TokenDialect dialect, (DevicePlatform Platform, byte[] Token) device)
    {
        var chunk = new byte[dialect.TokenSize];
        Assert.True(EncryptedToken.TryCreate(dialect, device.Platform, device.Token, server, chunk));
        return Trigger.CreateRumor(author.PublicKey, dialect, chunk, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
    }

    private static string SecretHex(SecretKey key)
    {
        var bytes = new byte[32];
        key.CopyTo(bytes);
        return Convert.ToHexStringLower(bytes);
    }
}
