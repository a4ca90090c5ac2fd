using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Servers;

namespace Marmot.Scenarios;

/// <summary>The program behind the documented nginx and Caddy, run as they stand: whoever calls is limited and blocked by his own address, and not by
/// what he says it is.</summary>
/// <remarks>
/// Callers on 127.0.0.x are told apart like those on other machines, since the servers count loopback here. A caller that lies comes from an address that is
/// not loopback: what a caller on the server's own machine says of others is believed, as that of a proxy.
/// </remarks>
public sealed class BehindProxyTests : IDisposable
{
    private const string Handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    private static readonly IPAddress Greedy = IPAddress.Parse("127.0.0.21");
    private static readonly IPAddress Other = IPAddress.Parse("127.0.0.22");
    private static readonly IPAddress Blocked = IPAddress.Parse("127.0.0.23");
    private readonly TemporaryFolder _data = new();
    private readonly SecretKey _key = SecretKey.Generate();

    public static TheoryData<string> Proxies => ["nginx", "caddy"];

    /// <summary>What a caller may say about where it comes from, in each header and spelling.</summary>
    private static string Lie(int i) =>
        $"X-Forwarded-For: 198.51.100.{i}\r\nX-Forwarded-For: 127.0.0.1, 203.0.113.{i}\r\nX-Real-IP: 203.0.113.{i}\r\nForwarded: for=203.0.113.{i}\r\n";

    public void Dispose()
    {
        _key.Dispose();
        _data.Dispose();
    }

    [Theory]
    [MemberData(nameof(Proxies))]
    public async Task The_relay_limits_and_blocks_each_client_behind_a_proxy_by_its_own_address(string name)
    {
        await using var server = await MarmotServerProcess.StartAsync(
            "all", _data.Path, "--Relay:LimitLoopback=true", "--Relay:WorkPerAddress=100", $"--Relay:Admins:0={_key.PublicKey}");
        await using var proxy = await ReverseProxy.StartAsync(name, server.HttpUrl);

        // 1. Each has a budget of its own.
        Assert.Equal(429, await UpgradeUntilRefusedAsync(proxy, Greedy, _ => ""));
        Assert.Equal(101, await UpgradeAsync(proxy, Other));

        // 2. Whatever a caller says of itself.
        Assert.Equal(429, await UpgradeUntilRefusedAsync(proxy, ReverseProxy.OuterAddress, Lie));
        Assert.Equal(101, await UpgradeAsync(proxy, Other));

        // 3. A block ends what is open and refuses what comes, and only of the one who is blocked.
        using var open = await OpenAsync(proxy, Blocked);
        Assert.Equal(101, await StatusOfAsync(open, proxy, "GET", "/", Handshake));
        await BlockAsync(server, Blocked);
        await BlockAsync(server, ReverseProxy.OuterAddress);
        Assert.True(await IsEndedAsync(open));
        Assert.Equal(403, await UpgradeAsync(proxy, Blocked));
        Assert.Equal(403, await UpgradeAsync(proxy, ReverseProxy.OuterAddress, Lie(77)));
        Assert.Equal(101, await UpgradeAsync(proxy, Other));
    }

    [Theory]
    [MemberData(nameof(Proxies))]
    public async Task Blossom_limits_each_client_behind_a_proxy_by_its_own_address(string name)
    {
        await using var server = await MarmotServerProcess.StartAsync(
            "all", _data.Path, "--Blossom:LimitLoopback=true", "--Blossom:UploadBurst=3", "--Blossom:UploadsPerMinute=1", "--Blossom:MissesPerMinute=4",
            $"--Relay:Admins:0={_key.PublicKey}");
        await using var proxy = await ReverseProxy.StartAsync(name, server.HttpUrl);

        // 1. Uploads.
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(201, await UploadAsync(proxy, Greedy));
            Assert.Equal(201, await UploadAsync(proxy, ReverseProxy.OuterAddress, Lie(i)));
        }

        Assert.Equal(429, await UploadAsync(proxy, Greedy));
        Assert.Equal(429, await UploadAsync(proxy, ReverseProxy.OuterAddress, Lie(77)));
        Assert.Equal(201, await UploadAsync(proxy, Other));

        // 2. Questions for what is not there.
        var missing = $"/{new string('0', 64)}";
        for (var i = 0; i < 4; i++)
        {
            Assert.Equal(404, await GetAsync(proxy, Greedy, missing));
            Assert.Equal(404, await GetAsync(proxy, ReverseProxy.OuterAddress, missing, Lie(i)));
        }

        Assert.Equal(429, await GetAsync(proxy, Greedy, missing));
        Assert.Equal(429, await GetAsync(proxy, ReverseProxy.OuterAddress, missing, Lie(77)));
        Assert.Equal(404, await GetAsync(proxy, Other, missing));

