using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Servers;

namespace Marmot.Blossom.Tests.Endpoints;

/// <summary>Refusals that come while a large body is still on its way must reach whoever sends it: 30,000,000 bytes is where the HTTP server's own limit
/// lies.</summary>
public sealed class EarlyRefusalTests : IAsyncLifetime
{
    private readonly SecretKey _key = SecretKey.Generate();
    private BlossomServer _server = null!;

    /// <summary>Way, and size in bytes.</summary>
    public static TheoryData<string, long> Ways
    {
        get
        {
            var data = new TheoryData<string, long>();
            foreach (var way in (string[])["socket", "curl", "nginx", "caddy"])
            {
                foreach (var megabytes in (long[])[28, 31, 120, 600])
                {
                    data.Add(way, megabytes * 1_000_000);
                }
            }

            return data;
        }
    }

    public async Task InitializeAsync() => _server = await BlossomServer.StartAsync("--Blossom:MaxUploadBytes=1000");

    public async Task DisposeAsync()
    {
        _key.Dispose();
        await _server.DisposeAsync();
    }

    [Theory]
    [MemberData(nameof(Ways))]
    [Trait("Spec", "BUD-01")]
    public async Task A_refusal_before_a_large_body_has_come_is_read_by_its_sender(string way, long size)
    {
        await using var proxy = way is "nginx" or "caddy" ? await ReverseProxy.StartAsync(way, _server.Address) : null;
        var address = proxy?.Address ?? _server.Address;
        var token = _server.Token(_key, BlossomVerb.Upload, BlossomServer.HashOf([1]));
        foreach (var (status, path, authorization) in ((int, string, string?)[])[
            (401, "/upload", null), (404, "/nowhere", null), (405, "/list/x", null), (413, "/upload", token)
        ])
        {
            foreach (var answer in await AskAsync(way, address, new Early(status, path, authorization is null ? [] : [("Authorization", authorization)]), size))
            {
                Assert.StartsWith($"HTTP/1.1 {status} ", answer, StringComparison.Ordinal);
                Assert.Contains("X-Reason: ", answer, StringComparison.OrdinalIgnoreCase);
                Assert.Contains("Access-Control-Allow-Origin: *", answer, StringComparison.OrdinalIgnoreCase);
            }
        }
    }

