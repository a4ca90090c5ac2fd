using System.Buffers.Binary;
using Marmot.Protocol.Encoding;

namespace Marmot.Relay.Storage.Index;

/// <summary>Key layouts of the index, big-endian so that byte order is answer order.</summary>
/// <remarks>
/// Every list key ends in <c>order</c>: 5 bytes of inverted <c>created_at</c> and the first 8 of the id, so that a forward walk is newest
/// first with ties by lowest id (NIP-01). Keys are shortened to 16 bytes; a read checks the whole value, in the entry, the header or the event.
/// <code>
/// event    arrival u64 (integer key)          header, see StoredHeader
/// id       id16                               arrival8
/// time     order13                            arrival8
/// kind     kind2 order13                      arrival8
/// author   key16 kind2 order13                arrival8
/// tag      letter1 value16 order13            arrival8 kind2 rest17 (see TagKey)
/// slot     address16                          arrival8 (replaceable, addressable)
/// expiry   seconds5 arrival8                  -
/// deleted  'e' id16 key16 | 'a' address16 | 'v' key16    created_at8
/// erase    arrival8                           position8 length4
/// meta     name                               value
/// </code>
/// </remarks>
internal static class IndexKeys
{
    public const int OrderSize = 13;
    public const int ShortSize = 16;
    public const int KindKeySize = 2 + OrderSize;
    public const int AuthorKeySize = ShortSize + 2 + OrderSize;
    public const int TagKeySize = TagKey.Size + OrderSize;
    public const int TagRestOffset = 8 + 2;
    public const int TagValueSize = TagRestOffset + TagKey.RestSize;
    public const int DeletedEventSize = 1 + ShortSize + ShortSize;
    public const int DeletedSlotSize = 1 + ShortSize;

    private const long MaxTime = 0xFF_FFFF_FFFF; // 5 bytes: the year 36812

    public static void WriteOrder(Span<byte> destination, long createdAt, in Bytes32 id)
    {
        WriteTime(destination, InvertTime(createdAt));
        id.Span[..8].CopyTo(destination[5..]);
    }

    /// <summary>The first possible order of a second: nothing newer comes at or after it.</summary>
    public static void WriteOrderFrom(Span<byte> destination, long newest)
    {
        WriteTime(destination, InvertTime(newest));
        destination.Slice(5, 8).Clear();
    }

    public static long ReadTime(ReadOnlySpan<byte> order) =>
        MaxTime - (((long)order[0] << 32) | BinaryPrimitives.ReadUInt32BigEndian(order[1..]));

    public static void WriteKind(Span<byte> destination, int kind) => BinaryPrimitives.WriteUInt16BigEndian(destination, (ushort)kind);

    public static void WriteExpiry(Span<byte> destination, long seconds, ulong arrival)
    {
        WriteTime(destination, Math.Min(seconds, MaxTime));
        BinaryPrimitives.WriteUInt64BigEndian(destination[5..], arrival);
    }

    public static long ReadExpiry(ReadOnlySpan<byte> key) => ((long)key[0] << 32) | BinaryPrimitives.ReadUInt32BigEndian(key[1..]);

    public static void WriteDeletedEvent(Span<byte> destination, in Bytes32 id, in Bytes32 by)
    {
        destination[0] = (byte)'e';
        id.Span[..ShortSize].CopyTo(destination[1..]);
        by.Span[..ShortSize].CopyTo(destination[(1 + ShortSize)..]);
    }

    public static void WriteDeletedSlot(Span<byte> destination, UInt128 address)
    {
        destination[0] = (byte)'a';
        BinaryPrimitives.WriteUInt128BigEndian(destination[1..], address);
    }

    public static void WriteVanished(Span<byte> destination, ReadOnlySpan<byte> key)
    {
        destination[0] = (byte)'v';
        key[..ShortSize].CopyTo(destination[1..]);
    }

    private static long InvertTime(long createdAt) => MaxTime - Math.Clamp(createdAt, 0, MaxTime);

    private static void WriteTime(Span<byte> destination, long value)
    {
        destination[0] = (byte)(value >> 32);
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], (uint)value);
    }
}
