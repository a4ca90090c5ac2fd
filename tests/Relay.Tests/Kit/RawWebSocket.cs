using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Tests.Kit;

/// <summary>A client that sees and sets every bit of its frames; every wait ends after ten seconds.</summary>
internal sealed class RawWebSocket : IDisposable
{
    private readonly TcpClient _socket = new() { NoDelay = true };
    private NetworkStream? _stream;

    /// <summary>What the relay agreed to; null for nothing.</summary>
    public string? Extensions { get; private set; }

    /// <summary>Makes the handshake.</summary>
    public static async Task<RawWebSocket> ConnectAsync(RelayHost relay, string? offers)
    {
        var client = new RawWebSocket();
        await client._socket.ConnectAsync(relay.Http.Host, relay.Http.Port);
        client._stream = client._socket.GetStream();
        var extensions = offers is null ? "" : $"Sec-WebSocket-Extensions: {offers}\r\n";
        await client._stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"GET / HTTP/1.1\r\nHost: {relay.Http.Authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extensions}Sec-WebSocket-Key: "
                + $"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await client.ReadAsync(one);
            head.Append((char)one[0]);
        }

        const string Name = "Sec-WebSocket-Extensions: ";
        client.Extensions = head.ToString().Split("\r\n").SingleOrDefault(line => line.StartsWith(Name, StringComparison.Ordinal))?[Name.Length..];
        return client;
    }

    /// <param name="first">FIN, RSV bits and opcode as they stand in the frame.</param>
    /// <param name="payload">Unmasked.</param>
    public ValueTask SendAsync(byte first, byte[] payload)
    {
        var header = new byte[WebSocketFrame.MaxServerHeaderSize];
        var size = WebSocketFrame.WriteHeader(header, default, payload.Length);
        header[0] = first;
        header[1] |= 0x80;
        byte[] mask = [7, 0, 9, 5];
        return _stream!.WriteAsync((byte[])[.. header[..size], .. mask, .. payload.Select((b, i) => (byte)(b ^ mask[i % 4]))]);
    }

    /// <summary>A masked frame's header without its payload, up to 2^63 bytes.</summary>
    public ValueTask SendHeaderAsync(byte first, long length)
    {
        var header = new byte[14];
        header[0] = first;
        header[1] = 0x80 | 127;
        BinaryPrimitives.WriteInt64BigEndian(header.AsSpan(2), length);
        return _stream!.WriteAsync(header);
    }

    public ValueTask SendTextAsync(string text) => SendAsync(0x81, Encoding.UTF8.GetBytes(text));

    /// <summary>The next frame: its first byte and its payload as it came.</summary>
    public async Task<(byte First, byte[] Payload)> ReceiveAsync()
    {
        var header = new byte[2];
        await ReadAsync(header);
        var length = (ulong)header[1];
        if (length >= 126)
        {
            var size = new byte[length == 126 ? 2 : 8];
            await ReadAsync(size);
            length = size.Length == 2 ? BinaryPrimitives.ReadUInt16BigEndian(size) : BinaryPrimitives.ReadUInt64BigEndian(size);
        }

        var payload = new byte[length];
        await ReadAsync(payload);
        return (header[0], payload);
    }

    /// <summary>The code of the close frame that comes after whatever else.</summary>
    public async Task<int> ReceiveCloseAsync()
    {
        while (true)
        {
            var (first, payload) = await ReceiveAsync();
            if (first == 0x88)
            {
                return BinaryPrimitives.ReadUInt16BigEndian(payload);
            }
        }
    }

    public void Dispose() => _socket.Dispose();

    private async Task ReadAsync(byte[] into)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        await _stream!.ReadExactlyAsync(into, patience.Token);
    }
}
