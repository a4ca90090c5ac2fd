using System.Net.Sockets;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Endpoints;

/// <summary>Good requests with a few bytes changed, doubled, dropped or cut off. MUTATED_REQUESTS in the environment makes it longer: a million takes an
/// hour.</summary>
public sealed class MutationTests
{
    private const int Sides = 4;
    private static readonly int Requests = int.TryParse(
        Environment.GetEnvironmentVariable("MUTATED_REQUESTS"), System.Globalization.CultureInfo.InvariantCulture, out var count) ? count : 4000;

    [Fact]
    public async Task Thousands_of_mutated_requests_are_answered_without_a_fault_of_the_server_and_leave_it_as_it_was()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General", "--Blossom:UploadsPerMinute=0", "--Blossom:MissesPerMinute=0");
        using var key = SecretKey.Generate();
        var kept = BlossomServer.RandomBlob(3000);
        await server.UploadAsync(key, kept);
        var hash = BlossomServer.HashOf(kept);
        var body = new byte[40];
        string[] good =
        [
            Request("PUT /upload", BlossomVerb.Upload,
                $"X-SHA-256: {BlossomServer.HashOf(body)}\r\nX-Expiration: 2000000000\r\nContent-Type: image/png\r\nContent-Length: 40\r\n", body),
            Request("PUT /upload", BlossomVerb.Upload, "Transfer-Encoding: chunked\r\n", body, chunked: true),
            Request("HEAD /upload", BlossomVerb.Upload, $"X-SHA-256: {BlossomServer.HashOf(body)}\r\nX-Content-Length: 40\r\nX-Content-Type: a/b\r\n"),
            Request($"GET /{hash}.png", BlossomVerb.Get, "Range: bytes=0-9,20-29,-5\r\nIf-Range: \"x\"\r\nIf-None-Match: W/\"y\"\r\n"),
            Request($"DELETE /{BlossomServer.HashOf(body)}", BlossomVerb.Delete, ""),
            Request($"GET /list/{key.PublicKey}?cursor={hash}&limit=3", BlossomVerb.List, ""),
            Request("PUT /mirror", BlossomVerb.Upload, "Content-Length: 36\r\n", Encoding.ASCII.GetBytes("{\"url\":\"http://localhost:1/aaaa.bin\"}"[..36])),
            Request("PUT /report", BlossomVerb.Upload, "Content-Length: 40\r\n", body),
            Request("OPTIONS /upload", BlossomVerb.Upload, "Origin: https://example.com\r\n"),
        ];

        await Task.WhenAll(Enumerable.Range(0, Sides).Select(side => Task.Run(async () =>
        {
            var random = new Random(20261121 + side);
            for (var i = 0; i < Requests / Sides; i++)
            {
                var mutated = Mutate(Encoding.Latin1.GetBytes(good[random.Next(good.Length)]), random);
                var status = await SendAsync(server.Address.Port, mutated);
                // 502: an origin that is none; 505: an HTTP of no known version.
                Assert.True(status is < 500 or 502 or 505, $"{status} to:\n{Encoding.Latin1.GetString(mutated)}");
            }
        })));
        Assert.Equal(kept, await server.Http.GetByteArrayAsync($"/{hash}"));

        string Request(string line, BlossomVerb verb, string headers, byte[]? content = null, bool chunked = false) =>
            $"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {server.Token(key, verb, BlossomServer.HashOf(content ?? body))}\r\n"
                + $"{headers}\r\n"
            + (content is null
                ? ""
                : chunked
                ? $"{content.Length:x}\r\n{Encoding.Latin1.GetString(content)}\r\n0\r\n\r\n"
                : Encoding.Latin1.GetString(content));
    }

    private static byte[] Mutate(byte[] good, Random random)
    {
        var bytes = new List<byte>(good);
        for (var changes = random.Next(1, 4); changes > 0 && bytes.Count > 4; changes--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 2:
                    bytes.RemoveAt(at);
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(at, random.Next(Math.Min(200, bytes.Count - at))));
                    break;
                case 4:
                    bytes.Insert(at, "\0\r\n:;,=\"{}%/ 9"u8[random.Next(14)]);
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }

        return [.. bytes];
    }

    /// <summary>The status, or 0 when the server only closed.</summary>
    private static async Task<int> SendAsync(int port, byte[] request)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60)); // a server that hangs fails the test
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", port, patience.Token);
        var stream = client.GetStream();
        try
        {
            await stream.WriteAsync(request, patience.Token);
            client.Client.Shutdown(SocketShutdown.Send); // what is missing does not come
            var buffer = new byte[4096];
            var filled = 0;
            int read;
            while ((read = await stream.ReadAsync(buffer.AsMemory(filled), patience.Token)) > 0)
            {
                filled = Math.Min(filled + read, buffer.Length - 1); // the head is enough
            }

            return filled >= 12
                && int.TryParse(Encoding.ASCII.GetString(buffer, 9, 3), System.Globalization.CultureInfo.InvariantCulture, out var status) ? status : 0;
        }
        catch (IOException)
        {
            return 0; // a reset is an answer too
        }
    }
}
