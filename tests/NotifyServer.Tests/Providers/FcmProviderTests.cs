using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Simulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Tests.Providers;

/// <summary>The FCM provider against the simulator over TLS with a private authority.</summary>
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

    private static FcmProvider Create(FcmSimulator fcm)
    {
        var folder = Directory.CreateTempSubdirectory("fcm").FullName;
        var account = Path.Combine(folder, "fcm.json");
        var ca = Path.Combine(folder, "ca.pem");
        Assert.True(SecretFile.TryCreate(account, System.Text.Encoding.UTF8.GetBytes(fcm.ServiceAccountJson)));
        Assert.True(SecretFile.TryCreate(ca, System.Text.Encoding.UTF8.GetBytes(fcm.CaCertificatePem)));
        try
        {
            return FcmProvider.Create(
                new FcmOptions { ServiceAccountFile = account, Endpoint = fcm.Endpoint.AbsoluteUri }, ca, TimeSpan.FromSeconds(10), TimeProvider.System);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<PushVerdict> SendAsync(FcmProvider provider, string token)
    {
        using var job = new PushJob(System.Text.Encoding.ASCII.GetBytes(token), DateTimeOffset.UtcNow, DateTimeOffset.UtcNow + Lifetime);
        return await provider.SendAsync(job, CancellationToken.None);
    }
}
