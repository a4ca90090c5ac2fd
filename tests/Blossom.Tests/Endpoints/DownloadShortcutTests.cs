using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Marmot.Blossom.Endpoints;
using Marmot.Hosting;
using Marmot.Protocol.Keys;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Endpoints;

/// <summary>Plain downloads go past the HTTP server; nobody may be able to tell.</summary>
public sealed class DownloadShortcutTests
{
    private static readonly string Hash = new('a', 64);

    [Theory]
    [InlineData("", 1000)]
    [InlineData("", 0)]
    [InlineData("", 300_000)]
    [InlineData("Range: bytes=5-9\r\n", 1000)]
    [InlineData("Range: bytes=-70000\r\n", 300_000)]
    [InlineData("Range: bytes=2-1\r\n", 1000)]
    [InlineData("Range: bytes=1-2,5-6\r\n", 1000)]
    [InlineData("Range: bytes=1000-\r\n", 1000)]
    [Trait("Spec", "BUD-01")]
    [Trait("Clock", "Date")]
    public async Task A_download_is_answered_byte_for_byte_as_the_HTTP_server_answers_it(string header, int size)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General", "--Blossom:Retention=1.00:00:00");
        using var key = SecretKey.Generate();
        foreach (var type in (string[])["image/png", "text/html"])
        {
            var blob = BlossomServer.RandomBlob(size);
            using var up = await server.UploadAsync(key, blob, type);
            using var connection = await RawConnection.OpenAsync(server);
            var path = $"/{BlossomServer.HashOf(blob)}.png";
            var plain = await connection.AskAsync($"GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
            var other = await connection.AskAsync($"GET {path} HTTP/1.1\r\nHost: a\r\nX-Unknown: 1\r\n{header}\r\n");
            Assert.Equal(other.Status, plain.Status);
            Assert.Equal(other.Headers, plain.Headers);
            Assert.Equal(other.Body, plain.Body);
        }
    }

    [Fact]
    public async Task Requests_that_come_at_once_or_byte_by_byte_are_answered_in_order_and_others_may_follow()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        byte[][] blobs = [BlossomServer.RandomBlob(10), BlossomServer.RandomBlob(5000), BlossomServer.RandomBlob(200_000)];
        foreach (var blob in blobs)
        {
            (await server.UploadAsync(key, blob)).Dispose();
        }

        using var connection = await RawConnection.OpenAsync(server);
        var requests = blobs.Select(blob => $"GET /{BlossomServer.HashOf(blob)} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n").ToArray();
        await connection.SendAsync(string.Concat(requests));
        foreach (var blob in blobs)
        {
            Assert.Equal(blob, (await connection.ReadAsync()).Body);
        }

        foreach (var letter in requests[1])
        {
            await connection.SendAsync($"{letter}");
        }

