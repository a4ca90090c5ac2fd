using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Benchmarks.Blossom;

/// <summary>One keep-alive HTTP/1.1 connection that costs the generator as little as it can. One request at a time; owns its buffer.</summary>
internal sealed class HttpConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly byte[] _buffer = new byte[256 * 1024];

    private HttpConnection()
    {
    }

    public static async Task<HttpConnection> OpenAsync(int port)
    {
        var connection = new HttpConnection();
        await connection._socket.ConnectAsync("127.0.0.1", port);
        return connection;
    }

    /// <summary>Sends head and body (<paramref name="repeats"/> times) and reads the answer away. The status.</summary>
    public async ValueTask<int> SendAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body = default, long repeats = 1)
    {
        if (body.Length is > 0 and <= 128 * 1024 && repeats == 1)
        {
            head.CopyTo(_buffer);
            body.CopyTo(_buffer.AsMemory(head.Length));
            await WriteAsync(_buffer.AsMemory(0, head.Length + body.Length));
        }
        else
        {
            await WriteAsync(head);
            for (long i = 0; i < repeats && body.Length > 0; i++)
            {
                await WriteAsync(body);
            }
        }

        return await ReadAsync();
    }

    /// <summary>Sends bytes and awaits nothing: a client that has stalled.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes)..];
        }
    }

    public void Dispose() => _socket.Dispose();

    private async ValueTask<int> ReadAsync()
    {
        var filled = 0;
        int end;
        do
        {
            var read = await _socket.ReceiveAsync(_buffer.AsMemory(filled));
            if (read == 0)
            {
                throw new IOException("connection closed");
            }

            filled += read;
            end = _buffer.AsSpan(0, filled).IndexOf("\r\n\r\n"u8);
        }
        while (end < 0);

        var text = Encoding.ASCII.GetString(_buffer, 0, end + 2);
        var status = int.Parse(text.AsSpan(9, 3), CultureInfo.InvariantCulture);
        filled -= end + 4;
        if (text.Contains("chunked", StringComparison.OrdinalIgnoreCase))
        {
            while (!_buffer.AsSpan(0, end + 4 + filled).EndsWith("0\r\n\r\n"u8)) // answers of uploads: one small chunk
            {
                filled += await _socket.ReceiveAsync(_buffer.AsMemory(end + 4 + filled));
            }

            return status;
        }

        var at = text.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
        var left = at < 0 ? 0 : long.Parse(text.AsSpan(at + 16, text.IndexOf('\r', at) - at - 16), CultureInfo.InvariantCulture);
        for (left -= filled; left > 0;)
        {
            var read = await _socket.ReceiveAsync(_buffer.AsMemory(0, (int)Math.Min(_buffer.Length, left)));
            left -= read > 0 ? read : throw new IOException("body cut short");
        }

        return status;
    }
}
