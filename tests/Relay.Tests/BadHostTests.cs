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

        await client.SendAsync($"[\"AUTH\",{Json(RelayAuth.Create(key, $"wss://{host}/", client.Challenge, relay.Clock.GetUtcNow()))}]");
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
            $"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/nostr+json+rpc\r\nAuthorization: {header}\r\nConnection: close\r\nContent-Length: {Body.Length}\r\n\r\n{Body}"));
        using var reader = new StreamReader(socket.GetStream());
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var status = (await reader.ReadLineAsync(patience.Token))!.Split(' ')[1];
        Assert.True(status is "400" or "401", status);
    }

    private static string Json(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);
}
