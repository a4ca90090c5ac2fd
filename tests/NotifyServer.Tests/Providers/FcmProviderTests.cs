using Marmot.Hosting;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Providers;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Tests.Providers;

/// <summary>The FCM provider against the simulator over TLS with a private authority.</summary>
[Trait("Clock", "Date")]
public class FcmProviderTests
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task Gets_one_oauth_token_for_many_pushes()
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        using var provider = Create(fcm);

        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, "first"));
        var verdicts = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => SendAsync(provider, $"t{i}")));

        Assert.All(verdicts, verdict => Assert.Equal(PushOutcome.Accepted, verdict.Outcome));
        Assert.Equal(1, fcm.TokenRequestCount);
    }

    [Theory]
    [InlineData(400, "INVALID_ARGUMENT", (int)PushOutcome.TokenDead)]
    [InlineData(404, "UNREGISTERED", (int)PushOutcome.TokenDead)]
    [InlineData(403, "SENDER_ID_MISMATCH", (int)PushOutcome.TokenForeign)]
    [InlineData(401, "THIRD_PARTY_AUTH_ERROR", (int)PushOutcome.TokenForeign)]
    [InlineData(403, null, (int)PushOutcome.Credential)]
    [InlineData(404, null, (int)PushOutcome.Configuration)]
    [InlineData(429, "QUOTA_EXCEEDED", (int)PushOutcome.TokenBusy)]
    [InlineData(500, "INTERNAL", (int)PushOutcome.Transient)]
    [InlineData(503, "UNAVAILABLE", (int)PushOutcome.Transient)]
    public async Task Sorts_answers_into_whose_matter_they_are(int status, string? code, int outcome)
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        fcm.Script("t", SimulatedVerdict.Of(status, code));
        using var provider = Create(fcm);

        Assert.Equal((PushOutcome)outcome, (await SendAsync(provider, "t")).Outcome);
    }

    [Fact]
    public async Task Case_57_a_flood_of_foreign_tokens_mints_no_oauth_tokens()
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        fcm.ScriptAll(SimulatedVerdict.Of(401, "THIRD_PARTY_AUTH_ERROR"));
        using var provider = Create(fcm);

        for (var i = 0; i < 30; i++)
        {
            Assert.Equal(PushOutcome.TokenForeign, (await SendAsync(provider, $"t{i}")).Outcome);
        }

        Assert.Equal(1, fcm.TokenRequestCount);
    }

    [Fact]
    public async Task Case_55_a_deleted_account_is_a_credential_matter_and_asked_for_once_a_minute()
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        fcm.DeleteServiceAccount();
        using var provider = Create(fcm);

        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(PushOutcome.Credential, (await SendAsync(provider, "t")).Outcome);
        }

        Assert.Equal(1, fcm.TokenRequestCount);
    }

    [Fact]
    public async Task Case_55_an_oauth_endpoint_in_trouble_is_transient()
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        fcm.ScriptOAuth(SimulatedVerdict.Of(503));
        using var provider = Create(fcm);

        Assert.Equal(PushOutcome.Transient, (await SendAsync(provider, "t")).Outcome);
    }

    /// <summary>Google's pages of 2026: the token is named by a field violation, or by one sentence beside the FcmError; the bare code can be any fault of the
    /// request.</summary>
    [Theory]
    [InlineData("""{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}""", (int)PushOutcome.Configuration)]
    [InlineData(
        """{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT","details":["""
            + """{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}""", (int)PushOutcome.Unclear)]
    [InlineData(
        """{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT","details":["""
            + """{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}""", (int)PushOutcome.TokenDead)]
    [InlineData(
        """{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT","details":["""
            + """{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"},"""
            + """{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":["""
            + """{"field":"message.token","description":"Invalid registration token"}]}]}}""", (int)PushOutcome.TokenDead)]
    [InlineData(
        """{"error":{"code":400,"message":"Invalid value at 'message.android.ttl'","status":"INVALID_ARGUMENT","details":["""
            + """{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.android.ttl","description":"x"}]}]}}""",
                (int)PushOutcome.Configuration)]
    public async Task A_token_counts_as_dead_only_when_google_says_that_it_is_the_token(string body, int outcome)
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        fcm.Script("t", new SimulatedVerdict { Status = 400, Body = body });
        using var provider = Create(fcm);

        Assert.Equal((PushOutcome)outcome, (await SendAsync(provider, "t")).Outcome);
    }

    [Fact]
    public async Task An_oauth_token_lives_its_time_whatever_happens_to_the_date()
    {
        var below = Clock.Standing();
        var clock = new WallClock(DateTimeOffset.UtcNow, below);
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions { ClockSkew = TimeSpan.FromDays(1) }, CancellationToken.None);
        using var provider = Create(fcm, clock);
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, "t", clock));

        clock.Advance(TimeSpan.FromHours(5)); // no reason for another one
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, "t", clock));
        Assert.Equal(1, fcm.TokenRequestCount);

        clock.Advance(TimeSpan.FromHours(-5) - TimeSpan.FromMinutes(30));
        below.Advance(TimeSpan.FromMinutes(56));
        Assert.Equal(PushVerdict.Accepted, await SendAsync(provider, "t", clock));
        Assert.Equal(2, fcm.TokenRequestCount);
    }

    private static FcmProvider Create(FcmSimulator fcm, TimeProvider? time = null)
    {
        var folder = Directory.CreateTempSubdirectory("fcm").FullName;
        var account = Path.Combine(folder, "fcm.json");
        var ca = Path.Combine(folder, "ca.pem");
        Assert.True(SecretFile.TryCreate(account, System.Text.Encoding.UTF8.GetBytes(fcm.ServiceAccountJson)));
        Assert.True(SecretFile.TryCreate(ca, System.Text.Encoding.UTF8.GetBytes(fcm.CaCertificatePem)));
        try
        {
            return FcmProvider.Create(
                new FcmOptions { ServiceAccountFile = account, Endpoint = fcm.Endpoint.AbsoluteUri }, ca, TimeSpan.FromSeconds(10), time ?? Clock.Running());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<PushVerdict> SendAsync(FcmProvider provider, string token, TimeProvider? time = null)
    {
        var now = (time ?? Clock.Running()).GetUptime();
        using var job = new PushJob(System.Text.Encoding.ASCII.GetBytes(token), now, now + Lifetime);
        return await provider.SendAsync(job, CancellationToken.None);
    }
}
