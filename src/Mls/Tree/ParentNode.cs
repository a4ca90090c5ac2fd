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

    /// <summary>The same node with one more unmerged leaf, kept sorted.</summary>
    public ParentNode WithUnmerged(uint leaf)
    {
        var at = ~UnmergedLeaves.AsSpan().BinarySearch(leaf);
        if (at < 0) return this;
        return new()
        {
            EncryptionKey = EncryptionKey,
            ParentHash = ParentHash,
            UnmergedLeaves = [.. UnmergedLeaves.AsSpan(0, at), leaf, .. UnmergedLeaves.AsSpan(at)]
        };
    }
}
