using Marmot.Hosting;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Providers;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Tests.Providers;

/// <summary>The APNs provider against the simulator over HTTP/2 with a private authority.</summary>
[Trait("Clock", "Date")]
public class ApnsProviderTests
{
    [Theory]
    [InlineData(400, "BadDeviceToken", (int)PushOutcome.TokenDead)]
    [InlineData(400, "DeviceTokenNotForTopic", (int)PushOutcome.TokenForeign)]
    [InlineData(410, "Unregistered", (int)PushOutcome.TokenDead)]
    [InlineData(400, "BadTopic", (int)PushOutcome.Configuration)]
    [InlineData(403, "InvalidProviderToken", (int)PushOutcome.Credential)]
    [InlineData(429, "TooManyRequests", (int)PushOutcome.TokenBusy)]
    [InlineData(429, "TooManyProviderTokenUpdates", (int)PushOutcome.Credential)]
    [InlineData(500, "InternalServerError", (int)PushOutcome.Transient)]
    [InlineData(503, "ServiceUnavailable", (int)PushOutcome.Transient)]
    [InlineData(503, "Shutdown", (int)PushOutcome.Reconnect)]
    [InlineData(418, null, (int)PushOutcome.Configuration)]
    public async Task Sorts_answers_into_whose_matter_they_are(int status, string? reason, int outcome)
    {
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
        apns.Script("0101", SimulatedVerdict.Of(status, reason));
        using var provider = Create(apns);

        Assert.Equal((PushOutcome)outcome, (await SendAsync(provider, [1, 1])).Outcome);
    }

