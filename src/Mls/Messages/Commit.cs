using Marmot.Mls.Codec;

namespace Marmot.Mls.Messages;

/// <summary>A proposal in a commit: by value, or by the hash of a message sent before (RFC 9420, 12.4).</summary>
internal sealed record ProposalOrRef(Proposal? Proposal, byte[]? Reference) : IWireValue
{
    public static ProposalOrRef Read(ref TlsReader reader) => reader.ReadByte() switch
    {
        1 => new ProposalOrRef(Proposal.Read(ref reader), null),
        2 => new ProposalOrRef(null, reader.ReadBytes()),
        _ => throw new MlsException(MlsError.Malformed, "ProposalOrRef"),
    };

    public void Write(TlsWriter writer)
    {
        writer.WriteByte(Proposal is not null ? (byte)1 : (byte)2);
        if (Proposal is not null) Proposal.Write(writer);
        else writer.WriteOpaque(Reference);
    }
}

/// <summary>HPKECiphertext (RFC 9420, 7.6).</summary>
internal sealed record HpkeCiphertext(byte[] KemOutput, byte[] Ciphertext) : IWireValue
{
    public static HpkeCiphertext Read(ref TlsReader reader) => new(reader.ReadBytes(), reader.ReadBytes());

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(KemOutput);
        writer.WriteOpaque(Ciphertext);
    }
}

internal sealed record UpdatePathNode(byte[] EncryptionKey, HpkeCiphertext[] EncryptedPathSecret) : IWireValue
{
    public static UpdatePathNode Read(ref TlsReader reader) => new(reader.ReadBytes(), reader.ReadList(HpkeCiphertext.Read, MaxCount.Leaves));

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(EncryptionKey);
        writer.WriteVector(EncryptedPathSecret);
    }
}

/// <summary>UpdatePath (RFC 9420, 7.6).</summary>
internal sealed record UpdatePath(LeafNode Leaf, UpdatePathNode[] Nodes) : IWireValue
{
    public static UpdatePath Read(ref TlsReader reader) => new(LeafNode.Read(ref reader), reader.ReadList(UpdatePathNode.Read, MaxCount.PathNodes));

    public void Write(TlsWriter writer)
    {
        Leaf.Write(writer);
        writer.WriteVector(Nodes);
    }
}

/// <summary>Commit (RFC 9420, 12.4).</summary>
internal sealed record Commit(ProposalOrRef[] Proposals, UpdatePath? Path) : IWireValue
{
    public static Commit Read(ref TlsReader reader)
        => new(reader.ReadList(ProposalOrRef.Read, MaxCount.Proposals), reader.ReadPresence() ? UpdatePath.Read(ref reader) : null);

    public void Write(TlsWriter writer)
    {
        writer.WriteVector(Proposals);
        writer.WriteOptional(Path);
    }
}
