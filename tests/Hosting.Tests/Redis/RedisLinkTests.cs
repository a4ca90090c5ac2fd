using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.Hosting.Tests.Cluster;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using StackExchange.Redis;

namespace Marmot.Hosting.Tests.Redis;

public sealed class RedisLinkTests
{
    [Fact]
    public async Task Keeps_ten_thousand_commands_of_many_callers_under_way_and_gives_each_its_own_reply()
    {
        await using var server = await RedisServer.StartAsync();
        await using var link = await ConnectAsync(new RedisEndpoint("127.0.0.1", server.Port));
        var replies = await Task.WhenAll(Enumerable.Range(0, 10_000).Select(async i =>
        {
            await Task.Yield();
            return (string?)await ExecuteAsync(link, "ECHO", $"{i}");
        }));
        Assert.Equal(Enumerable.Range(0, 10_000).Select(i => $"{i}"), replies);
        var error = await Assert.ThrowsAsync<IOException>(() => ExecuteAsync(link, "NOSUCHCOMMAND"));
        Assert.Equal("Redis refused: ERR", error.Message);
    }

    [Fact]
    public async Task Gives_the_password_and_stays_out_without_it()
    {
        await using var server = await RedisServer.StartAsync("--requirepass", "open-sesame", "--user", "app", "on", ">secret", "~*", "&*", "+@all");
        var endpoint = new RedisEndpoint("127.0.0.1", server.Port);
        await using var known = await ConnectAsync(endpoint with { Password = "open-sesame" });
        await using var user = await ConnectAsync(endpoint with { User = "app", Password = "secret" });
        Assert.Equal("app", (string?)await ExecuteAsync(user, "ACL", "WHOAMI"));
        await using var wrong = new RedisLink(endpoint with { Password = "wrong" }, NullLogger.Instance);
        await Eventually.TrueAsync(() => wrong.Trouble is "AuthenticationFailure" or "no answer" or "UnableToConnect", "the refusal is noticed");
        Assert.False(wrong.IsConnected);
        Assert.DoesNotContain("sesame", (endpoint with { Password = "open-sesame" }).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Needs_no_more_rights_than_its_commands()
    {
        // docs/operate.md shows this list.
        await using var server = await RedisServer.StartAsync(
            "--user", "marmot", "on", ">secret", "~marmot*", "&marmot*", "-@all", "+@connection", "+ping", "+info", "+publish", "+subscribe", "+unsubscribe",
            "+set", "+setex", "+psetex", "+get", "+unlink", "+watch", "+unwatch", "+multi", "+exec");
        var endpoint = new RedisEndpoint("127.0.0.1", server.Port) { User = "marmot", Password = "secret" };
        await using var ledger = new RedisLedger(endpoint, "marmot", NullLogger.Instance);
        await Eventually.TrueAsync(() => ledger.IsConnected, "connected");
        var (hash, owner) = (ClaimLedgerContract.Any(), ClaimLedgerContract.Any());
        Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(hash, owner, ClaimLedgerContract.Long, CancellationToken.None));
        await ledger.ReleaseAsync(hash, owner, CancellationToken.None);
        await ledger.CompleteAsync(hash, owner, ClaimLedgerContract.Long, CancellationToken.None);
        await using var from = new RedisBus(endpoint, "marmot", NullLogger.Instance);
        await using var to = new RedisBus(endpoint, "marmot", NullLogger.Instance);
        var ear = new ClusterBusContract.Ear();
        to.Subscribe("x", ear);
        await Eventually.TrueAsync(() => from.IsConnected && to.IsConnected && ear.Gaps > 0, "both subscribed");
        from.Publish("x", "hello"u8.ToArray());
        await ear.HearsAsync("hello");
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
            "--tls-cert-file", folder.File("cert.pem"), "--tls-key-file", folder.File("key.pem"), "--tls-ca-cert-file", folder.File("cert.pem"),
            "--tls-auth-clients", "no");

        var options = new ClusterOptions { Redis = server.Endpoint, RedisTls = true, RedisCaFile = folder.File("cert.pem") };
        await using var trusting = await ConnectAsync(options.ToEndpoint());
        Assert.Equal("PONG", (string?)await ExecuteAsync(trusting, "PING"));
        await using var strict = new RedisLink(options.ToEndpoint() with { TrustedRoots = null }, NullLogger.Instance);
        await using var plain = new RedisLink(options.ToEndpoint() with { UseTls = false }, NullLogger.Instance);
        await Eventually.TrueAsync(() => strict.Trouble != "not connected yet" && plain.Trouble != "not connected yet", "both have tried");
        Assert.False(strict.IsConnected);
        await Assert.ThrowsAnyAsync<IOException>(() => ExecuteAsync(plain, "PING"));
    }

