using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.ProviderSimulators;
using static Marmot.ProviderSimulators.Tests.SimulatorClient;

namespace Marmot.ProviderSimulators.Tests;

#pragma warning disable CA1001 // xunit disposes through IAsyncLifetime
public sealed class FcmSimulatorTests : IAsyncLifetime
{
    private const string Device = "fcm:token_-.1";
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    /// <summary>One for all tests: an RSA key takes longer to make than a test to run.</summary>
    private static readonly RSA ServiceAccountKey = RSA.Create(2048);

    private readonly FakeTimeProvider _clock = new(Start);
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));
    private FcmSimulator _fcm = null!;
    private SimulatorClient _client = null!;

    public Task InitializeAsync() => RestartAsync(new FcmSimulatorOptions());

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _fcm.DisposeAsync();
        _deadline.Dispose();
    }

    private async Task RestartAsync(FcmSimulatorOptions options)
    {
        _client?.Dispose();
        if (_fcm is not null) await _fcm.DisposeAsync();
        options.Clock = _clock;
        options.ServiceAccountKey = ServiceAccountKey;
        _fcm = await FcmSimulator.StartAsync(options, _deadline.Token);
        _client = new SimulatorClient(_fcm.CaCertificate);
    }

    private async Task<HttpResponseMessage> ExchangeAsync(string assertion, string grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer")
    {
        using var form = new FormUrlEncodedContent([new("grant_type", grantType), new("assertion", assertion)]);
        return await _client.Http.PostAsync(_fcm.TokenUri, form, _deadline.Token);
    }

    private async Task<string> AccessTokenAsync()
    {
        using var response = await ExchangeAsync(Assertion(_fcm.ServiceAccountJson, _clock.GetUtcNow()));
        return (await JsonOf(response)).GetProperty("access_token").GetString()!;
    }

    private async Task<HttpResponseMessage> SendAsync(string? accessToken, string? body = null, string? path = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_fcm.Endpoint, path ?? $"/v1/projects/{_fcm.ProjectId}/messages:send"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new StringContent(body ?? Message(), Encoding.UTF8, "application/json"),
        };
        if (accessToken is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", accessToken);
        return await _client.Http.SendAsync(request, _deadline.Token);
    }

    private static string Message(string token = Device) =>
        JsonSerializer.Serialize(new
        {
            message = new { token, data = new { k = "v" }, android = new { priority = "high", ttl = "120s", collapse_key = "wake" } },
        });

    private static string? Detail(JsonElement body, string name)
    {
        if (!body.GetProperty("error").TryGetProperty("details", out var details)) return null;
        foreach (var detail in details.EnumerateArray())
        {
            if (detail.TryGetProperty(name, out var value))
            {
                return value.ValueKind == JsonValueKind.String ? value.GetString() : value[0].GetProperty("field").GetString();
            }
        }
        return null;
    }

    [Fact]
    public async Task Issues_a_token_and_accepts_a_data_message()
    {
        using var issued = await ExchangeAsync(Assertion(_fcm.ServiceAccountJson, Start));
        var grant = await JsonOf(issued);
        Assert.Equal(("Bearer", 3599), (grant.GetProperty("token_type").GetString(), grant.GetProperty("expires_in").GetInt32()));
        using var response = await SendAsync(grant.GetProperty("access_token").GetString());

        Assert.Equal((HttpStatusCode.OK, HttpVersion.Version20), (response.StatusCode, response.Version));
        Assert.StartsWith("projects/marmot-sim/messages/", (await JsonOf(response)).GetProperty("name").GetString(), StringComparison.Ordinal);
        var seen = Assert.Single(_fcm.Requests);
        Assert.Equal((Device, "marmot-sim", 200, true, Start), (seen.Token, seen.Topic, seen.Status, seen.Accepted, seen.Time));
        Assert.Equal(Message(), Encoding.UTF8.GetString(seen.Body.Span));
        Assert.Equal("application/json; charset=utf-8", seen.Header("content-type"));
        Assert.Empty(seen.Warnings);
        Assert.Equal((1, 1, 1), (_fcm.TokenRequestCount, _fcm.IssuedTokenCount, _fcm.DeliveriesFor(Device)));
    }

    [Theory]
    [InlineData(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")]
    [InlineData(401, "THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED")]
    [InlineData(403, "SENDER_ID_MISMATCH", "PERMISSION_DENIED")]
    [InlineData(404, "UNREGISTERED", "NOT_FOUND")]
    [InlineData(429, "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED")]
    [InlineData(500, "INTERNAL", "INTERNAL")]
    [InlineData(503, "UNAVAILABLE", "UNAVAILABLE")]
    public async Task Answers_a_scripted_row_of_the_error_table(int status, string code, string rpcStatus)
    {
        _fcm.Script(Device, new SimulatedVerdict { Status = status, Reason = code, RetryAfter = "Thu, 01 Jan 2026 12:00:30 GMT", Times = 1 });
        var token = await AccessTokenAsync();
        using var response = await SendAsync(token);
        var error = await JsonOf(response);

        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal((status, rpcStatus),
            (error.GetProperty("error").GetProperty("code").GetInt32(), error.GetProperty("error").GetProperty("status").GetString()));
        Assert.Equal(code, Detail(error, "errorCode"));
        Assert.Equal(Start.AddSeconds(30), response.Headers.RetryAfter!.Date);
        using var again = await SendAsync(token);
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Equal((2, 1), (_fcm.RequestsFor(Device), _fcm.DeliveriesFor(Device)));
    }

    [Theory]
    [InlineData("""{"message":{"token":"bad token"}}""", null)]
    [InlineData("""{"message":{"token":""}}""", null)]
    [InlineData("""{"message":{"token":7}}""", "message.token")]
    [InlineData("""{"message":{"data":{"k":"v"}}}""", "message")]
    [InlineData("""{"message":{"token":"t","topic":"x"}}""", "message")]
    [InlineData("""{"message":{"token":"t","data":{"k":1}}}""", "message.data[0].value")]
    [InlineData("""{"message":{"token":"t","data":{"from":"x"}}}""", "message.data")]
    [InlineData("""{"message":{"token":"t","data":{"google.x":"x"}}}""", "message.data")]
    [InlineData("""{"message":{"token":"t","android":{"priority":"urgent"}}}""", "message.android.priority")]
    [InlineData("""{"message":{"token":"t","android":{"ttl":"2419201s"}}}""", "message.android.ttl")]
    [InlineData("""{"message":{"token":"t","android":{"ttl":60}}}""", "message.android.ttl")]
    [InlineData("""{"message":{"token":"t","android":{"colour":"red"}}}""", "message.android")]
    [InlineData("""{"message":{"token":"t","badge":1}}""", "message")]
    [InlineData("""{"token":"t"}""", "")]
    [InlineData("""[]""", "")]
    [InlineData("""{""", "")]
    public async Task Refuses_a_faulty_message_by_token_or_by_field(string body, string? field)
    {
        using var response = await SendAsync(await AccessTokenAsync(), body);
        var error = await JsonOf(response);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        if (field is null) Assert.Equal("INVALID_ARGUMENT", Detail(error, "errorCode"));
        else if (field.Length > 0) Assert.StartsWith(field, Detail(error, "fieldViolations"), StringComparison.Ordinal);
        Assert.Equal(0, _fcm.Requests.Count(request => request.Accepted));
    }

    [Fact]
    public async Task Counts_data_to_4096_bytes()
    {
        var token = await AccessTokenAsync();
        string Body(int size) => JsonSerializer.Serialize(new { message = new { token = Device, data = new { k = new string('v', size - 1) } } });
        using var fits = await SendAsync(token, Body(4096));
        using var tooBig = await SendAsync(token, Body(4097));

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.BadRequest), (fits.StatusCode, tooBig.StatusCode));
    }

    [Fact]
    public async Task Only_validates_when_asked_to()
    {
        using var response = await SendAsync(await AccessTokenAsync(), Message().Insert(1, "\"validate_only\":true,"));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal((1, 0), (_fcm.RequestsFor(Device), _fcm.DeliveriesFor(Device)));
    }

    [Fact]
    public async Task Tells_credential_project_and_path_faults_apart()
    {
        await RestartAsync(new FcmSimulatorOptions { ForeignProjects = new HashSet<string> { "foreign" } });
        var token = await AccessTokenAsync();

        Assert.Equal((401, "CREDENTIALS_MISSING"), await Answer(null));
        Assert.Equal((401, "ACCESS_TOKEN_EXPIRED"), await Answer("ya29.made-up"));
        Assert.Equal((403, "IAM_PERMISSION_DENIED"), await Answer(token, "/v1/projects/foreign/messages:send"));
        Assert.Equal((404, null), await Answer(token, "/v1/projects/unknown/messages:send"));
        using var page = await SendAsync(token, path: "/v2/projects/marmot-sim/messages:send");
        Assert.Equal((HttpStatusCode.NotFound, "text/html"), (page.StatusCode, page.Content.Headers.ContentType!.MediaType));

        async Task<(int, string?)> Answer(string? accessToken, string? path = null)
        {
            using var response = await SendAsync(accessToken, path: path);
            return ((int)response.StatusCode, Detail(await JsonOf(response), "reason"));
        }
    }

    [Fact]
    public async Task Expires_and_revokes_access_tokens()
    {
        var first = await AccessTokenAsync();
        _clock.Advance(TimeSpan.FromSeconds(3599));
        using var expired = await SendAsync(first);
        var second = await AccessTokenAsync();
        using var fresh = await SendAsync(second);
        _fcm.RevokeAccessTokens();
        using var revoked = await SendAsync(second);

        Assert.Equal([401, 200, 401], new[] { expired, fresh, revoked }.Select(response => (int)response.StatusCode));
    }

    [Fact]
    public async Task Holds_the_quotas_of_project_and_device()
    {
        await RestartAsync(new FcmSimulatorOptions { DeviceQuotaPerMinute = 2, ProjectQuotaPerMinute = 4 });
        var token = await AccessTokenAsync();
        var answers = new List<int>();
        foreach (var device in (string[])["a", "a", "a", "b", "b"])
        {
            using var response = await SendAsync(token, Message(device));
            answers.Add((int)response.StatusCode);
            if (response.StatusCode == HttpStatusCode.TooManyRequests) Assert.Equal("60", response.Headers.GetValues("retry-after").Single());
        }
        _clock.Advance(TimeSpan.FromMinutes(1));
        using var later = await SendAsync(token, Message("a"));

        // The refused third one took from the project's bucket too, as Google counts it.
        Assert.Equal([200, 200, 429, 200, 429], answers);
        Assert.Equal(HttpStatusCode.OK, later.StatusCode);
    }

    public static TheoryData<string, string, Func<string, object?, object?>> BadClaims => new()
    {
        { "invalid_grant", "account not found", (name, value) => name == "iss" ? "someone@else" : value },
        { "invalid_grant", "audience", (name, value) => name == "aud" ? "https://oauth2.example.com/token" : value },
        { "invalid_grant", "reasonable timeframe", (name, value) => name == "exp" ? Start.ToUnixTimeSeconds() + 3601 : value },
        { "invalid_grant", "reasonable timeframe", (name, value) => name == "exp" ? Start.ToUnixTimeSeconds() : value },
        { "invalid_grant", "reasonable timeframe", (name, value) => name is "iat" or "exp" ? (long)value! + 600 : value },
        { "invalid_grant", "iat, exp", (name, value) => name == "iat" ? null : value },
        { "invalid_scope", "scope", (name, value) => name == "scope" ? "https://www.googleapis.com/auth/drive" : value },
        { "invalid_scope", "scope", (name, value) => name == "scope" ? "" : value },
    };

    [Theory]
    [MemberData(nameof(BadClaims), DisableDiscoveryEnumeration = true)]
    public async Task Refuses_an_assertion_with_a_faulty_claim(string error, string about, Func<string, object?, object?> change)
    {
        using var response = await ExchangeAsync(Assertion(_fcm.ServiceAccountJson, Start, change));
        var body = await JsonOf(response);

        Assert.Equal((HttpStatusCode.BadRequest, error), (response.StatusCode, body.GetProperty("error").GetString()));
        Assert.Contains(about, body.GetProperty("error_description").GetString(), StringComparison.Ordinal);
        Assert.Equal(0, _fcm.IssuedTokenCount);
    }

    [Fact]
    public async Task Refuses_a_bad_signature_a_bad_grant_and_a_deleted_account()
    {
        var good = Assertion(_fcm.ServiceAccountJson, Start);
        Assert.Equal("invalid_grant", await Error(Assertion(_fcm.ServiceAccountJson, Start, badSignature: true)));
        Assert.Equal("unsupported_grant_type", await Error(good, "client_credentials"));
        Assert.Equal("invalid_request", await Error(""));
        Assert.Equal("invalid_grant", await Error("a.b"));
        Assert.Equal("invalid_grant", await Error("!.!.!"));
        _fcm.DeleteServiceAccount();
        Assert.Equal("invalid_grant", await Error(good));

        async Task<string?> Error(string assertion, string grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer")
        {
            using var response = await ExchangeAsync(assertion, grantType);
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            return (await JsonOf(response)).GetProperty("error").GetString();
        }
    }

    [Fact]
    public async Task Scripts_the_token_endpoint()
    {
        _fcm.ScriptOAuth(
            new SimulatedVerdict { Status = 503, RetryAfter = "5", Times = 1 },
            new SimulatedVerdict { Status = 401, Reason = "invalid_client", Times = 1 },
            new SimulatedVerdict { Body = """{"access_token":"x","expires_in":1e18}""", Times = 1 });
        var assertion = Assertion(_fcm.ServiceAccountJson, Start);
        using var busy = await ExchangeAsync(assertion);
        using var wrong = await ExchangeAsync(assertion);
        using var odd = await ExchangeAsync(assertion);
        using var good = await ExchangeAsync(assertion);

        Assert.Equal((503, "5"), ((int)busy.StatusCode, busy.Headers.GetValues("retry-after").Single()));
        Assert.Equal("invalid_client", (await JsonOf(wrong)).GetProperty("error").GetString());
        Assert.Contains("1e18", await odd.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal((HttpStatusCode.OK, 1, 4), (good.StatusCode, _fcm.IssuedTokenCount, _fcm.TokenRequestCount));
    }

    [Theory]
    [InlineData(SimulatedFault.DropConnection, 0)]
    [InlineData(SimulatedFault.ResetStream, 0)]
    [InlineData(SimulatedFault.BlackHole, 0)]
    [InlineData(SimulatedFault.LostAnswer, 1)]
    public async Task Fails_one_token_while_others_are_served(SimulatedFault fault, int delivered)
    {
        var token = await AccessTokenAsync();
        _fcm.Script(Device, new SimulatedVerdict { Fault = fault });
        var failing = SendAsync(token);
        await _fcm.WaitForRequestsAsync(1, _deadline.Token);
        if (fault is SimulatedFault.DropConnection or SimulatedFault.ResetStream) await Assert.ThrowsAsync<HttpRequestException>(() => failing);
        using var other = await SendAsync(token, Message("other"));

        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
        Assert.Equal(delivered, _fcm.DeliveriesFor(Device));
        if (!failing.IsCompleted)
        {
            _client.Http.CancelPendingRequests();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => failing);
        }
    }

    [Fact]
    public async Task Refuses_a_stream_which_the_client_sends_again()
    {
        _fcm.Script(Device, new SimulatedVerdict { Fault = SimulatedFault.RefusedStream, Times = 1 });
        using var response = await SendAsync(await AccessTokenAsync());

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal((2, 1), (_fcm.RequestsFor(Device), _fcm.DeliveriesFor(Device)));
    }
}
