using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Index;

/// <summary>One claim on disk: a fixed slot that never crosses a 512-byte sector, so that writing and erasing it are atomic on ordinary disks.</summary>
/// <remarks>
/// Layout, little-endian: u32 CRC-32C of the rest, u8 mark (1), u8 type length, u16 zero, hash 32, owner 32, i64 size, i64 uploaded,
/// i64 expires (0 = never), type up to 127, u8 zero, mark 16, u64 sequence, i64 read (0 = not noted). Sum 4+1+1+2+32+32+8+8+8+127+1+16+8+8 = 256. A slot of
/// zeros is
/// free. Since a slot comes to the disk as a whole or not at all, one that is neither zeros nor right is damaged, never the remains of a crash. Of two slots
/// of one
/// claim the one with the larger sequence counts: the other was to be erased (0 in slots of older versions; among those the later end counts).
/// </remarks>
internal static class ClaimSlot
{
    public const int Size = 256;
    public const int MaxTypeLength = 127;
    private const byte Mark = 1;
    private const int TypeOffset = 96;
    private const int MarkOffset = 224;
    private const int MarkSize = 16;
    private const int SequenceOffset = 240;
    private const int ReadOffset = 248;

    public static void Write(in BlobClaim claim, ulong sequence, Span<byte> slot)
    {
        slot.Clear();
        slot[4] = Mark;
        slot[5] = (byte)Encoding.ASCII.GetBytes(claim.Type, slot.Slice(TypeOffset, MaxTypeLength));
        claim.Hash.Span.CopyTo(slot[8..]);
        claim.Owner.Span.CopyTo(slot[40..]);
        BinaryPrimitives.WriteInt64LittleEndian(slot[72..], claim.Size);
        BinaryPrimitives.WriteInt64LittleEndian(slot[80..], claim.UploadedAt);
        BinaryPrimitives.WriteInt64LittleEndian(slot[88..], claim.ExpiresAt ?? 0);
        claim.Mark.TryWriteBytes(slot[MarkOffset..]);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[SequenceOffset..], sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot[ReadOffset..], claim.ReadAt);
        BinaryPrimitives.WriteUInt32LittleEndian(slot, Checksum(slot[4..]));
    }

    public static bool TryRead(ReadOnlySpan<byte> slot, out BlobClaim claim, out ulong sequence)
    {
        claim = default;
        sequence = BinaryPrimitives.ReadUInt64LittleEndian(slot[SequenceOffset..]);
        if (slot[4] != Mark || slot[5] > MaxTypeLength || BinaryPrimitives.ReadUInt32LittleEndian(slot) != Checksum(slot[4..]))
        {
            return false;
        }

        var expires = BinaryPrimitives.ReadInt64LittleEndian(slot[88..]);
        claim = new BlobClaim(
            new Bytes32(slot.Slice(8, Bytes32.Size)),
            new Bytes32(slot.Slice(40, Bytes32.Size)),
            BinaryPrimitives.ReadInt64LittleEndian(slot[72..]),
            TypeNames.Intern(Encoding.ASCII.GetString(slot.Slice(TypeOffset, slot[5]))),
            BinaryPrimitives.ReadInt64LittleEndian(slot[80..]),
            expires == 0 ? null : expires,
            new Guid(slot.Slice(MarkOffset, MarkSize)),
            BinaryPrimitives.ReadInt64LittleEndian(slot[ReadOffset..]));
        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var word in MemoryMarshal.Cast<byte, uint>(bytes))
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        return ~crc;
    }

    /// <summary>A million blobs share a handful of types; so do their strings.</summary>
    private static class TypeNames
    {
        private static readonly System.Collections.Concurrent.ConcurrentDictionary<string, string> Names = new(StringComparer.Ordinal);

        public static string Intern(string name) => Names.Count < 4096 ? Names.GetOrAdd(name, name) : Names.GetValueOrDefault(name, name);
    }
}
