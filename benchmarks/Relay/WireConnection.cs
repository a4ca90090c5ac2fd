using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>A WebSocket client that costs next to nothing: frames are made beforehand, answers are told apart by a few bytes.</summary>
/// <remarks>One thread at a time. The mask is zero, which RFC 6455 allows, so that the same bytes go out on any connection.</remarks>
internal sealed class WireConnection : IDisposable
{
    private readonly byte[] _buffer = new byte[256 * 1024];
    private int _start;
    private int _end;

    /// <param name="relay">Where to.</param>
    /// <param name="from">The address to come from; null for the system's choice.</param>
    public WireConnection(IPEndPoint relay, IPAddress? from = null)
    {
        Socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 30_000 };
        try
        {
            if (from is not null)
            {
                Socket.Bind(new IPEndPoint(from, 0));
            }

            Socket.Connect(relay);
            Socket.Send(Handshake(relay));
            int end;
            while ((end = _buffer.AsSpan(0, _end).IndexOf("\r\n\r\n"u8)) < 0)
            {
                Fill();
            }

            if (!_buffer.AsSpan(0, _end).StartsWith("HTTP/1.1 101"u8))
            {
                throw new IOException("no WebSocket: " + Encoding.ASCII.GetString(_buffer, 0, Math.Min(end, 40)));
            }

            _start = end + 4;
        }
        catch
        {
            Socket.Dispose();
            throw;
        }
    }

    public Socket Socket { get; }

    public static byte[] Handshake(IPEndPoint relay) => Encoding.ASCII.GetBytes(
        $"GET / HTTP/1.1\r\nHost: {relay}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
            + $"AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n");

    /// <summary>A masked text frame of the parts in a row.</summary>
    public static byte[] Frame(params ReadOnlySpan<byte[]> parts)
    {
        var length = 0;
        foreach (var part in parts)
        {
            length += part.Length;
        }

        var header = length < 126 ? 6 : length <= ushort.MaxValue ? 8 : 14;
        var frame = new byte[header + length];
        frame[0] = 0x81;
        frame[1] = (byte)(0x80 | (length < 126 ? length : length <= ushort.MaxValue ? 126 : 127));
        if (header == 8)
        {
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(2), (ushort)length);
        }
        else if (header == 14)
        {
            BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(2), length);
        }

        foreach (var part in parts)
        {
            part.CopyTo(frame, header);
            header += part.Length;
        }

        return frame;
    }

    public static byte[] Frame(string text) => Frame(Encoding.UTF8.GetBytes(text));

    public void Send(byte[] frames) => SendAll(frames);

    public void SendAll(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[Socket.Send(bytes)..];
        }
    }

    /// <summary>The next message; valid until the next call.</summary>
    public ReadOnlySpan<byte> Receive()
    {
        while (true)
        {
            if (TryTake(_buffer.AsSpan(_start, _end - _start), out var size, out var payload))
            {
                var message = _buffer.AsSpan(_start + size - payload, payload);
                _start += size;
                return message;
            }

            Fill();
        }
    }

    /// <summary>True when a whole message waits already.</summary>
    public bool HasMessage => TryTake(_buffer.AsSpan(_start, _end - _start), out _, out _);

    /// <summary>Reads until a message starts with one of the verbs, e.g. <c>["EOSE"</c>; how many came before it.</summary>
    public int SkipTo(ReadOnlySpan<byte> start, ReadOnlySpan<byte> orStart = default)
    {
        for (var skipped = 0; ; skipped++)
        {
            var message = Receive();
            if (message.StartsWith(start) || (!orStart.IsEmpty && message.StartsWith(orStart)))
            {
                return skipped;
            }
        }
    }

    /// <summary>Finds a whole frame at the start of <paramref name="bytes"/>.</summary>
    public static bool TryTake(ReadOnlySpan<byte> bytes, out int size, out int payload)
    {
        size = 0;
        payload = 0;
        if (bytes.Length < 2)
        {
            return false;
        }

        var header = 2;
        payload = bytes[1] & 0x7F;
        if (payload == 126)
        {
            header = 4;
            if (bytes.Length < header)
            {
                return false;
            }

            payload = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        }
        else if (payload == 127)
        {
            header = 10;
            if (bytes.Length < header)
            {
                return false;
            }

            payload = (int)BinaryPrimitives.ReadInt64BigEndian(bytes[2..]);
        }

        size = header + payload;
        return bytes.Length >= size;
    }

    public void Dispose() => Socket.Dispose();

    private void Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        var read = Socket.Receive(_buffer, _end, _buffer.Length - _end, SocketFlags.None);
        _end += read > 0 ? read : throw new IOException("the relay closed the connection");
    }
}
