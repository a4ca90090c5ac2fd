using System.Net;
using System.Security.Cryptography;
using Marmot.ProviderSimulators;
using static Marmot.ProviderSimulators.Tests.SimulatorClient;

namespace Marmot.ProviderSimulators.Tests;

#pragma warning disable CA1001 // xunit disposes through IAsyncLifetime
public sealed class ApnsProviderTokenTests : IAsyncLifetime
{
    private const string Device = "00aa";
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private readonly FakeTimeProvider _clock = new(Start);
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));
    private readonly ECDsa _first = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly ECDsa _second = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private ApnsSimulator _apns = null!;

    public async Task InitializeAsync() => _apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions
    {
        Clock = _clock,
        Keys =
        [
            new() { KeyId = "KEY0000001", TeamId = "TEAM000001", PublicKey = _first },
            new() { KeyId = "KEY0000002", TeamId = "TEAM000001", PublicKey = _second },
            new() { KeyId = "KEY0000003", TeamId = "TEAM000002", PublicKey = _second },
            new() { KeyId = "KEY0000004", TeamId = "TEAM000001", PublicKey = _second, Environment = ApnsEnvironment.Sandbox },
            new() { KeyId = "KEY0000005", TeamId = "TEAM000001", PublicKey = _second, Topics = new HashSet<string> { "app.other" } },
        ],
    }, _deadline.Token);

    public async Task DisposeAsync()
    {
        await _apns.DisposeAsync();
        _first.Dispose();
        _second.Dispose();
        _deadline.Dispose();
    }

    private string Token(string keyId = "KEY0000001", string teamId = "TEAM000001", TimeSpan age = default, string algorithm = "ES256", ECDsa? key = null) =>
        ProviderToken((key ?? (keyId == "KEY0000001" ? _first : _second)).ExportPkcs8PrivateKeyPem(), keyId, teamId, _clock.GetUtcNow() - age, algorithm);

    private async Task<string> AnswerAsync(string providerToken, SimulatorClient? client = null)
    {
        using var own = client is null ? new SimulatorClient(_apns.CaCertificate) : null;
        using var request = Push(_apns.Endpoint, Device, providerToken);
        using var response = await (client ?? own!).Http.SendAsync(request, _deadline.Token);
        return response.StatusCode == HttpStatusCode.OK ? "200" : $"{(int)response.StatusCode} {await ReasonOf(response)}";
    }

    [Fact]
    public async Task Refuses_unknown_key_other_team_other_algorithm_and_bad_signature()
    {
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token(keyId: "KEY0000009", key: _first)));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token(teamId: "TEAM000002")));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token(algorithm: "none")));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token(key: _second)));
        Assert.Equal("200", await AnswerAsync(Token()));
        Assert.Equal(1, _apns.ProviderTokenCount);
    }

    [Fact]
    public async Task Holds_the_window_of_iat()
    {
        Assert.Equal("403 ExpiredProviderToken", await AnswerAsync(Token(age: TimeSpan.FromMinutes(61))));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token(age: TimeSpan.FromMinutes(-2))));
        var token = Token(age: TimeSpan.FromMinutes(59));
        Assert.Equal("200", await AnswerAsync(token));
        _clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal("403 ExpiredProviderToken", await AnswerAsync(token));
    }

    [Fact]
    public async Task Answers_429_to_a_second_new_token_within_20_minutes()
    {
        var first = Token();
        Assert.Equal("200", await AnswerAsync(first));
        _clock.Advance(TimeSpan.FromMinutes(19));
        Assert.Equal("429 TooManyProviderTokenUpdates", await AnswerAsync(Token()));
        Assert.Equal("200", await AnswerAsync(first));
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("200", await AnswerAsync(Token()));
        // The older one is still good, and going back to it is not an update.
        Assert.Equal("200", await AnswerAsync(first));
        Assert.Equal(2, _apns.ProviderTokenCount);
    }

    [Fact]
    public async Task Refuses_a_revoked_key_from_that_time_on()
    {
        _apns.RevokeKey("KEY0000001", Start.AddMinutes(5));
        var token = Token();
        Assert.Equal("200", await AnswerAsync(token));
        _clock.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(token));
    }

    [Fact]
    public async Task Binds_a_connection_to_one_team_and_key()
    {
        using var client = new SimulatorClient(_apns.CaCertificate);
        Assert.Equal("200", await AnswerAsync(Token(), client));
        Assert.Equal("403 UnrelatedKeyIdInToken", await AnswerAsync(Token("KEY0000002"), client));
        Assert.Equal("403 InvalidProviderToken", await AnswerAsync(Token("KEY0000003", "TEAM000002"), client));
        Assert.Equal("200", await AnswerAsync(Token("KEY0000002")));
    }

    [Fact]
    public async Task Keeps_scoped_keys_to_their_environment_and_topics()
    {
        Assert.Equal("403 BadEnvironmentKeyIdInToken", await AnswerAsync(Token("KEY0000004")));
        Assert.Equal("400 TopicDisallowed", await AnswerAsync(Token("KEY0000005")));
    }
}
