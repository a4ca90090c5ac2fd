using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.Hosting.Tests.Cluster;
using Marmot.TestKit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Redis;

public sealed class RedisClientTests
{
    [Fact]
    public async Task Keeps_ten_thousand_commands_of_many_callers_under_way_and_gives_each_its_own_reply()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = await ConnectAsync(new RedisEndpoint("127.0.0.1", server.Port));
        var replies = await Task.WhenAll(Enumerable.Range(0, 10_000).Select(async i =>
        {
            await Task.Yield();
            return (await client.SendAsync(Word("ECHO"), Word($"{i}"))).Text;
        }));
        Assert.Equal(Enumerable.Range(0, 10_000).Select(i => $"{i}"), replies);
        var error = await client.SendAsync(Word("NOSUCHCOMMAND"));
        Assert.Equal("ERR", error.ErrorCode);
    }

    [Fact]
    public async Task Gives_the_password_and_stays_out_without_it()
    {
        await using var server = await RedisServer.StartAsync("--requirepass", "open-sesame", "--user", "app", "on", ">secret", "~*", "&*", "+@all");
        var endpoint = new RedisEndpoint("127.0.0.1", server.Port);
        await using var known = await ConnectAsync(endpoint with { Password = "open-sesame" });
        Assert.Equal("PONG", (await known.SendAsync(Word("PING"))).Text);
        await using var user = await ConnectAsync(endpoint with { User = "app", Password = "secret" });
        Assert.Equal("app", (await user.SendAsync(Word("ACL"), Word("WHOAMI"))).Text);
        await using var wrong = new RedisClient(endpoint with { Password = "wrong" }, NullLogger.Instance);
        await using var right = await ConnectAsync(endpoint with { Password = "open-sesame" });
        Assert.False(wrong.IsConnected);
        Assert.DoesNotContain("sesame", (endpoint with { Password = "open-sesame" }).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Speaks_tls_with_a_private_authority_and_with_nobody_else()
    {
        using var folder = new TemporaryFolder();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1));
        folder.WriteSecret("cert.pem", certificate.ExportCertificatePem());
        folder.WriteSecret("key.pem", key.ExportPkcs8PrivateKeyPem());
        await using var server = await RedisServer.StartAsync(
            "--tls-cert-file", folder.File("cert.pem"), "--tls-key-file", folder.File("key.pem"), "--tls-ca-cert-file", folder.File("cert.pem"), "--tls-auth-clients", "no");

        var options = new ClusterOptions { Redis = server.Endpoint, RedisTls = true, RedisCaFile = folder.File("cert.pem") };
        await using var trusting = await ConnectAsync(options.ToEndpoint());
        Assert.Equal("PONG", (await trusting.SendAsync(Word("PING"))).Text);
        await using var strict = new RedisClient(options.ToEndpoint() with { TrustedRoots = null }, NullLogger.Instance);
        await using var plain = new RedisClient(options.ToEndpoint() with { UseTls = false }, NullLogger.Instance);
        await using var later = await ConnectAsync(options.ToEndpoint());
        Assert.False(strict.IsConnected);
        await Assert.ThrowsAnyAsync<IOException>(() => plain.SendAsync(Word("PING")));
    }

    [Fact]
    public async Task Tells_a_lost_reply_from_a_command_that_was_never_sent()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await using var client = new RedisClient(new RedisEndpoint("127.0.0.1", port), NullLogger.Instance);
        await Assert.ThrowsAsync<RedisUnavailableException>(() => SendBeforeConnectedAsync(client));

        using (var socket = await listener.AcceptTcpClientAsync())
        {
            await Eventually.TrueAsync(() => client.IsConnected, "connected");
            var command = client.SendAsync(Word("SET"), Word("k"), Word("v"));
            Assert.True(await socket.GetStream().ReadAsync(new byte[100]) > 0);
            socket.Close(); // it has the command; whether it did it nobody knows
            await Assert.ThrowsAsync<RedisReplyLostException>(() => command);
        }

        // It comes back by itself, and replies find their commands again.
        using var second = await listener.AcceptTcpClientAsync();
        await Eventually.TrueAsync(() => client.IsConnected, "connected again");
        var ping = client.SendAsync(Word("PING"));
        await second.GetStream().WriteAsync("+PO"u8.ToArray());
        await second.GetStream().WriteAsync("NG\r\n"u8.ToArray());
        Assert.Equal("PONG", (await ping).Text);
    }

    [Fact]
    public async Task Hangs_up_on_a_server_that_speaks_something_else()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using var client = new RedisClient(new RedisEndpoint("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port), NullLogger.Instance);
        using var socket = await listener.AcceptTcpClientAsync();
        await Eventually.TrueAsync(() => client.IsConnected, "connected");
        var command = client.SendAsync(Word("PING"));
        await socket.GetStream().WriteAsync("HTTP/1.1 400 Bad Request\r\n\r\n"u8.ToArray());
        await Assert.ThrowsAsync<RedisReplyLostException>(() => command);
        using var again = await listener.AcceptTcpClientAsync();
        Assert.NotNull(again);
    }

    [Theory]
    [InlineData("redis", "redis", 6379)]
    [InlineData("redis:7000", "redis", 7000)]
    [InlineData("[::1]:7000", "::1", 7000)]
    [InlineData("10.0.0.1:1", "10.0.0.1", 1)]
    public void Reads_host_and_port(string text, string host, int port)
    {
        Assert.True(RedisEndpoint.TryParse(text, out var endpoint));
        Assert.Equal((host, port), (endpoint.Host.Trim('[', ']'), endpoint.Port));
    }

    [Theory]
    [InlineData("")]
    [InlineData("redis:x")]
    [InlineData("redis:99999")]
    [InlineData("user:pass@redis:1")]
    [InlineData("redis/0")]
    public void Refuses_other_forms_of_address(string text) => Assert.False(RedisEndpoint.TryParse(text, out _));

    private static ReadOnlyMemory<byte> Word(string text) => Encoding.UTF8.GetBytes(text);

    // The listener does not accept yet, so the very first call comes before any connection.
    private static Task<RespValue> SendBeforeConnectedAsync(RedisClient client) =>
        client.IsConnected ? throw new RedisUnavailableException() : client.SendAsync(Word("PING"));

    private static async Task<RedisClient> ConnectAsync(RedisEndpoint endpoint)
    {
        var client = new RedisClient(endpoint, NullLogger.Instance);
        await Eventually.TrueAsync(() => client.IsConnected, "connected");
        return client;
    }
}
