using System.Buffers.Binary;
using System.Numerics;

namespace Marmot.Relay.Storage.Log;

/// <summary>One record of the event log, little-endian, 8-byte aligned.</summary>
/// <remarks>
/// 0 magic u32 | 4 state u8 | 5 flags u8 | 6 zero u16 | 8 length u32 | 12 CRC-32C u32 | 16 arrival u64 | 24 event JSON | zeros to a multiple of 8.
/// The checksum covers flags, length, arrival and JSON, not the state: erasing turns the state first and then zeroes the JSON, so that a
/// reader that copied while it happened sees the new state afterwards and throws its copy away.
/// </remarks>
internal static class LogRecord
{
    public const int HeaderSize = 24;
    public const byte Live = 1;
    public const byte Erased = 2;

    /// <summary>Flag: a kind 62 that named this relay.</summary>
    public const byte VanishesHere = 1;

    /// <summary>Flag: was written before its signature was checked, alone and at the end of the log. Says nothing once another record follows.</summary>
    public const byte Unchecked = 2;

    private const uint Magic = 0x31_45_52_4D; // "MRE1"
    private const int StateOffset = 4;

    public static int SizeOf(int jsonLength) => (HeaderSize + jsonLength + 7) & ~7;

    public static void Write(Span<byte> destination, ulong arrival, byte flags, ReadOnlySpan<byte> json)
    {
        destination.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(destination, Magic);
        destination[StateOffset] = Live;
        destination[5] = flags;
        BinaryPrimitives.WriteInt32LittleEndian(destination[8..], json.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[12..], Checksum(arrival, flags, json));
        BinaryPrimitives.WriteUInt64LittleEndian(destination[16..], arrival);
        json.CopyTo(destination[HeaderSize..]);
    }

    /// <summary>Reads a header; false at the end of the log and on a torn or damaged record.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out ulong arrival, out byte flags, out int length, out bool erased)
    {
        arrival = 0;
        flags = 0;
        length = 0;
        erased = false;
        if (source.Length < HeaderSize || BinaryPrimitives.ReadUInt32LittleEndian(source) != Magic)
        {
            return false;
        }

        erased = source[StateOffset] == Erased;
        flags = source[5];
        length = BinaryPrimitives.ReadInt32LittleEndian(source[8..]);
        arrival = BinaryPrimitives.ReadUInt64LittleEndian(source[16..]);
        return length >= 0 && length <= source.Length - HeaderSize
            && (erased || (source[StateOffset] == Live
                && BinaryPrimitives.ReadUInt32LittleEndian(source[12..]) == Checksum(arrival, flags, source.Slice(HeaderSize, length))));
    }

    public static bool IsErased(ReadOnlySpan<byte> source) => source[StateOffset] != Live;

    /// <summary>Where the state byte of a record at <paramref name="position"/> stands.</summary>
    public static long StatePosition(long position) => position + StateOffset;

    private static uint Checksum(ulong arrival, byte flags, ReadOnlySpan<byte> json)
    {
        var crc = BitOperations.Crc32C(BitOperations.Crc32C(0xFFFFFFFF, arrival), ((ulong)flags << 32) | (uint)json.Length);
        while (json.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(json));
            json = json[sizeof(ulong)..];
        }

        foreach (var b in json)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}
