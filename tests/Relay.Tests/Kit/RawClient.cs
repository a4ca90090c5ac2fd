using System.Net.Sockets;
using System.Text;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Tests.Kit;

/// <summary>A socket that says what it likes, byte by byte; every wait ends after ten seconds.</summary>
internal sealed class RawClient : IDisposable
{
    private static readonly byte[] Mask = [7, 0, 9, 5];
    private readonly TcpClient _socket = new() { NoDelay = true };

    public static async Task<RawClient> ConnectAsync(Uri server)
    {
        var client = new RawClient();
        await client._socket.ConnectAsync(server.Host, server.Port);
        return client;
    }

    /// <summary>Makes a WebSocket handshake and returns its status line and headers; what follows stands unread.</summary>
    public async Task<string> UpgradeAsync(string host, string headers = "")
    {
        await SendAsync(
            $"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}Sec-WebSocket-Key: "
                + $"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
        return await ReadHeadAsync();
    }

    public ValueTask SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes) => _socket.GetStream().WriteAsync(bytes);

    /// <summary>A masked frame of text as it goes over the wire.</summary>
    public static byte[] Frame(string text, bool isFinal = true, FrameOpcode opcode = FrameOpcode.Text)
    {
        var payload = Encoding.UTF8.GetBytes(text);
        var header = new byte[WebSocketFrame.MaxServerHeaderSize];
        var size = WebSocketFrame.WriteHeader(header, opcode, payload.Length);
        header[0] = (byte)((isFinal ? 0x80 : 0) | (byte)opcode);
        header[1] |= 0x80;
        return [.. header[..size], .. Mask, .. payload.Select((b, i) => (byte)(b ^ Mask[i % 4]))];
    }

    /// <summary>What comes up to an empty line, or up to the end.</summary>
    public async Task<string> ReadHeadAsync()
    {
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await ReadAsync(one) > 0)
        {
            head.Append((char)one[0]);
        }

        return head.ToString();
    }

    /// <summary>Bytes read; 0 at the end of the connection, however it ended.</summary>
    public async Task<int> ReadAsync(Memory<byte> into, TimeSpan? patience = null)
    {
        using var wait = new CancellationTokenSource(patience ?? TimeSpan.FromSeconds(10));
        try
        {
            return await _socket.GetStream().ReadAsync(into, wait.Token);
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>Reads to the end; false when the connection is still open after the time.</summary>
    public async Task<bool> IsEndedWithinAsync(TimeSpan time)
    {
        using var wait = new CancellationTokenSource(time);
        var buffer = new byte[4096];
        try
        {
            while (await _socket.GetStream().ReadAsync(buffer, wait.Token) > 0)
            {
            }

            return true;
        }
        catch (IOException)
        {
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    public void Dispose() => _socket.Dispose();
}
