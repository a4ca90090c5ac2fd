using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Marmot.Hosting.Cluster;

/// <summary>What stands before each message: the sender and its count on the channel, so that a listener notices what it missed.</summary>
internal static class BusFrame
{
    /// <summary>sender u64, number u64, both big-endian.</summary>
    public const int HeaderSize = 16;

    /// <summary>A sender's name for as long as it runs.</summary>
    public static ulong NewSender() => BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(ulong)));

    public static byte[] Write(ulong sender, ulong number, ReadOnlySpan<byte> message)
    {
        var frame = new byte[HeaderSize + message.Length];
        BinaryPrimitives.WriteUInt64BigEndian(frame, sender);
        BinaryPrimitives.WriteUInt64BigEndian(frame.AsSpan(8), number);
        message.CopyTo(frame.AsSpan(HeaderSize));
        return frame;
    }
}