    [Fact]
    public async Task Many_pushes_share_one_connection_and_one_provider_token()
    {
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
        using var provider = Create(apns);

        var verdicts = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => SendAsync(provider, [2, (byte)i])));

        Assert.All(verdicts, verdict => Assert.Equal(PushVerdict.Accepted, verdict));
        Assert.Equal(1, apns.ConnectionCount);
        Assert.Equal(1, apns.ProviderTokenCount);
        Assert.Equal(0, apns.PriorityFrames);
    }

    [Fact]
    public async Task Case_46_a_revoked_key_mints_nothing()
    {
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
        using var provider = Create(apns);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [3]));
        apns.RevokeKey(apns.KeyId);

        for (var i = 0; i < 50; i++)
        {
            Assert.Equal(PushOutcome.Credential, (await SendAsync(provider, [3])).Outcome);
        }

        Assert.Equal(1, provider.Jwt.Minted);
    }

    [Fact]
    public async Task Case_45_an_expired_token_is_replaced_only_after_the_floor()
    {
        var clock = Clock.Standing();
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { Clock = clock }, CancellationToken.None);
        apns.Script("04", new SimulatedVerdict { Status = 403, Reason = "ExpiredProviderToken", Times = 1 });
        using var provider = Create(apns, clock);

        Assert.Equal(PushReason.ExpiredProviderToken, (await SendAsync(provider, [4], clock)).Reason);
        Assert.Equal(1, provider.Jwt.Minted);

        clock.Advance(TimeSpan.FromMinutes(21));
        apns.Script("04", new SimulatedVerdict { Status = 403, Reason = "ExpiredProviderToken", Times = 1 });
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [4], clock));
        Assert.Equal(2, provider.Jwt.Minted);
    }

    [Fact]
    public async Task A_provider_token_is_renewed_before_apple_calls_it_expired()
    {
        var clock = Clock.Standing();
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { Clock = clock }, CancellationToken.None);
        using var provider = Create(apns, clock);

        for (var i = 0; i < 12; i++)
        {
            Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [5], clock));
            clock.Advance(TimeSpan.FromMinutes(20));
        }

        Assert.Equal(4, provider.Jwt.Minted); // 240 minutes at 20-minute steps, each token used up to 60
    }

    [Theory]
    [InlineData(-120)]
    [InlineData(-1)]
    [InlineData(180)]
    public async Task A_provider_token_is_renewed_at_its_age_whatever_happens_to_the_date(int step)
    {
        var below = Clock.Standing();
        var clock = new WallClock(DateTimeOffset.UtcNow, below);
        await using var apns = await ApnsSimulator.StartAsync(Tolerant(), CancellationToken.None);
        using var provider = Create(apns, clock);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [6], clock));

        clock.Advance(TimeSpan.FromMinutes(step));
        below.Advance(TimeSpan.FromMinutes(49));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [6], clock));
        Assert.Equal(1, provider.Jwt.Minted);

        below.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [6], clock));
        Assert.Equal(2, provider.Jwt.Minted);
    }

    [Theory]
    [InlineData("ExpiredProviderToken")]
    [InlineData("InvalidProviderToken")]
    public async Task A_provider_token_dated_by_a_wrong_clock_is_replaced_when_it_is_refused_after_the_clock_was_set(string reason)
    {
        var below = Clock.Standing();
        var clock = new WallClock(DateTimeOffset.UtcNow, below);
        await using var apns = await ApnsSimulator.StartAsync(Tolerant(), CancellationToken.None);
        using var provider = Create(apns, clock);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [7], clock));
        apns.Script("07", new SimulatedVerdict { Status = 403, Reason = reason, Times = 1 });
        clock.Advance(TimeSpan.FromHours(1));
        below.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, [7], clock));
        Assert.Equal(2, provider.Jwt.Minted);

        // Refused again by a clock that was not set since: the floor holds.
        apns.Script("07", new SimulatedVerdict { Status = 403, Reason = reason, Times = 1 });
        clock.Advance(TimeSpan.FromMinutes(2));
        below.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(PushOutcome.Credential, (await SendAsync(provider, [7], clock)).Outcome);
        Assert.Equal(2, provider.Jwt.Minted);
    }

    [Fact]
    public void The_token_of_a_replica_with_a_wrong_clock_has_an_age_within_reason()
    {
        var clock = Clock.Standing();
        using var jwts = new ApnsJwts(clock);
        var ahead = jwts.Get(System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256), "MARMOTTEAM", "MARMOTKEY1");
        ahead.Adopt("from the future", clock.GetUtcNow().AddHours(5));
        Assert.Equal(TimeSpan.Zero, ahead.Age);
        clock.Advance(ApnsJwt.Lifetime);
        Assert.NotEqual("from the future", ahead.Current());

        var behind = jwts.Get(System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256), "MARMOTTEAM", "MARMOTKEY2");
        behind.Adopt("from the past", clock.GetUtcNow().AddDays(-5));
        Assert.Equal(ApnsJwt.Lifetime, behind.Age);
        Assert.NotEqual("from the past", behind.Current());
    }

    [Fact]
    public async Task Case_50_goaway_costs_no_push()
    {
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { GoAwayAfterRequests = 5 }, CancellationToken.None);
        using var provider = Create(apns);

        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(PushOutcome.Accepted, (await SendAsync(provider, [6, (byte)i])).Outcome);
        }

        Assert.True(apns.ConnectionCount >= 4);
    }

    [Fact]
    public async Task Case_51_a_black_hole_ends_at_our_own_deadline_and_the_connection_is_given_up()
    {
        await using var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { }, CancellationToken.None);
        using var provider = Create(apns, timeout: TimeSpan.FromMilliseconds(300));
        apns.BlackHole = true;
        Assert.Equal(PushVerdict.TimedOut with { IsUncertain = true }, await SendAsync(provider, [7]));
        Assert.Equal(PushVerdict.TimedOut with { IsUncertain = true }, await SendAsync(provider, [7]));

        Assert.Equal(1, provider.Connections.Retired);
    }

    [Theory]
    [InlineData("0", 0.1)]
    [InlineData("7", 7.0)]
    [InlineData("999999999999", 3600.0)]
    [InlineData("Sat, 01 Jan 2000 00:00:00 GMT", 0.1)]
    [InlineData("soon", null)]
    public void Case_58_retry_after_is_bounded(string text, double? seconds)
    {
        using var response = new HttpResponseMessage();
        response.Headers.TryAddWithoutValidation("Retry-After", text);
        Assert.Equal(seconds is null ? null : TimeSpan.FromSeconds(seconds.Value), ProviderHttp.RetryAfter(response.Headers, DateTimeOffset.UtcNow));
    }

    private static ApnsProvider Create(ApnsSimulator apns, TimeProvider? time = null, TimeSpan? timeout = null)
    {
        var folder = Directory.CreateTempSubdirectory("apns").FullName;
        var key = Path.Combine(folder, "key.p8");
        var ca = Path.Combine(folder, "ca.pem");
        Assert.True(SecretFile.TryCreate(key, System.Text.Encoding.UTF8.GetBytes(apns.PrivateKeyPem!)));
        Assert.True(SecretFile.TryCreate(ca, System.Text.Encoding.UTF8.GetBytes(apns.CaCertificatePem)));
        try
        {
            var options = new ApnsOptions
            {
                TeamId = apns.TeamId,
                KeyId = apns.KeyId,
                KeyFile = key,
                Topic = "org.example",
                Endpoint = apns.Endpoint.AbsoluteUri,
                Connections = 1,
            };
            return ApnsProvider.Create(options, ca, timeout ?? TimeSpan.FromSeconds(10), time ?? Clock.Running());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // The server's date is put hours away: Apple's own clock is not what these tests are about.
    private static ApnsSimulatorOptions Tolerant() =>
        new() { ClockSkew = TimeSpan.FromDays(2), ProviderTokenLifetime = TimeSpan.FromDays(2), ProviderTokenUpdateInterval = TimeSpan.Zero };

    private static async Task<PushVerdict> SendAsync(ApnsProvider provider, byte[] token, TimeProvider? time = null)
    {
        var now = (time ?? Clock.Running()).GetUptime();
        using var job = new PushJob(token, now, now + TimeSpan.FromMinutes(3));
        return await provider.SendAsync(job, CancellationToken.None);
    }
}
