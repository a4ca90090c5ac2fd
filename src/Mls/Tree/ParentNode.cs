using Marmot.Mls.Codec;

namespace Marmot.Mls.Tree;

/// <summary>A parent node of the ratchet tree (RFC 9420, 7.1). Immutable.</summary>
internal sealed class ParentNode : IWireValue
{
    public required byte[] EncryptionKey { get; init; }
    public required byte[] ParentHash { get; init; }
    public required uint[] UnmergedLeaves { get; init; }

    public static ParentNode Read(ref TlsReader reader) => new()
    {
        EncryptionKey = reader.ReadBytes(),
        ParentHash = reader.ReadBytes(),
        UnmergedLeaves = reader.ReadUInt32Vector(),
    };

    public void Write(TlsWriter writer) => Write(writer, UnmergedLeaves);

    public void Write(TlsWriter writer, ReadOnlySpan<uint> unmergedLeaves)
    {
        writer.WriteOpaque(EncryptionKey);
        writer.WriteOpaque(ParentHash);
        writer.WriteUInt32Vector(unmergedLeaves);
    }

    public ParentNode WithUnmerged(uint leaf) => new()
    {
        EncryptionKey = EncryptionKey,
        ParentHash = ParentHash,
        UnmergedLeaves = [.. UnmergedLeaves.Append(leaf).Order()],
    };
}
