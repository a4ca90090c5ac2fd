using System.Net;
using System.Text;
using Marmot.ProviderSimulators;
using static Marmot.ProviderSimulators.Tests.SimulatorClient;

namespace Marmot.ProviderSimulators.Tests;

#pragma warning disable CA1001 // xunit disposes through IAsyncLifetime
public sealed class ApnsSimulatorTests : IAsyncLifetime
{
    private const string Device = "00aa11bb22cc33dd";
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private readonly FakeTimeProvider _clock = new(Start);
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));
    private ApnsSimulator _apns = null!;
    private SimulatorClient _client = null!;

    public Task InitializeAsync() => RestartAsync(new ApnsSimulatorOptions());

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _apns.DisposeAsync();
        _deadline.Dispose();
    }

    private async Task RestartAsync(ApnsSimulatorOptions options)
    {
        if (_apns is not null) await _apns.DisposeAsync();
        _client?.Dispose();
        options.Clock = _clock;
        _apns = await ApnsSimulator.StartAsync(options, _deadline.Token);
        _client = new SimulatorClient(_apns.CaCertificate);
    }

    private string Token(DateTimeOffset? issuedAt = null) => ProviderToken(_apns.PrivateKeyPem!, _apns.KeyId, _apns.TeamId, issuedAt ?? _clock.GetUtcNow());

    private Task<HttpResponseMessage> SendAsync(HttpRequestMessage request) => _client.Http.SendAsync(request, _deadline.Token);

    [Fact]
    public async Task Accepts_a_background_push_and_keeps_it_on_record()
    {
        var id = Guid.NewGuid().ToString();
        using var request = Push(_apns.Endpoint, Device, Token());
        request.Headers.Add("apns-id", id);
        using var response = await SendAsync(request);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(HttpVersion.Version20, response.Version);
        Assert.Equal(id, response.Headers.GetValues("apns-id").Single());
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
        var seen = Assert.Single(_apns.Requests);
        Assert.Equal((1, Device, "app.marmot", "1", 1, 200, true),
            (seen.Number, seen.Token, seen.Topic, seen.ConnectionId, seen.StreamId, seen.Status, seen.Accepted));
        Assert.Equal("5", seen.Header("apns-priority"));
        Assert.Equal("""{"aps":{"content-available":1}}""", Encoding.UTF8.GetString(seen.Body.Span));
        Assert.Equal(Start, seen.Time);
        Assert.Empty(seen.Warnings);
        Assert.Equal(1, _apns.DeliveriesFor(Device.ToUpperInvariant()));
    }

    [Theory]
    [InlineData(400, "BadCollapseId")]
    [InlineData(400, "BadDeviceToken")]
    [InlineData(400, "BadExpirationDate")]
    [InlineData(400, "BadMessageId")]
    [InlineData(400, "BadPriority")]
    [InlineData(400, "BadTopic")]
    [InlineData(400, "DeviceTokenNotForTopic")]
    [InlineData(400, "DuplicateHeaders")]
    [InlineData(400, "IdleTimeout")]
    [InlineData(400, "InvalidPushType")]
    [InlineData(400, "MissingDeviceToken")]
    [InlineData(400, "MissingTopic")]
    [InlineData(400, "PayloadEmpty")]
    [InlineData(400, "TopicDisallowed")]
    [InlineData(403, "BadCertificate")]
    [InlineData(403, "BadCertificateEnvironment")]
    [InlineData(403, "BadEnvironmentKeyIdInToken")]
    [InlineData(403, "ExpiredProviderToken")]
    [InlineData(403, "Forbidden")]
    [InlineData(403, "InvalidProviderToken")]
    [InlineData(403, "MissingProviderToken")]
    [InlineData(403, "UnrelatedKeyIdInToken")]
    [InlineData(404, "BadPath")]
    [InlineData(405, "MethodNotAllowed")]
    [InlineData(410, "ExpiredToken")]
    [InlineData(410, "Unregistered")]
    [InlineData(413, "PayloadTooLarge")]
    [InlineData(429, "TooManyProviderTokenUpdates")]
    [InlineData(429, "TooManyRequests")]
    [InlineData(500, "InternalServerError")]
    [InlineData(503, "ServiceUnavailable")]
    [InlineData(503, "Shutdown")]
    public async Task Answers_a_scripted_row_of_the_status_table(int status, string reason)
    {
        _apns.Script(Device, new SimulatedVerdict { Status = status, Reason = reason, RetryAfter = "17", Times = 1 });
        using var request = Push(_apns.Endpoint, Device, Token());
        using var response = await SendAsync(request);
        var body = await JsonOf(response);

        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(reason, body.GetProperty("reason").GetString());
        Assert.Equal("17", response.Headers.GetValues("retry-after").Single());
        Assert.True(Guid.TryParse(response.Headers.GetValues("apns-id").Single(), out _));
        Assert.Equal(status == 410, body.TryGetProperty("timestamp", out var timestamp));
        if (status == 410) Assert.Equal(Start.ToUnixTimeMilliseconds(), timestamp.GetInt64());
        using var again = Push(_apns.Endpoint, Device, request.Headers.GetValues("authorization").Single()["bearer ".Length..]);
        using var second = await SendAsync(again);
        Assert.Equal(HttpStatusCode.OK, second.StatusCode);
        Assert.Equal((2, 1), (_apns.RequestsFor(Device), _apns.DeliveriesFor(Device)));
    }

    public static TheoryData<int, string, Action<HttpRequestMessage>> Faults => new()
    {
        { 405, "MethodNotAllowed", request => request.Method = HttpMethod.Put },
        { 404, "BadPath", request => request.RequestUri = new Uri(request.RequestUri!, "/4/device/" + Device) },
        { 404, "BadPath", request => request.RequestUri = new Uri(request.RequestUri!, "/3/device/aa/bb") },
        { 400, "MissingDeviceToken", request => request.RequestUri = new Uri(request.RequestUri!, "/3/device/") },
        { 400, "BadDeviceToken", request => request.RequestUri = new Uri(request.RequestUri!, "/3/device/abc") },
        { 400, "BadDeviceToken", request => request.RequestUri = new Uri(request.RequestUri!, "/3/device/zz") },
        { 400, "BadMessageId", request => request.Headers.Add("apns-id", "1") },
        { 400, "BadMessageId", request => request.Headers.Add("apns-id", new string('0', 32)) },
        { 400, "BadExpirationDate", request => Replace(request, "apns-expiration", "soon") },
        { 400, "BadExpirationDate", request => Replace(request, "apns-expiration", "-1") },
        { 400, "BadPriority", request => Replace(request, "apns-priority", "7") },
        { 400, "BadPriority", request => Replace(request, "apns-priority", "10") },
        { 400, "BadPriority", request => request.Headers.Remove("apns-priority") },
        { 400, "InvalidPushType", request => Replace(request, "apns-push-type", "silent") },
        { 400, "BadCollapseId", request => request.Headers.Add("apns-collapse-id", new string('c', 65)) },
        { 400, "MissingTopic", request => request.Headers.Remove("apns-topic") },
        { 400, "BadTopic", request => Replace(request, "apns-topic", "app marmot") },
        { 400, "PayloadEmpty", request => request.Content = null },
        { 400, "PayloadEmpty", request => request.Content = new StringContent("not json") },
        { 400, "PayloadEmpty", request => request.Content = new StringContent("[]") },
        { 413, "PayloadTooLarge",
            request => request.Content = new StringContent("""{"aps":{"content-available":1},"x":""" + "\"" + new string('x', 4096) + "\"}") },
        { 403, "MissingProviderToken", request => request.Headers.Remove("authorization") },
        { 403, "MissingProviderToken", request => Replace(request, "authorization", "bearer ") },
        { 403, "InvalidProviderToken", request => Replace(request, "authorization", "basic abc") },
        { 403, "InvalidProviderToken", request => Replace(request, "authorization", "bearer abc") },
        { 403, "InvalidProviderToken", request => Replace(request, "authorization", "bearer e30.e30.AAAA") },
    };

    private static void Replace(HttpRequestMessage request, string name, string value)
    {
        request.Headers.Remove(name);
        request.Headers.TryAddWithoutValidation(name, value);
    }

    [Theory]
    [MemberData(nameof(Faults), DisableDiscoveryEnumeration = true)]
    public async Task Refuses_a_faulty_request_as_Apple_would(int status, string reason, Action<HttpRequestMessage> spoil)
    {
        using var request = Push(_apns.Endpoint, Device, Token());
        spoil(request);
        using var response = await SendAsync(request);

        Assert.Equal((status, reason), ((int)response.StatusCode, await ReasonOf(response)));
        Assert.Equal(0, _apns.DeliveriesFor(Device));
        Assert.Equal((status, reason), (_apns.Requests.Single().Status, _apns.Requests.Single().Reason));
    }

    [Fact]
    public async Task Accepts_what_is_just_inside_the_limits()
    {
        using var request = Push(_apns.Endpoint, Device, Token(), body: Padded(4096));
        request.Headers.Add("apns-collapse-id", new string('c', 64));
        using var response = await SendAsync(request);
        using var larger = Push(_apns.Endpoint, Device, request.Headers.GetValues("authorization").Single()["bearer ".Length..], body: Padded(4097));
        using var refused = await SendAsync(larger);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.RequestEntityTooLarge), (response.StatusCode, refused.StatusCode));

        static string Padded(int size)
        {
            const string Frame = """{"aps":{"content-available":1},"x":""}""";
            return Frame.Replace("\"\"", "\"" + new string('x', size - Frame.Length) + "\"", StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("""{"aps":{"content-available":1,"badge":1}}""", "badge")]
    [InlineData("""{"aps":{}}""", "content-available")]
    [InlineData("""{"x":1}""", "aps")]
    public async Task Warns_about_what_Apple_tolerates(string body, string about)
    {
        using var response = await SendAsync(Push(_apns.Endpoint, Device, Token(), body: body));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Contains(_apns.Requests.Single().Warnings, warning => warning.Contains(about, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Knows_its_topics_and_devices()
    {
        await RestartAsync(new ApnsSimulatorOptions
        {
            Topics = new HashSet<string> { "app.marmot", "app.other" },
            KnownDevicesOnly = true,
            Devices =
            [
                new() { Token = "aa", Topic = "app.marmot" },
                new() { Token = "bb", Topic = "app.marmot", Environment = ApnsEnvironment.Sandbox },
                new() { Token = "cc", Topic = "app.marmot", UnregisteredAt = Start.AddDays(-1) },
            ],
        });
        var token = Token();

        Assert.Equal("", await Answer("aa", "app.marmot"));
        Assert.Equal("BadDeviceToken", await Answer("bb", "app.marmot"));
        Assert.Equal("Unregistered", await Answer("cc", "app.marmot"));
        Assert.Equal("BadDeviceToken", await Answer("dd", "app.marmot"));
        Assert.Equal("DeviceTokenNotForTopic", await Answer("aa", "app.other"));
        Assert.Equal("TopicDisallowed", await Answer("aa", "app.foreign"));

        async Task<string> Answer(string device, string topic)
        {
            using var response = await SendAsync(Push(_apns.Endpoint, device, token, topic));
            return response.IsSuccessStatusCode ? "" : (await ReasonOf(response))!;
        }
    }
}
