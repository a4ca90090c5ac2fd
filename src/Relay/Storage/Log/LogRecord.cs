using System.Buffers.Binary;
using System.Numerics;

namespace Marmot.Relay.Storage.Log;

/// <summary>What the header of one record says.</summary>
/// <param name="HeaderSize">Bytes before the JSON: the format's version has decided it.</param>
/// <param name="State">One of <see cref="LogRecord.Live"/> and <see cref="LogRecord.Erased"/>, or damage.</param>
/// <param name="Flags">Flags of <see cref="LogRecord"/>.</param>
/// <param name="Length">JSON bytes.</param>
/// <param name="Checksum">CRC-32C of what follows the header.</param>
/// <param name="Arrival">Arrival number.</param>
/// <param name="DurableTo">Up to which position the log was flushed before this record was appended; null in version 1, which does not say.</param>
internal readonly record struct LogHeader(int HeaderSize, byte State, byte Flags, int Length, uint Checksum, ulong Arrival, long? DurableTo)
{
    /// <summary>Bytes of the whole record.</summary>
    public int Size => (HeaderSize + Length + 7) & ~7;

    /// <summary>True when a checksum vouches for what the header says: always but in erased records of version 1.</summary>
    public bool IsTrusted => HeaderSize == LogRecord.HeaderSize || State == LogRecord.Live;

    /// <summary>True for bytes that an interrupted write left between whole records; see <see cref="LogRecord.Gap"/>.</summary>
    public bool IsGap => (Flags & LogRecord.Gap) != 0;
}

/// <summary>One record of the event log, little-endian, 8-byte aligned.</summary>
/// <remarks>
/// <para>
/// Version 2: 0 magic u32 | 4 state u8 | 5 flags u8 | 6 zero u16 | 8 length u32 | 12 CRC-32C of the JSON u32 | 16 arrival u64 | 24 bytes before this
/// record that were not flushed yet when it was appended u32 | 28 CRC-32C u32 of bytes 0 to 27 without the state, and of the record's position u64 | 32 event
/// JSON | zeros to a multiple of 8. So a damaged JSON costs its own record only, and a record at another place than its own is none.
/// </para>
/// <para>
/// Version 1, which earlier programs wrote: a header of 24 bytes, its CRC-32C at 12 over flags, length, arrival and JSON. It is read, never written.
/// </para>
/// <para>
/// The state is not covered: erasing turns the state, waits for the disk, and zeroes the JSON then. So whatever part of that reaches the disk, the
/// record is either whole or known to be erased, and a reader that copied meanwhile sees the new state afterwards and throws its copy away.
/// </para>
/// <para>The search for records behind damage cannot be misled by an event's content: a header holds bytes below 0x20, which the JSON of an event never
/// does.</para>
/// </remarks>
internal static class LogRecord
{
    public const int HeaderSize = 32;
    public const byte Live = 1;
    public const byte Erased = 2;

    /// <summary>Flag: a kind 62 that named this relay.</summary>
    public const byte VanishesHere = 1;

    /// <summary>Flag: was written before its signature was checked, alone and at the end of the log. Says nothing once a later record was appended after a
    /// flush of this one.</summary>
    public const byte Deferred = 2;

    /// <summary>Flag: no event, but the remains of an interrupted write, which whole records follow. Always in the state <see cref="Erased"/>.</summary>
    public const byte Gap = 4;

    /// <summary>What every record of each version starts with: the rest of the search looks closer.</summary>
    public static ReadOnlySpan<byte> MagicStart => "MRE"u8;

    private const uint Magic1 = 0x31_45_52_4D; // "MRE1"
    private const uint Magic2 = 0x32_45_52_4D; // "MRE2"
    private const int HeaderSize1 = 24;
    private const int StateOffset = 4;

    public static int SizeOf(int jsonLength) => (HeaderSize + jsonLength + 7) & ~7;

    /// <summary>Writes a live record, or with <see cref="Gap"/> a header alone.</summary>
    /// <param name="destination">As many bytes as <see cref="SizeOf"/> says.</param>
    /// <param name="position">Where in the log it will stand.</param>
    /// <param name="durableTo">Up to where the log is flushed.</param>
    /// <param name="arrival">Arrival number.</param>
    /// <param name="flags">Flags.</param>
    /// <param name="json">The event.</param>
    public static void Write(Span<byte> destination, long position, long durableTo, ulong arrival, byte flags, ReadOnlySpan<byte> json)
    {
        destination.Clear();
        json.CopyTo(destination[HeaderSize..]);
        WriteHeader(destination, position, durableTo, arrival, Live, flags, json.Length, Checksum(uint.MaxValue, json));
    }

    /// <summary>Writes the header of a gap over the first bytes of what it covers.</summary>
    public static void WriteGap(Span<byte> destination, long position, int size) =>
        WriteHeader(destination, position, position, arrival: 0, Erased, Gap, size - HeaderSize, checksum: 0);