    [Fact]
    public async Task Tells_a_lost_reply_from_a_command_that_was_never_sent()
    {
        await using var server = await RedisServer.StartAsync();
        await using var proxy = new CuttingProxy(server.Port);
        await using var link = new RedisLink(new RedisEndpoint("127.0.0.1", proxy.Port), NullLogger.Instance);
        await Assert.ThrowsAsync<RedisUnavailableException>(() => link.IsConnected ? throw new RedisUnavailableException() : ExecuteAsync(link, "PING"));
        proxy.Start();
        await Eventually.TrueAsync(() => link.IsConnected, "connected");

        // The command reaches the server and its reply does not come back.
        proxy.HoldReplies();
        var command = ExecuteAsync(link, "INCR", "t");
        await Eventually.TrueAsync(() => proxy.BytesHeld > 0, "the reply is on its way");
        proxy.Cut();
        await Assert.ThrowsAsync<RedisReplyLostException>(() => command);
        await Assert.ThrowsAsync<RedisUnavailableException>(() => ExecuteAsync(link, "INCR", "t"));

        // It comes back by itself, and the command of which nobody knew had been done, once.
        proxy.Start();
        await Eventually.TrueAsync(() => link.IsConnected, "connected again");
        Assert.Equal("1", (string?)await ExecuteAsync(link, "GET", "t"));
    }

    [Fact]
    public async Task A_server_that_stalls_is_a_lost_reply_and_then_a_lost_connection()
    {
        await using var server = await RedisServer.StartAsync();
        await using var proxy = new CuttingProxy(server.Port);
        proxy.Start();
        await using var link = await ConnectAsync(new RedisEndpoint("127.0.0.1", proxy.Port));
        proxy.HoldReplies();
        await Assert.ThrowsAsync<RedisReplyLostException>(() => ExecuteAsync(link, "PING"));

        // The library waits for several replies that do not come, about 20 seconds; every command fails within its own time until then.
        for (var waited = 0; link.IsConnected && waited < 60; waited++)
        {
            await Task.Delay(1000);
        }

        Assert.False(link.IsConnected);
    }

    [Theory]
    [InlineData("HTTP/1.1 400 Bad Request\r\n\r\n")]
    [InlineData("$99999999999\r\n")]
    [InlineData("*3\r\n*3\r\n*3\r\n")]
    [InlineData("\0\0\0\0")]
    public async Task A_server_that_speaks_something_else_is_away_and_the_reason_is_told(string words)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var stop = new CancellationTokenSource();
        var serving = ServeAsync(listener, System.Text.Encoding.ASCII.GetBytes(words), stop.Token);
        var endpoint = new RedisEndpoint("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        await using (var bus = new RedisBus(endpoint, "t", NullLogger.Instance))
        await using (var ledger = new RedisLedger(endpoint, "t", NullLogger.Instance))
        {
            await Eventually.TrueAsync(() => bus.Trouble is { } trouble && trouble != "not connected yet", "the reason");
            Assert.False(bus.IsConnected);
            var health = new ClusterBusHealth(bus).Check();
            Assert.Contains(bus.Trouble!, health.Detail, StringComparison.Ordinal);
            await Assert.ThrowsAnyAsync<IOException>(async () =>
                await ledger.ClaimAsync(new Bytes32(new byte[32]), new Bytes32(new byte[32]), ClaimLedgerContract.Long, CancellationToken.None));
        }

        await stop.CancelAsync();
        await serving;
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
    [InlineData("xn--ü")]
    [InlineData("a..b")]
    public void Refuses_other_forms_of_address(string text) => Assert.False(RedisEndpoint.TryParse(text, out _));

    private static Task<RedisResult> ExecuteAsync(RedisLink link, string command, params object[] words) =>
        RedisErrors.AskAsync(() => link.Connection.GetDatabase().ExecuteAsync(command, words), CancellationToken.None);

    private static async Task<RedisLink> ConnectAsync(RedisEndpoint endpoint)
    {
        var link = new RedisLink(endpoint, NullLogger.Instance);
        await Eventually.TrueAsync(() => link.IsConnected, "connected");
        return link;
    }

    private static async Task ServeAsync(TcpListener listener, byte[] words, CancellationToken stop)
    {
        var sockets = new List<Socket>();
        try
        {
            while (true)
            {
                var socket = await listener.AcceptSocketAsync(stop);
                sockets.Add(socket);
                await socket.SendAsync(words, stop);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException)
        {
            sockets.ForEach(socket => socket.Dispose());
        }
    }
}