        // 3. Blobs that are there, for a client who is blocked.
        var blob = RandomNumberGenerator.GetBytes(100);
        var path = $"/{Convert.ToHexStringLower(SHA256.HashData(blob))}";
        Assert.Equal(201, await UploadAsync(proxy, Other, blob: blob));
        using var open = await OpenAsync(proxy, Blocked);
        Assert.Equal(200, await StatusOfAsync(open, proxy, "GET", path, ""));
        await BlockAsync(server, Blocked);
        await BlockAsync(server, ReverseProxy.OuterAddress);
        Assert.Equal(403, await StatusOfAsync(open, proxy, "GET", path, ""));
        Assert.Equal(403, await GetAsync(proxy, Blocked, path));
        Assert.Equal(403, await GetAsync(proxy, ReverseProxy.OuterAddress, path, Lie(77)));
        Assert.Equal(403, await UploadAsync(proxy, Blocked));
        Assert.Equal(200, await GetAsync(proxy, Other, path));
    }

    private static async Task<int> UpgradeUntilRefusedAsync(ReverseProxy proxy, IPAddress from, Func<int, string> headers)
    {
        var status = 101;
        for (var i = 1; i < 20 && status == 101; i++)
        {
            status = await UpgradeAsync(proxy, from, headers(i));
        }

        return status;
    }

    private static async Task<int> UpgradeAsync(ReverseProxy proxy, IPAddress from, string headers = "")
    {
        using var client = await OpenAsync(proxy, from);
        return await StatusOfAsync(client, proxy, "GET", "/", Handshake + headers);
    }

    private static async Task<int> GetAsync(ReverseProxy proxy, IPAddress from, string path, string headers = "")
    {
        using var client = await OpenAsync(proxy, from);
        return await StatusOfAsync(client, proxy, "GET", path, headers);
    }

    private async Task<int> UploadAsync(ReverseProxy proxy, IPAddress from, string headers = "", byte[]? blob = null)
    {
        blob ??= RandomNumberGenerator.GetBytes(100);
        var hash = new Bytes32(SHA256.HashData(blob));
        var token = BlossomAuth.CreateHeader(_key, BlossomVerb.Upload, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5));
        using var client = await OpenAsync(proxy, from);
        return await StatusOfAsync(client, proxy, "PUT", "/upload", $"Authorization: {token}\r\nContent-Length: {blob.Length}\r\n{headers}", blob);
    }

    private static async Task<TcpClient> OpenAsync(ReverseProxy proxy, IPAddress from)
    {
        var client = new TcpClient(new IPEndPoint(from, 0));
        await client.ConnectAsync(IPAddress.Loopback, proxy.Address.Port);
        return client;
    }

    private static async Task<int> StatusOfAsync(TcpClient client, ReverseProxy proxy, string method, string path, string headers, byte[]? body = null)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"{method} {path} HTTP/1.1\r\nHost: {proxy.Address.Authority}\r\n{headers}\r\n"), patience.Token);
        await stream.WriteAsync(body ?? [], patience.Token);

        // The head, then as much of a body as it says.
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await stream.ReadExactlyAsync(one, patience.Token);
            head.Append((char)one[0]);
        }

        var lines = head.ToString().Split("\r\n");
        var length = lines.FirstOrDefault(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))?.Split(':')[1];
        await stream.ReadExactlyAsync(new byte[int.Parse(length ?? "0", CultureInfo.InvariantCulture)], patience.Token);
        Assert.StartsWith("HTTP/1.1 ", lines[0], StringComparison.Ordinal);
        return int.Parse(lines[0].AsSpan(9, 3), CultureInfo.InvariantCulture);
    }

    private static async Task<bool> IsEndedAsync(TcpClient client)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var buffer = new byte[4096];
        try
        {
            while (await client.GetStream().ReadAsync(buffer, patience.Token) > 0)
            {
            }

            return true;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private async Task BlockAsync(MarmotServerProcess server, IPAddress address)
    {
        var body = JsonSerializer.Serialize(new { method = "blockip", @params = new[] { address.ToString() } });
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, server.HttpUrl) { Content = new StringContent(body, Encoding.UTF8) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/nostr+json+rpc");
        request.Headers.TryAddWithoutValidation(
            "Authorization", HttpAuth.CreateHeader(_key, "POST", server.HttpUrl, Encoding.UTF8.GetBytes(body), DateTimeOffset.UtcNow));
        using var response = await http.SendAsync(request);
        Assert.Equal("{\"result\":true}", await response.Content.ReadAsStringAsync());
    }
}