    /// <summary>Reads a header.</summary>
    /// <returns>False when there is none, or it is damaged. What follows it is not looked at, but for the JSON of version 1, which has but one
    /// checksum.</returns>
    public static bool TryReadHeader(ReadOnlySpan<byte> source, long position, out LogHeader header)
    {
        header = default;
        if (source.Length < HeaderSize1)
        {
            return false;
        }

        var magic = BinaryPrimitives.ReadUInt32LittleEndian(source);
        return magic == Magic2 ? TryRead2(source, position, out header) : magic == Magic1 && TryRead1(source, out header);
    }

    /// <summary>Whether the JSON of a record is what was written.</summary>
    public static bool IsWhole(in LogHeader header, ReadOnlySpan<byte> json) => header.HeaderSize == HeaderSize
        ? Checksum(uint.MaxValue, json) == header.Checksum
        : Checksum1(header.Arrival, header.Flags, json) == header.Checksum;

    /// <summary>Bytes before the JSON of the record that begins here, whatever else is wrong with it.</summary>
    public static int HeaderSizeAt(ReadOnlySpan<byte> source) => BinaryPrimitives.ReadUInt32LittleEndian(source) == Magic1 ? HeaderSize1 : HeaderSize;

    public static byte StateAt(ReadOnlySpan<byte> source) => source[StateOffset];

    /// <summary>Where the state byte of a record at <paramref name="position"/> stands.</summary>
    public static long StatePosition(long position) => position + StateOffset;

    private static void WriteHeader(Span<byte> destination, long position, long durableTo, ulong arrival, byte state, byte flags, int length, uint checksum)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(destination, Magic2);
        destination[StateOffset] = state;
        destination[5] = flags;
        destination[6] = destination[7] = 0;
        BinaryPrimitives.WriteInt32LittleEndian(destination[8..], length);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[12..], checksum);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[16..], arrival);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[24..], (uint)Math.Min(position - durableTo, uint.MaxValue));
        BinaryPrimitives.WriteUInt32LittleEndian(destination[28..], HeaderChecksum(destination, position));
    }

    private static bool TryRead2(ReadOnlySpan<byte> source, long position, out LogHeader header)
    {
        header = default;
        if (source.Length < HeaderSize || BinaryPrimitives.ReadUInt32LittleEndian(source[28..]) != HeaderChecksum(source, position))
        {
            return false;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(source[8..]);
        if (length < 0 || length > source.Length - HeaderSize)
        {
            return false;
        }

        header = new LogHeader(
            HeaderSize,
            source[StateOffset],
            source[5],
            length,
            BinaryPrimitives.ReadUInt32LittleEndian(source[12..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[16..]),
            position - BinaryPrimitives.ReadUInt32LittleEndian(source[24..]));
        return true;
    }

    // Nothing vouches for the length of an erased record of version 1 but that no record begins inside it, and what follows: the next record, or nothing.
    private static bool TryRead1(ReadOnlySpan<byte> source, out LogHeader header)
    {
        var length = BinaryPrimitives.ReadInt32LittleEndian(source[8..]);
        header = new LogHeader(
            HeaderSize1, source[StateOffset], source[5], length, BinaryPrimitives.ReadUInt32LittleEndian(source[12..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[16..]), DurableTo: null);
        if (length < 0 || length > source.Length - HeaderSize1)
        {
            return false;
        }

        if (header.State == Live)
        {
            return IsWhole(header, source.Slice(HeaderSize1, length));
        }

        if (header.State != Erased || HoldsMagic(source.Slice(HeaderSize1, length)))
        {
            return false;
        }

        var next = source[Math.Min(header.Size, source.Length)..];
        return (next.Length < HeaderSize1 || next.StartsWith(MagicStart) || !next[..HeaderSize1].ContainsAnyExcept((byte)0));
    }

    // Where a record can begin: the length is wrong and leads over others then.
    private static bool HoldsMagic(ReadOnlySpan<byte> json)
    {
        for (var at = json.IndexOf(MagicStart); at >= 0;)
        {
            if (at % 8 == 0)
            {
                return true;
            }

            var next = json[(at + 1)..].IndexOf(MagicStart);
            at = next < 0 ? -1 : at + 1 + next;
        }

        return false;
    }

    private static uint HeaderChecksum(ReadOnlySpan<byte> header, long position)
    {
        const ulong WithoutState = ~(0xFFUL << (8 * StateOffset));
        var crc = BitOperations.Crc32C(uint.MaxValue, BinaryPrimitives.ReadUInt64LittleEndian(header) & WithoutState);
        crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(header[8..]));
        crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(header[16..]));
        crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(header[24..]));
        return ~BitOperations.Crc32C(crc, (ulong)position);
    }

    private static uint Checksum1(ulong arrival, byte flags, ReadOnlySpan<byte> json) =>
        Checksum(BitOperations.Crc32C(BitOperations.Crc32C(uint.MaxValue, arrival), ((ulong)flags << 32) | (uint)json.Length), json);

    private static uint Checksum(uint crc, ReadOnlySpan<byte> json)
    {
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
