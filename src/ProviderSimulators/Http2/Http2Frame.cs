using System.Buffers.Binary;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>RFC 9113, 6.</summary>
internal enum Http2FrameType : byte
{
    Data = 0, Headers = 1, Priority = 2, RstStream = 3, Settings = 4, PushPromise = 5, Ping = 6, GoAway = 7, WindowUpdate = 8, Continuation = 9,
}

/// <summary>RFC 9113, 6.</summary>
[Flags]
internal enum Http2Flags : byte
{
    None = 0,
    /// <summary>END_STREAM on DATA and HEADERS, ACK on SETTINGS and PING.</summary>
    EndStreamOrAck = 1,
    EndHeaders = 4, Padded = 8, Priority = 32,
}

/// <summary>RFC 9113, 7.</summary>
internal enum Http2Error
{
    NoError = 0, ProtocolError = 1, InternalError = 2, FlowControlError = 3, StreamClosed = 5, FrameSizeError = 6, RefusedStream = 7,
    Cancel = 8, CompressionError = 9, EnhanceYourCalm = 11,
}

/// <summary>RFC 9113, 6.5.2.</summary>
internal enum Http2Setting : ushort
{
    HeaderTableSize = 1, EnablePush = 2, MaxConcurrentStreams = 3, InitialWindowSize = 4, MaxFrameSize = 5,
}

/// <summary>One frame as read. The payload belongs to the caller until the next read.</summary>
internal readonly record struct Http2Frame(Http2FrameType Type, Http2Flags Flags, int StreamId, ReadOnlyMemory<byte> Payload)
{
    /// <summary>Length 3, type 1, flags 1, stream id 4, big-endian. RFC 9113, 4.1.</summary>
    public const int HeaderBytes = 9;
    /// <summary>The smallest and default SETTINGS_MAX_FRAME_SIZE.</summary>
    public const int MaxPayloadBytes = 16_384;
    /// <summary>RFC 9113, 3.4.</summary>
    public static ReadOnlySpan<byte> ClientPreface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    public bool Has(Http2Flags flag) => (Flags & flag) != 0;

    public static byte[] Write(Http2FrameType type, Http2Flags flags, int streamId, ReadOnlySpan<byte> payload)
    {
        var frame = new byte[HeaderBytes + payload.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, (payload.Length << 8) | (byte)type);
        frame[4] = (byte)flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), streamId);
        payload.CopyTo(frame.AsSpan(HeaderBytes));
        return frame;
    }

    public static byte[] WriteNumber(Http2FrameType type, int streamId, int number)
    {
        Span<byte> payload = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(payload, number);
        return Write(type, Http2Flags.None, streamId, payload);
    }

    public static byte[] WriteSetting(Http2Setting setting, int value)
    {
        Span<byte> payload = stackalloc byte[6];
        BinaryPrimitives.WriteUInt16BigEndian(payload, (ushort)setting);
        BinaryPrimitives.WriteInt32BigEndian(payload[2..], value);
        return Write(Http2FrameType.Settings, Http2Flags.None, 0, payload);
    }

    public static byte[] WriteGoAway(int lastStreamId, Http2Error error, ReadOnlySpan<byte> debugData)
    {
        var payload = new byte[8 + debugData.Length];
        BinaryPrimitives.WriteInt32BigEndian(payload, lastStreamId);
        BinaryPrimitives.WriteInt32BigEndian(payload.AsSpan(4), (int)error);
        debugData.CopyTo(payload.AsSpan(8));
        return Write(Http2FrameType.GoAway, Http2Flags.None, 0, payload);
    }
}