    [Theory]
    [InlineData("socket")]
    [InlineData("curl")]
    [InlineData("nginx")]
    [InlineData("caddy")]
    public async Task A_key_that_may_not_upload_reads_403_though_the_body_is_large(string way)
    {
        using var other = SecretKey.Generate();
        await using var server = await BlossomServer.StartAsync($"--Blossom:AllowedKeys:0={other.PublicKey}", "--Blossom:MaxUploadBytes=1000000000");
        await using var proxy = way is "nginx" or "caddy" ? await ReverseProxy.StartAsync(way, server.Address) : null;
        var token = server.Token(_key, BlossomVerb.Upload, BlossomServer.HashOf([1]));
        foreach (var size in (long[])[28_000_000, 31_000_000, 120_000_000, 600_000_000])
        {
            foreach (var answer in await AskAsync(way, proxy?.Address ?? server.Address, new Early(403, "/upload", [("Authorization", token)]), size))
            {
                Assert.StartsWith("HTTP/1.1 403 ", answer, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData("socket", 31_000_000)]
    [InlineData("nginx", 31_000_000)]
    [InlineData("caddy", 31_000_000)]
    [InlineData("socket", 600_000_000)]
    [InlineData("curl", 600_000_000)]
    public async Task So_is_every_other_refusal_that_does_not_need_the_body(string way, long size)
    {
        await using var server = await BlossomServer.StartAsync(
            "--Blossom:Profile=General", "--Blossom:AllowedTypes:0=image/png", "--Blossom:MaxUploadBytes=1000000000", "--Blossom:MaxTotalBytes=1000000");
        await using var proxy = way is "nginx" or "caddy" ? await ReverseProxy.StartAsync(way, server.Address) : null;
        var upload = server.Token(_key, BlossomVerb.Upload, BlossomServer.HashOf([1]));
        foreach (var early in (Early[])[
            new(400, "/upload", [("Authorization", upload), ("X-SHA-256", "nonsense")]),
            new(401, "/mirror", []),
            new(413, "/report", []),
            new(405, $"/{new string('0', 64)}", []),
            new(415, "/upload", [("Authorization", upload), ("Content-Type", "text/html")]),
            new(507, "/upload", [("Authorization", upload), ("Content-Type", "image/png")]),
            new(403, "/media", [])])
        {
            foreach (var answer in await AskAsync(way, proxy?.Address ?? server.Address, early, size))
            {
                Assert.StartsWith($"HTTP/1.1 {early.Status} ", answer, StringComparison.Ordinal);
                Assert.Contains("X-Reason: ", answer, StringComparison.OrdinalIgnoreCase);
            }
        }
    }

    [Fact]
    public async Task After_a_refused_body_was_read_the_connection_serves_on_and_an_endless_one_is_broken_off_in_time()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:RefusedBodyTime=00:00:01");
        using var client = new TcpClient();
        await client.ConnectAsync(server.Address.Host, server.Address.Port);
        var stream = client.GetStream();
        for (var i = 0; i < 2; i++)
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"));
            await stream.WriteAsync(new byte[1000]);
            Assert.StartsWith("HTTP/1.1 401 ", await ReadHeadAsync(stream), StringComparison.Ordinal);
        }

        await stream.WriteAsync(Encoding.ASCII.GetBytes("PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30)); // ours is 1 s, the HTTP server's own 5 s
        var error = await Assert.ThrowsAnyAsync<IOException>(async () =>
        {
            while (true)
            {
                await stream.WriteAsync("3e8\r\n"u8.ToArray(), patience.Token);
                await stream.WriteAsync(new byte[1000], patience.Token);
                await stream.WriteAsync("\r\n"u8.ToArray(), patience.Token);
            }
        });
        Assert.IsType<SocketException>(error.InnerException);
    }

    /// <summary>What a PUT of a path with these headers is answered before its body has come.</summary>
    private sealed record Early(int Status, string Path, (string Name, string Value)[] Headers);

    // By a socket, by curl (which asks first whether it may send, RFC 9110, 10.1.1), and by curl that sends at once; behind a proxy in each of these ways.
    private static async Task<List<string>> AskAsync(string way, Uri address, Early early, long size)
    {
        List<string> answers = [];
        if (way != "curl")
        {
            answers.Add(await AskBySocketAsync(address, early, size));
        }

        if (way != "socket")
        {
            answers.Add(await AskByCurlAsync(address, early, size, asksFirst: true));
            answers.Add(await AskByCurlAsync(address, early, size, asksFirst: false));
        }

        return answers;
    }

    /// <summary>Sends everything, then reads.</summary>
    private static async Task<string> AskBySocketAsync(Uri address, Early early, long size)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(address.Host, address.Port);
        var stream = client.GetStream();
        var headers = string.Concat(early.Headers.Select(header => $"{header.Name}: {header.Value}\r\n"));
        var length = size.ToString(CultureInfo.InvariantCulture);
        var head = $"PUT {early.Path} HTTP/1.1\r\nHost: {address.Authority}\r\nContent-Length: {length}\r\n{headers}\r\n";
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head));
        var piece = new byte[1024 * 1024];
        for (var left = size; left > 0; left -= Math.Min(left, piece.Length))
        {
            await stream.WriteAsync(piece.AsMemory(0, (int)Math.Min(left, piece.Length)));
        }

        return await ReadHeadAsync(stream);
    }

    private static async Task<string> ReadHeadAsync(NetworkStream stream)
    {
        var answer = new StringBuilder();
        var buffer = new byte[4096];
        while (!answer.ToString().Contains("\r\n\r\n", StringComparison.Ordinal))
        {
            var read = await stream.ReadAsync(buffer);
            Assert.NotEqual(0, read);
            answer.Append(Encoding.ASCII.GetString(buffer, 0, read));
        }

        return answer.ToString();
    }

    private static async Task<string> AskByCurlAsync(Uri address, Early early, long size, bool asksFirst)
    {
        using var folder = new TemporaryFolder();
        var body = Path.Combine(folder.Path, "body");
        await using (var file = File.Create(body))
        {
            file.SetLength(size);
        }

        var headers = early.Headers.Select(header => $"{header.Name}: {header.Value}").Concat(asksFirst ? [] : ["Expect:"]);
        string[] given = [.. headers.SelectMany(header => (string[])["-H", header])];
        var url = new Uri(address, early.Path).AbsoluteUri;
        await using var curl = ChildProcess.Start("curl", ["-sS", "-D", "-", "-o", "/dev/null", "-T", body, .. given, url]);
        Assert.True(await curl.WaitForExitAsync(TimeSpan.FromMinutes(1)) == 0, curl.Output);
        var answers = curl.Output.ReplaceLineEndings("\r\n");
        return answers[answers.LastIndexOf("HTTP/1.1 ", StringComparison.Ordinal)..];
    }
}
