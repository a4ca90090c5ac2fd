using System.Buffers;
using System.Buffers.Binary;

namespace Marmot.Relay.Frames;

internal enum FrameOpcode : byte
{
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,

    /// <summary>Text with RSV1, the mark of a compressed message (RFC 7692, 6); for sending.</summary>
    DeflatedText = 0x40 | Text,
}

internal enum FrameResult
{
    /// <summary>More bytes are needed.</summary>
    Incomplete,
    Complete,
    TooLarge,

    /// <summary>Breaks RFC 6455 or RFC 7692: reserved bits, no mask, a long or fragmented control frame, an unknown opcode.</summary>
    Violation,
}

/// <summary>One frame from a client, still masked (RFC 6455, 5.2).</summary>
internal readonly ref struct WebSocketFrame
{
    /// <summary>Longest header of a server frame.</summary>
    public const int MaxServerHeaderSize = 10;

    private const int MaxControlPayload = 125;
    private const int MaskSize = 4;

    public FrameOpcode Opcode { get; private init; }

    public bool IsFinal { get; private init; }

    /// <summary>RSV1: the message that starts here is compressed (RFC 7692, 6).</summary>
    public bool IsDeflated { get; private init; }

    /// <summary>Empty when the frame is too large.</summary>
    public ReadOnlySequence<byte> MaskedPayload { get; private init; }

    /// <summary>Bytes of the payload as the header says.</summary>
    public long Length { get; private init; }

    public uint Mask { get; private init; }

    /// <summary>Reads a frame at the start of <paramref name="source"/> and moves it past; needs the whole frame there. Of one that is too large only the
    /// header.</summary>
    /// <remarks>RSV1 may stand on the first frame of a message only, and only where permessage-deflate was agreed on.</remarks>
    public static FrameResult TryRead(ref ReadOnlySequence<byte> source, int maxPayload, out WebSocketFrame frame, bool deflates = false)
    {
        frame = default;
        Span<byte> header = stackalloc byte[14];
        var available = (int)Math.Min(source.Length, header.Length);
        source.Slice(0, available).CopyTo(header);
        if (available < 2)
        {
            return FrameResult.Incomplete;
        }

        // 1. Two fixed bytes: FIN, RSV1 to RSV3 and opcode; MASK and length.
        var opcode = (FrameOpcode)(header[0] & 0x0F);
        var final = (header[0] & 0x80) != 0;
        var deflated = (header[0] & 0x40) != 0;
        if ((header[0] & 0x30) != 0 || (deflated && !(deflates && opcode is FrameOpcode.Text or FrameOpcode.Binary)) || (header[1] & 0x80) == 0
            || opcode is not (<= FrameOpcode.Binary or (>= FrameOpcode.Close and <= FrameOpcode.Pong)))
        {
            return FrameResult.Violation;
        }

        // 2. The length, in its one of three forms.
        long length = header[1] & 0x7F;
        var size = 2;
        if (opcode >= FrameOpcode.Close && (!final || length > MaxControlPayload))
        {
            return FrameResult.Violation;
        }

        if (length >= 126)
        {
            size += length == 126 ? 2 : 8;
            if (available < size)
            {
                return FrameResult.Incomplete;
            }

            length = length == 126 ? BinaryPrimitives.ReadUInt16BigEndian(header[2..]) : BinaryPrimitives.ReadInt64BigEndian(header[2..]);
        }

        if (length < 0)
        {
            return FrameResult.Violation; // RFC 6455, 5.2: the most significant bit must be 0
        }

        // 3. The mask and the payload.
        var isTooLarge = length > maxPayload;
        var taken = size + MaskSize + (isTooLarge ? 0 : length);
        if (source.Length < taken)
        {
            return FrameResult.Incomplete;
        }

        frame = new WebSocketFrame
        {
            Opcode = opcode,
            IsFinal = final,
            IsDeflated = deflated,
            Mask = BinaryPrimitives.ReadUInt32LittleEndian(header[size..]),
            Length = length,
            MaskedPayload = source.Slice(size + MaskSize, isTooLarge ? 0 : length),
        };
        source = source.Slice(taken);
        return isTooLarge ? FrameResult.TooLarge : FrameResult.Complete;
    }

    /// <summary>Copies the payload unmasked.</summary>
    public void CopyTo(Span<byte> destination)
    {
        MaskedPayload.CopyTo(destination);
        Unmask(destination[..(int)MaskedPayload.Length], Mask);
    }

    /// <summary>Writes the header of an unmasked, final server frame.</summary>
    public static int WriteHeader(Span<byte> destination, FrameOpcode opcode, int length)
    {
        destination[0] = (byte)(0x80 | (byte)opcode);
        switch (length)
        {
            case < 126:
                destination[1] = (byte)length;
                return 2;
            case <= ushort.MaxValue:
                destination[1] = 126;
                BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)length);
                return 4;
            default:
                destination[1] = 127;
                BinaryPrimitives.WriteInt64BigEndian(destination[2..], length);
                return MaxServerHeaderSize;
        }
    }

    /// <summary>Unmasks a piece of a payload that begins <paramref name="offset"/> bytes into it.</summary>
    public static void Unmask(Span<byte> piece, uint mask, long offset) => Unmask(piece, uint.RotateRight(mask, (int)(offset % MaskSize) * 8));

    private static void Unmask(Span<byte> payload, uint mask)
    {
        var wide = ((ulong)mask << 32) | mask;
        while (payload.Length >= sizeof(ulong))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(payload, BinaryPrimitives.ReadUInt64LittleEndian(payload) ^ wide);
            payload = payload[sizeof(ulong)..];
        }

        for (var i = 0; i < payload.Length; i++)
        {
            payload[i] ^= (byte)(mask >> (8 * i));
        }
    }
}
