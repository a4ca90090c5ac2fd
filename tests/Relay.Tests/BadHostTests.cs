using System.Net.Sockets;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests;

/// <summary>Host names that no parser takes, at each place of the relay that reads one: an answer, never the end of the connection.</summary>
public sealed class BadHostTests
{
    private const long Now = 1_700_000_500;

    public static TheoryData<string> Hosts => new("xn--ü", "a..b", "foo:99999", "xn--99999999", "[::1", "-a.b", "");

    [Theory]
    [MemberData(nameof(Hosts))]
    [Trait("Spec", "NIP-42")]
    [Trait("Spec", "NIP-62")]
    public async Task A_bad_host_in_AUTH_or_in_a_vanish_request_is_refused_and_the_connection_goes_on(string host)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();

        using var held = relay.HoldDate();
        await client.SendAsync($"[\"AUTH\",{Json(RelayAuth.Create(key, $"wss://{host}/", await client.ProvokeChallengeAsync(), relay.Clock.GetUtcNow()))}]");
        var (accepted, reason) = await client.ReceiveOkAsync();
        Assert.False(accepted);
        Assert.Equal("invalid: the relay tag names another relay", reason);

        (accepted, reason) = await client.PublishAsync(NostrEvent.Create(key, 62, [["relay", $"wss://{host}/"]], "", Now));
        Assert.False(accepted);
        Assert.Equal("invalid: the relay tag names another relay", reason);

        Assert.Empty(await client.QueryAsync("""{"kinds":[1]}"""));
    }

    [Theory]
    [InlineData("a..b")]
    [InlineData("foo:99999")]
    [InlineData("xn--99999999")]
    [InlineData("-a.b")]
    [Trait("Spec", "NIP-86")]
    public async Task A_management_call_with_a_bad_Host_header_is_refused(string host)
    {
        using var folder = new TemporaryFolder();
        using var admin = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(Now, folder.Path, "--Public:Origin=", "--Relay:Admins:0=" + admin.PublicKey);
        const string Body = """{"method":"supportedmethods","params":[]}""";
        var header = HttpAuth.CreateHeader(admin, "POST", new Uri("http://a.example/"), Encoding.UTF8.GetBytes(Body), relay.Clock.GetUtcNow());

        using var socket = new TcpClient();
        await socket.ConnectAsync(relay.Http.Host, relay.Http.Port);
        await socket.GetStream().WriteAsync(Encoding.UTF8.GetBytes(
            $"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/nostr+json+rpc\r\nAuthorization: {header}\r\nConnection: "
                + $"close\r\nContent-Length: {Body.Length}\r\n\r\n{Body}"));
        using var reader = new StreamReader(socket.GetStream());
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var status = (await reader.ReadLineAsync(patience.Token))!.Split(' ')[1];
        Assert.True(status is "400" or "401", status);
    }

    [Theory]
    [InlineData("relay.example.com", false)]
    [InlineData("192.168.1.5:8080", false)]
    [InlineData("localhost:7777", true)]
    [InlineData("127.0.0.1", true)]
    [InlineData("[::1]:7777", true)]
    [Trait("Spec", "NIP-42")]
    public async Task Without_an_origin_what_is_signed_for_the_relay_is_taken_for_loopback_names_only(string host, bool taken)
    {
        using var admin = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Public:Origin=", "--Relay:Admins:0=" + admin.PublicKey);
        var name = $"//{host}/";

        // NIP-42
        using var socket = new System.Net.WebSockets.ClientWebSocket();
        socket.Options.SetRequestHeader("Host", host);
        await using var client = new TestClient(socket: socket);
        await client.ConnectAsync(relay.WebSocket);
        using var held = relay.HoldDate();
        await client.SendAsync($"[\"AUTH\",{Json(RelayAuth.Create(admin, "ws:" + name, await client.ProvokeChallengeAsync(), relay.Clock.GetUtcNow()))}]");
        var (accepted, text) = await client.ReceiveOkAsync();
        Assert.Equal(taken, accepted);
        Assert.Equal(taken, !text.Contains("Public:Origin", StringComparison.Ordinal));

        // NIP-62
        (accepted, text) = await client.PublishAsync(NostrEvent.Create(admin, 62, [["relay", "wss:" + name]], "", Now));
        Assert.Equal(taken, accepted);
        Assert.Equal(taken, !text.Contains("Public:Origin", StringComparison.Ordinal));

        // NIP-98
        const string Body = """{"method":"supportedmethods","params":[]}""";
        using var http = new HttpClient();
        using var call = new HttpRequestMessage(HttpMethod.Post, relay.Http) { Content = new StringContent(Body) };
        call.Headers.Host = host;
        call.Content.Headers.ContentType = new("application/nostr+json+rpc");
        call.Headers.TryAddWithoutValidation("Authorization",
            HttpAuth.CreateHeader(admin, "POST", new Uri("http:" + name), Encoding.UTF8.GetBytes(Body), relay.Clock.GetUtcNow()));
        using var answer = await http.SendAsync(call);
        Assert.Equal(taken ? 200 : 401, (int)answer.StatusCode);
        Assert.Equal(taken, !(await answer.Content.ReadAsStringAsync()).Contains("Public:Origin", StringComparison.Ordinal));
    }

    private static string Json(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);
}
