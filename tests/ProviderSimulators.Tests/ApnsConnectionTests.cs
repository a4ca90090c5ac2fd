using System.Net;
using Marmot.ProviderSimulators;
using static Marmot.ProviderSimulators.Tests.SimulatorClient;

namespace Marmot.ProviderSimulators.Tests;

/// <summary>What happens to connections and streams, seen by SocketsHttpHandler.</summary>
#pragma warning disable CA1001 // xunit disposes through IAsyncLifetime
public sealed class ApnsConnectionTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));
    private ApnsSimulator _apns = null!;
    private SimulatorClient _client = null!;
    private string _token = "";

    public Task InitializeAsync() => RestartAsync(new ApnsSimulatorOptions());

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _apns.DisposeAsync();
        _deadline.Dispose();
    }

    private async Task RestartAsync(ApnsSimulatorOptions options)
    {
        _client?.Dispose();
        if (_apns is not null) await _apns.DisposeAsync();
        _apns = await ApnsSimulator.StartAsync(options, _deadline.Token);
        _client = new SimulatorClient(_apns.CaCertificate);
        _token = ProviderToken(_apns.PrivateKeyPem!, _apns.KeyId, _apns.TeamId, DateTimeOffset.UtcNow);
    }

    private async Task<HttpStatusCode> SendAsync(string device, CancellationToken cancellationToken = default)
    {
        using var request = Push(_apns.Endpoint, device, _token);
        using var response = await _client.Http.SendAsync(request, cancellationToken == default ? _deadline.Token : cancellationToken);
        return response.StatusCode;
    }

    [Fact]
    public async Task Starts_with_one_stream_and_raises_the_limit_after_the_first_good_token()
    {
        await RestartAsync(new ApnsSimulatorOptions { RaisedMaxStreams = 8, Latency = TimeSpan.FromMilliseconds(20) });
        Assert.Equal(HttpStatusCode.OK, await SendAsync("00"));
        Assert.Equal(1, _apns.MostOpenStreams);
        var answers = await Task.WhenAll(Enumerable.Range(1, 40).Select(device => SendAsync(device.ToString("x4", null))));

        Assert.All(answers, status => Assert.Equal(HttpStatusCode.OK, status));
        Assert.InRange(_apns.MostOpenStreams, 2, 8);
        Assert.Equal(1, _apns.ConnectionCount);
        Assert.All(Enumerable.Range(1, 40), device => Assert.Equal(1, _apns.DeliveriesFor(device.ToString("x4", null))));
    }

    [Fact]
    public async Task Keeps_one_stream_while_no_token_is_good()
    {
        await RestartAsync(new ApnsSimulatorOptions { Latency = TimeSpan.FromMilliseconds(5) });
        _apns.RevokeKey(_apns.KeyId);
        await Task.WhenAll(Enumerable.Range(1, 10).Select(device => SendAsync(device.ToString("x4", null))));

        Assert.Equal(1, _apns.MostOpenStreams);
        Assert.All(_apns.Requests, request => Assert.Equal("InvalidProviderToken", request.Reason));
    }

    [Fact]
    public async Task Lowers_the_limit_after_a_rejection_when_asked_to()
    {
        await RestartAsync(new ApnsSimulatorOptions { LowerStreamsOnRejection = true, RaisedMaxStreams = 4 });
        _apns.Script("bad0", SimulatedVerdict.Of(400, "BadDeviceToken"));
        Assert.Equal(HttpStatusCode.OK, await SendAsync("00"));
        Assert.Equal(HttpStatusCode.BadRequest, await SendAsync("bad0"));
        var answers = await Task.WhenAll(Enumerable.Range(1, 10).Select(device => SendAsync(device.ToString("x4", null))));

        Assert.All(answers, status => Assert.Equal(HttpStatusCode.OK, status));
        Assert.Equal(1, _apns.MostOpenStreams);
    }

    [Fact]
    public async Task Announces_the_end_of_a_connection_and_still_answers_the_request()
    {
        await RestartAsync(new ApnsSimulatorOptions { GoAwayAfterRequests = 3 });
        for (var i = 0; i < 7; i++) Assert.Equal(HttpStatusCode.OK, await SendAsync("aa"));

        Assert.Equal(["1", "1", "1", "2", "2", "2", "3"], _apns.Requests.Select(request => request.ConnectionId));
        Assert.Equal(7, _apns.DeliveriesFor("aa"));
    }

    [Fact]
    public async Task Goes_away_below_a_request_which_the_client_sends_again_elsewhere()
    {
        Assert.Equal(HttpStatusCode.OK, await SendAsync("00"));
        _apns.Script("aa", new SimulatedVerdict { Fault = SimulatedFault.GoAway, Times = 1 });
        Assert.Equal(HttpStatusCode.OK, await SendAsync("aa"));

        Assert.Equal(2, _apns.ConnectionCount);
        Assert.Equal((2, 1), (_apns.RequestsFor("aa"), _apns.DeliveriesFor("aa")));
    }

    [Fact]
    public async Task Goes_away_on_command_and_finishes_what_is_under_way()
    {
        _apns.Script("aa", new SimulatedVerdict { Delay = TimeSpan.FromMilliseconds(200) });
        Assert.Equal(HttpStatusCode.OK, await SendAsync("00"));
        var slow = SendAsync("aa");
        var quick = SendAsync("bb");
        await quick;
        await _apns.GoAwayAsync();

        Assert.Equal(HttpStatusCode.OK, await slow);
        Assert.Equal(HttpStatusCode.OK, await SendAsync("cc"));
        Assert.Equal(2, _apns.ConnectionCount);
    }

    [Fact]
    public async Task Refuses_a_stream_which_the_client_sends_again()
    {
        _apns.Script("aa", new SimulatedVerdict { Fault = SimulatedFault.RefusedStream, Times = 1 });

        Assert.Equal(HttpStatusCode.OK, await SendAsync("aa"));
        Assert.Equal((2, 1), (_apns.RequestsFor("aa"), _apns.DeliveriesFor("aa")));
        Assert.Equal(1, _apns.ConnectionCount);
    }

    [Theory]
    [InlineData(SimulatedFault.ResetStream)]
    [InlineData(SimulatedFault.DropConnection)]
    public async Task Breaks_a_request_for_good(SimulatedFault fault)
    {
        _apns.Script("aa", new SimulatedVerdict { Fault = fault });

        await Assert.ThrowsAsync<HttpRequestException>(() => SendAsync("aa"));
        Assert.Equal(0, _apns.DeliveriesFor("aa"));
        Assert.Equal(HttpStatusCode.OK, await SendAsync("bb"));
        Assert.Equal(fault == SimulatedFault.DropConnection ? 2 : 1, _apns.ConnectionCount);
    }

    [Theory]
    [InlineData(SimulatedFault.BlackHole, 0)]
    [InlineData(SimulatedFault.LostAnswer, 1)]
    public async Task Stays_silent_on_one_token_while_others_are_served(SimulatedFault fault, int delivered)
    {
        Assert.Equal(HttpStatusCode.OK, await SendAsync("00"));
        _apns.Script("aa", new SimulatedVerdict { Fault = fault });
        using var patience = new CancellationTokenSource();
        var silent = SendAsync("aa", patience.Token);
        await _apns.WaitForRequestsAsync(2, _deadline.Token);

        Assert.Equal(HttpStatusCode.OK, await SendAsync("bb"));
        Assert.False(silent.IsCompleted);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => silent);
        Assert.Equal(delivered, _apns.DeliveriesFor("aa"));
        Assert.Equal(HttpStatusCode.OK, await SendAsync("cc"));
        Assert.Equal(1, _apns.ConnectionCount);
    }

    [Fact]
    public async Task Leaves_pings_unanswered_when_told_so()
    {
        _client.Handler.KeepAlivePingDelay = TimeSpan.FromSeconds(1);
        _client.Handler.KeepAlivePingTimeout = TimeSpan.FromSeconds(1);
        _client.Handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests;
        _apns.AnswerPings = false;
        _apns.BlackHole = true;

        await Assert.ThrowsAsync<HttpRequestException>(() => SendAsync("aa"));
        Assert.True(_apns.PingsReceived > 0);
        _apns.AnswerPings = true;
        _apns.BlackHole = false;
        Assert.Equal(HttpStatusCode.OK, await SendAsync("aa"));
    }

    [Fact]
    public async Task Sends_a_body_larger_than_every_flow_control_window()
    {
        var body = new string('x', 10_000_000);
        _apns.Script("aa", new SimulatedVerdict { Status = 500, Body = body });
        using var response = await _client.Http.SendAsync(Push(_apns.Endpoint, "aa", _token), _deadline.Token);

        Assert.Equal(body, await response.Content.ReadAsStringAsync(_deadline.Token));
    }

    [Fact]
    public async Task Speaks_no_HTTP_1()
    {
        using var request = Push(_apns.Endpoint, "aa", _token);
        request.Version = HttpVersion.Version11;
        request.VersionPolicy = HttpVersionPolicy.RequestVersionExact;

        await Assert.ThrowsAsync<HttpRequestException>(() => _client.Http.SendAsync(request, _deadline.Token));
        Assert.Empty(_apns.Requests);
    }

    [Fact]
    public async Task Is_not_trusted_without_its_authority()
    {
        using var stranger = new HttpClient();
        await Assert.ThrowsAsync<HttpRequestException>(() => stranger.SendAsync(Push(_apns.Endpoint, "aa", _token), _deadline.Token));
    }
}
