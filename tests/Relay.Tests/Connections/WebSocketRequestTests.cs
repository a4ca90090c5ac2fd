using System.Buffers;
using System.Net.Sockets;
using System.Text;
using Marmot.Hosting;
using Marmot.Relay.Connections;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Connections;

public sealed class WebSocketRequestTests
{
    // The key and its answer are the example of RFC 6455, 1.3.
    private const string Handshake =
        "GET / HTTP/1.1\r\nHost: relay.example.com\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: "
            + "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    private static RequestResult Read(string text, out WebSocketRequest request, out SequencePosition end) =>
        WebSocketRequest.TryRead(new ReadOnlySequence<byte>(Encoding.ASCII.GetBytes(text)), out request, out end);

    [Fact]
    public void Reads_a_handshake_and_waits_at_every_cut()
    {
        Assert.Equal(RequestResult.Complete, Read(Handshake + "rest", out var request, out var end));
        Assert.Equal(Handshake.Length, end.GetInteger());
        Assert.Equal("relay.example.com", request.Host);
        Assert.Equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WebSocketRequest.Accept(request.Key));
        for (var cut = 0; cut < Handshake.Length; cut++)
        {
            Assert.Equal(RequestResult.Incomplete, Read(Handshake[..cut], out _, out _));
        }
    }

    [Theory]
    [InlineData("GET / ", "POST / ")]
    [InlineData("GET / ", "GET /upload ")]
    [InlineData("HTTP/1.1", "HTTP/1.0")]
    [InlineData("Version: 13", "Version: 12")]
    [InlineData("dGhlIHNhbXBsZSBub25jZQ==", "short")]
    [InlineData("Upgrade: WebSocket\r\n", "")]
    [InlineData("keep-alive, Upgrade", "keep-alive")]
    [InlineData("Host: relay.example.com\r\n", "")]
    [InlineData("Host: relay.example.com\r\n", "Host: a\r\nHost: b\r\n")]
    [InlineData("Host: ", "Host : ")]
    [InlineData("Upgrade: WebSocket", "Upgrade: h2c")]
    [InlineData("Sec-WebSocket-Version", "Content-Length: 5\r\nSec-WebSocket-Version")]
    public void Leaves_what_is_not_plainly_a_handshake_to_the_http_server(string part, string other) =>
        Assert.Equal(RequestResult.Other, Read(Handshake.Replace(part, other, StringComparison.Ordinal), out _, out _));

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(40)]
    public async Task Passes_other_requests_on_however_they_are_cut(int first)
    {
        await using var relay = await RelayHost.StartAsync();
        var request = Encoding.ASCII.GetBytes($"GET / HTTP/1.1\r\nHost: {relay.Http.Authority}\r\nAccept: application/nostr+json\r\nConnection: close\r\n\r\n");
        using var socket = new TcpClient { NoDelay = true };
        await socket.ConnectAsync(relay.Http.Host, relay.Http.Port);
        var stream = socket.GetStream();
        await stream.WriteAsync(request.AsMemory(0, first));
        await stream.FlushAsync();
        await stream.WriteAsync(request.AsMemory(first));
        using var reader = new StreamReader(stream);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var answer = await reader.ReadToEndAsync(patience.Token);
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        Assert.Contains("supported_nips", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answers_a_wrong_handshake_as_http()
    {
        await using var relay = await RelayHost.StartAsync();
        using var socket = new TcpClient();
        await socket.ConnectAsync(relay.Http.Host, relay.Http.Port);
        await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Handshake.Replace("Version: 13", "Version: 8", StringComparison.Ordinal)));
        using var reader = new StreamReader(socket.GetStream());
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        Assert.Equal("HTTP/1.1 426 Upgrade Required", await reader.ReadLineAsync(patience.Token));
    }
}
