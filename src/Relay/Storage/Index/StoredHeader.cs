using System.Buffers.Binary;
using Marmot.Protocol.Encoding;

namespace Marmot.Relay.Storage.Index;

/// <summary>What the index knows of an event: id 32, author 32, created_at 8, expiration 8, position 8, length 4, kind 2; little-endian.</summary>
internal readonly record struct StoredHeader(
    Bytes32 Id, Bytes32 PublicKey, long CreatedAt, long Expiration, long Position, int Length, int Kind)
{
    public const int Size = 94;

    public void Write(Span<byte> destination)
    {
        Id.Span.CopyTo(destination);
        PublicKey.Span.CopyTo(destination[32..]);
        BinaryPrimitives.WriteInt64LittleEndian(destination[64..], CreatedAt);
        BinaryPrimitives.WriteInt64LittleEndian(destination[72..], Expiration);
        BinaryPrimitives.WriteInt64LittleEndian(destination[80..], Position);
        BinaryPrimitives.WriteInt32LittleEndian(destination[88..], Length);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[92..], (ushort)Kind);
    }

    public static StoredHeader Read(ReadOnlySpan<byte> source) => new(
        new Bytes32(source[..32]),
        new Bytes32(source.Slice(32, 32)),
        BinaryPrimitives.ReadInt64LittleEndian(source[64..]),
        BinaryPrimitives.ReadInt64LittleEndian(source[72..]),
        BinaryPrimitives.ReadInt64LittleEndian(source[80..]),
        BinaryPrimitives.ReadInt32LittleEndian(source[88..]),
        BinaryPrimitives.ReadUInt16LittleEndian(source[92..]));
}
