using System.Text;
using System.Text.Json;
using Marmot.Hosting;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 46 to 60 through the whole server: what providers do on bad days.</summary>
public class ProviderCases
{
    [Fact]
    public async Task Case_46_a_revoked_key_opens_the_circuit_of_its_lane_and_fcm_goes_on()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CoalescingWindow = TimeSpan.Zero);
        await relay.SubscribedAsync();
        server.Apns.RevokeKey(server.Apns.KeyId);
        for (var i = 0; i < 20; i++)
        {
            var devices = Enumerable.Range(0, 16).SelectMany(n => new[] { Device.Apns((byte)n), Device.Fcm($"device{i}-{n}") }).ToArray();
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, devices));
        }

        await server.Probe.EndedAsync("accepted", 320);
        var health = new LaneHealth(server.Service).Check();
        Assert.False(health.Ready);
        Assert.Contains("InvalidProviderToken", health.Detail, StringComparison.Ordinal);
        Assert.DoesNotContain("fcm", health.Detail, StringComparison.Ordinal);
        Assert.Equal(1, Apns(server).Jwt.Minted);
        Assert.InRange(server.Apns.Requests.Count, 1, 101); // those under way when the first no came; none after
    }

    [Theory]
    [InlineData("BadEnvironmentKeyIdInToken")]
    [InlineData("Forbidden")]
    [InlineData("BadCertificate")]
    public async Task Case_47_a_refusal_that_another_token_would_not_cure_mints_none(string reason)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        server.Apns.ScriptAll(SimulatedVerdict.Of(403, reason));
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(47)));
        await server.Probe.UntilAsync("marmot_notify_push_retries", 1);

        Assert.Equal(1, Apns(server).Jwt.Minted);
        Assert.Equal(CircuitState.Open, server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Circuit.State);
    }

    [Fact]
    public async Task Case_48_too_many_requests_holds_back_that_device_only()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        server.Apns.Script(Device.ApnsName(48), new SimulatedVerdict { Status = 429, Reason = "TooManyRequests", RetryAfter = "1", Times = 1 });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(48), Device.Apns(49), Device.Apns(50)));
        await server.Probe.EndedAsync("accepted", 3);

        Assert.Equal(2, server.Apns.RequestsFor(Device.ApnsName(48)));
        Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName(49)));
        var asked = server.Apns.Requests.Where(request => request.Token == Device.ApnsName(48)).Select(request => request.Time).ToArray();
        Assert.True(asked[1] - asked[0] >= TimeSpan.FromSeconds(1), "Retry-After is a floor");
        Assert.True(new LaneHealth(server.Service).Check().Ready);
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task Case_48_too_many_token_updates_falls_back_to_the_token_before_and_mints_no_other()
    {
        var time = Clock.Standing();
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { Clock = time, ProviderTokenUpdateInterval = TimeSpan.FromMinutes(60) },
            CancellationToken.None);
        using var provider = CreateApns(apns, time);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, time));
        time.Advance(TimeSpan.FromMinutes(51));

        // The new token comes too early for this Apple; the old one has minutes left.
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, time));
        Assert.Equal(2, provider.Jwt.Minted);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, time));
        Assert.Equal(2, provider.Jwt.Minted);

        time.Advance(TimeSpan.FromMinutes(20));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, time));
        Assert.Equal(3, provider.Jwt.Minted);
    }

    [Fact]
    public async Task Case_49_a_storm_of_503_ends_with_each_device_rung_once()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        server.Apns.ScriptAll(new SimulatedVerdict { Status = 503, Reason = "ServiceUnavailable", Times = 32 });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(1, 32).Select(i => Device.Apns((byte)i))]));
        await server.Probe.EndedAsync("accepted", 32);

        Assert.All(Enumerable.Range(1, 32), i => Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName((byte)i))));
    }

    [Fact]
    public async Task Case_50_refused_streams_a_stream_limit_of_one_and_goaway_cost_no_push_and_ring_nobody_twice()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await SimulatedProviders.StartAsync(apns =>
        {
            apns.RaisedMaxStreams = 1;
            apns.GoAwayAfterRequests = 20;
        });
        await using var server = await RunningServer.StartAsync([relay], providers: providers);
        await relay.SubscribedAsync();
        server.Apns.Script(Device.ApnsName(1), new SimulatedVerdict { Fault = SimulatedFault.RefusedStream, Times = 2 });
        server.Apns.Script(Device.ApnsName(2), new SimulatedVerdict { Fault = SimulatedFault.GoAway, Times = 1 });
        for (var i = 0; i < 3; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(i * 32, 32).Select(n => Device.Apns((byte)n))]));
        }

        await server.Probe.EndedAsync("accepted", 96);
        Assert.All(Enumerable.Range(0, 96), n => Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName((byte)n))));
    }

    [Fact]
    public async Task Case_51_a_black_hole_at_apple_leaves_fcm_its_speed()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.ProviderTimeout = TimeSpan.FromSeconds(20));
        await relay.SubscribedAsync();
        server.Apns.BlackHole = true;
        for (var i = 0; i < 10; i++)
        {
            var devices = Enumerable.Range(0, 16).SelectMany(n => new[] { Device.Apns((byte)((i * 16) + n)), Device.Fcm($"device{i}-{n}") }).ToArray();
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, devices));
        }

        await server.Probe.EndedAsync("accepted", 160); // all of FCM, while 160 of Apple's hang
        Assert.Equal(160, server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Pending);
    }

    [Fact]
    public async Task Case_52_of_a_large_error_body_eight_kibibytes_are_read()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        var huge = "{\"reason\":\"BadDeviceToken\",\"filler\":\"" + new string('x', 10_000_000) + "\"}";
        server.Fcm.Script("huge", new SimulatedVerdict { Status = 404, Body = huge });
        server.Apns.Script(Device.ApnsName(52), new SimulatedVerdict { Status = 400, Reason = "BadDeviceToken", Body = huge[..60_000] });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Fcm("huge"), Device.Apns(52), Device.Fcm("small")));
        await server.Probe.EndedAsync("accepted", 1);
        await server.Probe.EndedAsync("NOT_FOUND", 1);
        await server.Probe.EndedAsync("BadDeviceToken", 1); // the reason stands within what is read

        var stream = new CountingStream(10_000_000);
        using var response = new HttpResponseMessage { Content = new StreamContent(stream) };
        var (buffer, length) = await ProviderHttp.ReadAnswerAsync(response, CancellationToken.None);
        System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        Assert.Equal(ProviderHttp.MaxAnswerBytes, length);
        Assert.Equal(ProviderHttp.MaxAnswerBytes, stream.Read_);
    }

    [Theory]
    [InlineData(302)]
    [InlineData(418)]
    [InlineData(451)]
    public async Task Case_53_an_unknown_answer_ends_the_push_and_says_nothing_about_the_token(int status)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        server.Apns.Script(Device.ApnsName(53), new SimulatedVerdict { Status = status, Reason = "Whatever", Times = 1 });
        server.Fcm.Script("x", new SimulatedVerdict { Status = status, Body = "<html>", Times = 1 });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(53), Device.Fcm("x")));
        await server.Probe.EndedAsync("refused", 2);

        Assert.Equal(0, server.Probe.Ended("dead"));
        Assert.Equal(1, server.Apns.RequestsFor(Device.ApnsName(53)));
        Assert.True(new LaneHealth(server.Service).Check().Ready);
    }

    [Fact]
    public async Task Case_54_a_dead_token_and_a_foreign_one_are_told_apart()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        server.Apns.Script(Device.ApnsName(1), SimulatedVerdict.Of(400, "BadDeviceToken"));
        server.Apns.Script(Device.ApnsName(2), SimulatedVerdict.Of(400, "DeviceTokenNotForTopic"));
        server.Apns.Script(Device.ApnsName(3), SimulatedVerdict.Of(410, "Unregistered"));
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1), Device.Apns(2), Device.Apns(3)));
        await server.Probe.EndedAsync("dead", 2);
        await server.Probe.EndedAsync("foreign", 1);

        Assert.Equal(3, server.Apns.Requests.Count);
        Assert.True(new LaneHealth(server.Service).Check().Ready);
    }

    [Theory]
    [InlineData(503, "5", null)]
    [InlineData(408, null, null)]
    [InlineData(425, null, null)]
    [InlineData(429, null, null)]
    [InlineData(200, null, "{\"access_token\":\"abc")]
    [InlineData(200, null, "<html>")]
    [Trait("Clock", "Date")]
    public async Task Case_55_oauth_in_trouble_is_transient_and_paced(int status, string? retryAfter, string? body)
    {
        var time = Clock.Standing();
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions { Clock = time }, CancellationToken.None);
        fcm.ScriptOAuth(new SimulatedVerdict { Status = status, RetryAfter = retryAfter, Body = body, Times = 1 });
        using var provider = CreateFcm(fcm, time);
        for (var i = 0; i < 10; i++)
        {
            var verdict = await SendAsync(provider, time);
            Assert.Equal(PushOutcome.Transient, verdict.Outcome);
            Assert.True(retryAfter is null || verdict.RetryAfter >= TimeSpan.FromSeconds(5));
        }

        Assert.Equal(1, fcm.TokenRequestCount);
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, time));
        Assert.Equal(2, fcm.TokenRequestCount);
    }

    [Theory]
    [InlineData("1", 30)]
    [InlineData("1e18", 3600)]
    [InlineData("-5", 30)]
    [InlineData("\"soon\"", 30)]
    public async Task Case_55_a_token_life_out_of_all_reason_is_bounded(string expiresIn, int seconds)
    {
        var time = Clock.Standing();
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions { Clock = time }, CancellationToken.None);
        fcm.ScriptOAuth(new SimulatedVerdict { Body = $$"""{"access_token":"ya29.unknown","expires_in":{{expiresIn}},"token_type":"Bearer"}""", Times = 1 });
        using var tokens = new OAuthTokens(ServiceAccountOf(fcm), [fcm.CaCertificate], time);
        Assert.Equal("ya29.unknown", (await tokens.GetAsync(CancellationToken.None)).Token);
        time.Advance(TimeSpan.FromSeconds(seconds - 1));
        if (seconds == 30)
        {
            Assert.Equal("ya29.unknown", (await tokens.GetAsync(CancellationToken.None)).Token);
        }

        time.Advance(TimeSpan.FromSeconds(2));
        Assert.NotEqual("ya29.unknown", (await tokens.GetAsync(CancellationToken.None)).Token);
        Assert.Equal(2, fcm.TokenRequestCount);
    }

    [Fact]
    public async Task Case_56_a_wrong_project_is_a_matter_of_settings_and_not_of_the_token()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.Apps[0].Fcm.ProjectId = "another-project");
        await relay.SubscribedAsync();
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Fcm("abc")));
        await server.Probe.EndedAsync("refused", 1);

        Assert.Equal(1, server.Probe.Ended("NOT_FOUND"));
        Assert.Equal(0, server.Probe.Ended("dead"));
    }

    [Fact]
    [Trait("Clock", "Date")]
    public void Case_59_a_provider_token_is_backdated_by_thirty_seconds()
    {
        var time = Clock.Standing();
        using var jwt = new ApnsJwt(System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256), "TEAM567890",
            "KEY4567890", time);
        var claims = JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(jwt.Current().Split('.')[1]));
        Assert.Equal(time.GetUtcNow().ToUnixTimeSeconds() - 30, claims.RootElement.GetProperty("iat").GetInt64());
    }

    [Fact]
    public async Task Case_60_a_refused_connection_is_tried_again_at_once_and_rings_once()
    {
        Assert.InRange(RetryPause.For(PushVerdict.Unreachable, 1, 1), TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(100));
        Assert.True(RetryPause.For(PushVerdict.Unreachable, 2, 0) >= TimeSpan.FromSeconds(1));
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
        using var provider = CreateApns(apns, Clock.Running(), port: TestKit.FreePort.Take(1)[0]);
        Assert.Equal(PushVerdict.Unreachable, await SendAsync(provider, Clock.Running())); // certain: nothing was sent
    }

    [Theory]
    [InlineData(ApnsMode.Silent, 2)]
    [InlineData(ApnsMode.Alert, 1)]
    [InlineData(ApnsMode.Mutable, 1)]
    public async Task Case_60_a_push_without_an_answer_is_repeated_once_when_silent_and_never_when_it_shows(ApnsMode mode, int requests)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options =>
        {
            options.Apps[0].Apns.Mode = mode;
            options.ProviderTimeout = TimeSpan.FromMilliseconds(300);
        });
        await relay.SubscribedAsync();
        server.Apns.Script(Device.ApnsName(60), new SimulatedVerdict { Fault = SimulatedFault.LostAnswer });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(60)));
        await server.Probe.EndedAsync("uncertain", 1);

        Assert.Equal(requests, server.Apns.RequestsFor(Device.ApnsName(60)));
        Assert.Single(server.Apns.Requests.Select(request => request.Header("apns-id")).Distinct()); // so that a repeat can be told
    }

    [Theory]
    [InlineData(ApnsMode.Alert, """{"aps":{"alert":{"title":"T","body":"B"},"sound":"default"}}""")]
    [InlineData(ApnsMode.Mutable, """{"aps":{"alert":{"title":"T","body":"B"},"mutable-content":1,"sound":"default"}}""")]
    public async Task Alerts_carry_the_operators_text_and_nothing_of_the_message(ApnsMode mode, string body)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options =>
        {
            options.Apps[0].Apns.Mode = mode;
            options.Apps[0].Apns.AlertTitle = "T";
            options.Apps[0].Apns.AlertBody = "B";
            options.Apps[0].Apns.CollapseId = "wake";
        });
        await relay.SubscribedAsync();
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);

        var request = Assert.Single(server.Apns.Requests);
        Assert.Equal(body, Encoding.UTF8.GetString(request.Body.Span));
        Assert.Equal(("alert", "10", "wake"), (request.Header("apns-push-type"), request.Header("apns-priority"), request.Header("apns-collapse-id")));
        Assert.Empty(request.Warnings);
    }

    [Fact]
    public async Task Two_apps_with_one_apns_key_share_one_provider_token()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options =>
        {
            var first = options.Apps[0];
            options.Apps.Add(new NotifyAppOptions { Name = "second", KeyFile = first.KeyFile + "2", CaFile = first.CaFile, Apns = first.Apns });
        });
        await relay.SubscribedAsync(2);
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await relay.SendAsync(TestTrigger.Create(server.Service.Apps[1].PublicKey, TokenDialect.MarmotPushV1, [Device.Apns(2)], TimeProvider.System));
        await server.Probe.EndedAsync("accepted", 2);

        Assert.Equal(1, server.Apns.ProviderTokenCount);
        Assert.Same(((ApnsProvider)server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Provider).Jwt,
            ((ApnsProvider)server.Service.Apps[1].Lane(DevicePlatform.Apns)!.Provider).Jwt);
    }

    private static ApnsProvider Apns(RunningServer server) => (ApnsProvider)server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Provider;

    private static ApnsProvider CreateApns(ApnsSimulator apns, TimeProvider time, int? port = null) => InFolder(folder =>
    {
        RunningServer.Secret(folder, "key.p8", apns.PrivateKeyPem!);
        RunningServer.Secret(folder, "ca.pem", apns.CaCertificatePem);
        var endpoint = port is { } other ? new UriBuilder(apns.Endpoint) { Port = other }.Uri : apns.Endpoint;
        var options = new ApnsOptions
        {
            TeamId = apns.TeamId,
            KeyId = apns.KeyId,
            KeyFile = Path.Combine(folder, "key.p8"),
            Topic = "org.example",
            Endpoint = endpoint.AbsoluteUri,
        };
        return ApnsProvider.Create(options, Path.Combine(folder, "ca.pem"), TimeSpan.FromSeconds(10), time);
    });

    private static FcmProvider CreateFcm(FcmSimulator fcm, TimeProvider time) => InFolder(folder =>
    {
        RunningServer.Secret(folder, "fcm.json", fcm.ServiceAccountJson);
        RunningServer.Secret(folder, "ca.pem", fcm.CaCertificatePem);
        var options = new FcmOptions { ServiceAccountFile = Path.Combine(folder, "fcm.json"), Endpoint = fcm.Endpoint.AbsoluteUri };
        return FcmProvider.Create(options, Path.Combine(folder, "ca.pem"), TimeSpan.FromSeconds(10), time);
    });

    private static ServiceAccount ServiceAccountOf(FcmSimulator fcm) => InFolder(folder =>
    {
        RunningServer.Secret(folder, "fcm.json", fcm.ServiceAccountJson);
        return ServiceAccount.Load(Path.Combine(folder, "fcm.json"));
    });

    private static T InFolder<T>(Func<string, T> create)
    {
        var folder = Directory.CreateTempSubdirectory("provider").FullName;
        try
        {
            return create(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<PushVerdict> SendAsync(IPushProvider provider, TimeProvider time)
    {
        using var job = new PushJob("abcdef"u8, time.GetUptime(), time.GetUptime() + TimeSpan.FromMinutes(3));
        return await provider.SendAsync(job, CancellationToken.None);
    }

    private sealed class CountingStream(int length) : Stream
    {
        public int Read_ { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => length;

        public override long Position { get => Read_; set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = Math.Min(count, length - Read_);
            Read_ += read;
            return read;
        }

        public override void Flush()
        {
            // Nothing is written.
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