        Assert.Equal(blobs[1], (await connection.ReadAsync()).Body);
        Assert.Equal(204, (await connection.AskAsync("OPTIONS /upload HTTP/1.1\r\nHost: a\r\n\r\n")).Status);
        Assert.Equal(blobs[2], (await connection.AskAsync(requests[2])).Body);
        Assert.Equal(404, (await connection.AskAsync($"GET /{Hash} HTTP/1.1\r\nHost: a\r\n\r\n")).Status);
    }

    [Fact]
    public void A_request_is_read_whole_from_pieces_and_never_from_a_part_of_it()
    {
        var bytes = Encoding.ASCII.GetBytes($"GET /{Hash}.bin HTTP/1.1\r\nHost: a:1\r\nRange: bytes=1-2\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n");
        for (var cut = 0; cut < bytes.Length; cut++)
        {
            Assert.Equal(RequestResult.Incomplete, DownloadRequest.TryRead(new(bytes.AsMemory(0, cut)), out _, out _));
        }

        var source = new System.Buffers.ReadOnlySequence<byte>([.. bytes, .. "GET"u8]);
        Assert.Equal(RequestResult.Complete, DownloadRequest.TryRead(source, out var request, out var end));
        Assert.Equal((Hash, "bytes=1-2"), (request.Hash.ToString(), request.Range));
        Assert.Equal(3, source.Slice(end).Length);
    }

    [Theory]
    [InlineData("HEAD /{0} HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.0\r\nHost: a\r\n\r\n")]
    [InlineData("GET /{0}?x HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /{0}/../x HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /%61{0} HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /{0}  HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a b\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost : a\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nAuthorization: Nostr x\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nIf-Range: \"x\"\r\nRange: bytes=1-2\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\nRange: bytes=3-4\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: a\r\nAccept: \u0001\r\n\r\n")]
    [InlineData("GET /{0} HTTP/1.1\nHost: a\r\n\r\n")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
    public void Whatever_is_not_plainly_a_download_is_left_to_the_HTTP_server(string text) =>
        Assert.Equal(RequestResult.Other,
            DownloadRequest.TryRead(new(Encoding.ASCII.GetBytes(text.Replace("{0}", Hash, StringComparison.Ordinal))), out _, out _));

    [Fact]
    public async Task When_the_server_stops_a_download_under_way_ends_whole_and_idle_connections_are_closed()
    {
        var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(24 * 1024 * 1024); // more than sockets buffer
        (await server.UploadAsync(key, blob)).Dispose();
        using var idle = await RawConnection.OpenAsync(server);
        var request = $"GET /{BlossomServer.HashOf(blob)} HTTP/1.1\r\nHost: a\r\n\r\n";
        await idle.AskAsync(request);
        using var busy = await RawConnection.OpenAsync(server);
        await busy.SendAsync(request);
        await busy.ReadSomeAsync();
        var stopping = server.DisposeAsync();
        Assert.Equal(0, await idle.ReadSomeAsync());
        Assert.Equal(blob, (await busy.ReadAsync()).Body);
        await stopping;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_head_that_grows_for_ever_is_cut_off_by_one_deadline_also_after_a_whole_request(bool afterOne)
    {
        await using var server =
            await BlossomServer.StartWithAsync(services =>
                services.Configure<KestrelServerOptions>(kestrel => kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(1.5)));
        using var key = SecretKey.Generate();
        (await server.UploadAsync(key, [1])).Dispose();
        using var connection = await RawConnection.OpenAsync(server);
        var request = $"GET /{BlossomServer.HashOf([1])} HTTP/1.1\r\nHost: a\r\n";
        if (afterOne)
        {
            Assert.Equal([1], (await connection.AskAsync(request + "\r\n")).Body);
        }

        await connection.SendAsync(request);
        var closed = connection.ReadSomeAsync();
        var growing = TimeSpan.FromSeconds(30);
        for (var begun = Stopwatch.GetTimestamp(); !closed.IsCompleted && Stopwatch.GetElapsedTime(begun) < growing;)
        {
            try
            {
                await connection.SendAsync("Sec-More: x\r\n");
            }
            catch (SocketException)
            {
                break; // cut off while we wrote
            }

            await Task.WhenAny(closed, Task.Delay(100));
        }

        Assert.True(await Task.WhenAny(closed, Task.Delay(5000)) == closed, "still open");
    }

    [Theory]
    [InlineData("")]
    [InlineData("X-Unknown: 1\r\n")]
    public async Task A_reader_that_takes_nothing_is_cut_off_by_the_slowest_rate_on_either_way(string header)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:MinDownloadBytesPerSecond=1000000", "--Blossom:SlowDownloadGrace=00:00:01.100");
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(24 * 1024 * 1024); // more than sockets buffer
        (await server.UploadAsync(key, blob)).Dispose();
        using var connection = await RawConnection.OpenAsync(server);
        await connection.SendAsync($"GET /{BlossomServer.HashOf(blob)} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
        await Task.Delay(5000); // nobody reads: the end is to be seen only by reading
        var total = 0L;
        try
        {
            while (await connection.ReadSomeAsync() is > 0 and var read)
            {
                total += read;
            }
        }
        catch (SocketException)
        {
            // reset
        }

        Assert.True(total < blob.Length, $"{total} bytes came");
    }

    private sealed record Answer(int Status, string[] Headers, byte[] Body);

    /// <summary>A connection whose every byte the test writes.</summary>
    private sealed class RawConnection : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly List<byte> _read = [];

        public static async Task<RawConnection> OpenAsync(BlossomServer server)
        {
            var connection = new RawConnection();
            await connection._socket.ConnectAsync(server.Address.Host, server.Address.Port);
            return connection;
        }

        public async Task SendAsync(string text) => await _socket.SendAsync(Encoding.ASCII.GetBytes(text));

        public async Task<Answer> AskAsync(string request)
        {
            await SendAsync(request);
            return await ReadAsync();
        }

        public async Task<int> ReadSomeAsync()
        {
            var buffer = new byte[64 * 1024];
            var read = await _socket.ReceiveAsync(buffer);
            _read.AddRange(buffer.AsSpan(0, read));
            return read;
        }

        /// <summary>The next answer; its headers sorted, without the date.</summary>
        public async Task<Answer> ReadAsync()
        {
            int end;
            while ((end = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_read).IndexOf("\r\n\r\n"u8)) < 0)
            {
                Assert.NotEqual(0, await ReadSomeAsync());
            }

            var lines = Encoding.ASCII.GetString([.. _read[..end]]).Split("\r\n");
            var length = lines.Select(line => line.Split(": ")).FirstOrDefault(parts => parts[0] == "Content-Length") is { } found
                ? int.Parse(found[1], System.Globalization.CultureInfo.InvariantCulture)
                : 0;
            while (_read.Count < end + 4 + length)
            {
                Assert.NotEqual(0, await ReadSomeAsync());
            }

            byte[] body = [.. _read.Skip(end + 4).Take(length)];
            _read.RemoveRange(0, end + 4 + length);
            return new Answer(
                int.Parse(lines[0].AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture),
                [.. lines[1..].Where(line => !line.StartsWith("Date:", StringComparison.Ordinal)).Order(StringComparer.Ordinal)], body);
        }

        public void Dispose() => _socket.Dispose();
    }
}
