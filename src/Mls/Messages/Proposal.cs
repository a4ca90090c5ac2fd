using Marmot.Mls.Codec;

namespace Marmot.Mls.Messages;

/// <summary>Proposal type numbers (RFC 9420, 17.4).</summary>
public static class ProposalType
{
    /// <summary>add.</summary>
    public const ushort Add = 1;
    /// <summary>update.</summary>
    public const ushort Update = 2;
    /// <summary>remove.</summary>
    public const ushort Remove = 3;
    /// <summary>psk.</summary>
    public const ushort PreSharedKey = 4;
    /// <summary>reinit.</summary>
    public const ushort ReInit = 5;
    /// <summary>external_init.</summary>
    public const ushort ExternalInit = 6;
    /// <summary>group_context_extensions.</summary>
    public const ushort GroupContextExtensions = 7;
    /// <summary>app_data_update (draft-ietf-mls-extensions, 4.7).</summary>
    public const ushort AppDataUpdate = 8;
    /// <summary>app_ephemeral (draft-ietf-mls-extensions, 4.8).</summary>
    public const ushort AppEphemeral = 9;
    /// <summary>self_remove (draft-ietf-mls-extensions, Marmot MIP-03): no body.</summary>
    public const ushort SelfRemove = 0x000a;

    internal static bool IsDefault(ushort type) => type is >= 1 and <= 7;
}

/// <summary>A proposal (RFC 9420, 12.1). Immutable.</summary>
public abstract record Proposal : IWireValue
{
    /// <summary>The proposal type.</summary>
    public abstract ushort Type { get; }

    /// <summary>Appends what follows the type.</summary>
    internal abstract void WriteBody(TlsWriter writer);

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(Type);
        WriteBody(writer);
    }

    /// <summary>True when a commit with it must carry an update path (RFC 9420, 12.4, and the SelfRemove of the extensions draft).</summary>
    internal bool NeedsPath =>
        Type is ProposalType.Update or ProposalType.Remove or ProposalType.ExternalInit or ProposalType.GroupContextExtensions or ProposalType.SelfRemove;

    internal static Proposal Read(ref TlsReader reader)
    {
        var type = reader.ReadUInt16();
        return type switch
        {
            ProposalType.Add => new AddProposal(KeyPackage.Read(ref reader)),
            ProposalType.Update => new UpdateProposal(LeafNode.Read(ref reader)),
            ProposalType.Remove => new RemoveProposal(reader.ReadUInt32()),
            ProposalType.PreSharedKey => new PreSharedKeyProposal(PreSharedKeyId.Read(ref reader)),
            ProposalType.ReInit => new ReInitProposal(reader.ReadBytes(), reader.ReadUInt16(), reader.ReadUInt16(), Extension.ReadList(ref reader)),
            ProposalType.ExternalInit => new ExternalInitProposal(reader.ReadBytes()),
            ProposalType.GroupContextExtensions => new GroupContextExtensionsProposal(Extension.ReadList(ref reader)),
            ProposalType.AppDataUpdate => AppDataUpdateProposal.ReadBody(ref reader),
            ProposalType.AppEphemeral => new AppEphemeralProposal(reader.ReadUInt16(), reader.ReadBytes()),
            ProposalType.SelfRemove => new SelfRemoveProposal(),
            // Unknown types are carried as one opaque vector, the way other libraries encode custom proposals.
            _ => new CustomProposal(type, reader.ReadBytes()),
        };
    }
}

/// <summary>Adds a client (12.1.1).</summary>
/// <param name="KeyPackage">The client's key package.</param>
public sealed record AddProposal(KeyPackage KeyPackage) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.Add;
    internal override void WriteBody(TlsWriter writer) => KeyPackage.Write(writer);
}

/// <summary>Replaces the sender's leaf (12.1.2).</summary>
/// <param name="Leaf">The new leaf.</param>
public sealed record UpdateProposal(LeafNode Leaf) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.Update;
    internal override void WriteBody(TlsWriter writer) => Leaf.Write(writer);
}

/// <summary>Removes a member (12.1.3).</summary>
/// <param name="Removed">Leaf index.</param>
public sealed record RemoveProposal(uint Removed) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.Remove;
    internal override void WriteBody(TlsWriter writer) => writer.WriteUInt32(Removed);
}

/// <summary>Mixes a pre-shared key into the next epoch (12.1.4).</summary>
/// <param name="Psk">Which key.</param>
public sealed record PreSharedKeyProposal(PreSharedKeyId Psk) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.PreSharedKey;
    internal override void WriteBody(TlsWriter writer) => Psk.Write(writer);
}

/// <summary>Closes the group in favour of a new one with these parameters (12.1.5).</summary>
public sealed record ReInitProposal(byte[] GroupId, ushort Version, ushort CipherSuite, Extension[] Extensions) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.ReInit;

    internal override void WriteBody(TlsWriter writer)
    {
        writer.WriteOpaque(GroupId);
        writer.WriteUInt16(Version);
        writer.WriteUInt16(CipherSuite);
        writer.WriteVector(Extensions);
    }
}

/// <summary>Lets someone outside derive the next init secret (12.1.6).</summary>
/// <param name="KemOutput">The HPKE encapsulation.</param>
public sealed record ExternalInitProposal(byte[] KemOutput) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.ExternalInit;
    internal override void WriteBody(TlsWriter writer) => writer.WriteOpaque(KemOutput);
}

/// <summary>Replaces all extensions of the group context (12.1.7).</summary>
/// <param name="Extensions">The whole new list.</param>
public sealed record GroupContextExtensionsProposal(Extension[] Extensions) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.GroupContextExtensions;
    internal override void WriteBody(TlsWriter writer) => writer.WriteVector(Extensions);
}

/// <summary>The sender asks to leave; another member commits it (Marmot MIP-03). Nothing follows the type.</summary>
public sealed record SelfRemoveProposal : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.SelfRemove;
    internal override void WriteBody(TlsWriter writer) { }
}

/// <summary>
/// Changes the state that one component keeps in the group context's dictionary (draft-ietf-mls-extensions, 4.7). Needs no path. What an update means is the
/// component's business: <c>GroupRules.UpdateComponent</c>; without it the update is the new state.
/// </summary>
/// <param name="ComponentId">Whose state.</param>
/// <param name="Update">What the component gets; null removes its state.</param>
public sealed record AppDataUpdateProposal(ushort ComponentId, byte[]? Update) : Proposal
{
    private const byte OperationUpdate = 1;
    private const byte OperationRemove = 2;

    /// <inheritdoc/>
    public override ushort Type => ProposalType.AppDataUpdate;

    internal static AppDataUpdateProposal ReadBody(ref TlsReader reader)
    {
        var component = reader.ReadUInt16();
        return reader.ReadByte() switch
        {
            OperationUpdate => new AppDataUpdateProposal(component, reader.ReadBytes()),
            OperationRemove => new AppDataUpdateProposal(component, null),
            _ => throw new MlsException(MlsError.Malformed, "AppDataUpdateOperation"),
        };
    }

    internal override void WriteBody(TlsWriter writer)
    {
        writer.WriteUInt16(ComponentId);
        writer.WriteByte(Update is null ? OperationRemove : OperationUpdate);
        if (Update is not null) writer.WriteOpaque(Update);
    }
}

/// <summary>Data of one component that goes with a commit and changes nothing (draft-ietf-mls-extensions, 4.8). Needs no path; look at
/// <c>StagedCommit.Proposals</c>.</summary>
/// <param name="ComponentId">Whose data.</param>
/// <param name="Data">The data.</param>
public sealed record AppEphemeralProposal(ushort ComponentId, byte[] Data) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => ProposalType.AppEphemeral;

    internal override void WriteBody(TlsWriter writer)
    {
        writer.WriteUInt16(ComponentId);
        writer.WriteOpaque(Data);
    }
}

/// <summary>A proposal of a type this library does not know, carried untouched.</summary>
/// <param name="CustomType">The type.</param>
/// <param name="Data">The content of the opaque vector.</param>
public sealed record CustomProposal(ushort CustomType, byte[] Data) : Proposal
{
    /// <inheritdoc/>
    public override ushort Type => CustomType;
    internal override void WriteBody(TlsWriter writer) => writer.WriteOpaque(Data);
}

/// <summary>What a resumption PSK is for (RFC 9420, 8.4).</summary>
public enum ResumptionUsage
{
    /// <summary>Not a valid value on the wire.</summary>
    None = 0,
    /// <summary>By the application.</summary>
    Application = 1,
    /// <summary>To reinitialise a group.</summary>
    ReInit = 2,
    /// <summary>To branch off a subgroup.</summary>
    Branch = 3,
}

/// <summary>PreSharedKeyID (RFC 9420, 8.4): an external key by name, or the resumption secret of a group and epoch.</summary>
public sealed record PreSharedKeyId : IWireValue
{
    /// <summary>True for an external PSK, false for a resumption PSK.</summary>
    public bool IsExternal { get; private init; }
    /// <summary>The external PSK's name.</summary>
    public byte[] Id { get; private init; } = [];
    /// <summary>What a resumption PSK is for.</summary>
    public ResumptionUsage Usage { get; private init; }
    /// <summary>The resumption PSK's group.</summary>
    public byte[] GroupId { get; private init; } = [];
    /// <summary>The resumption PSK's epoch.</summary>
    public ulong Epoch { get; private init; }
    /// <summary>Random, as long as the suite's hash.</summary>
    public byte[] Nonce { get; private init; } = [];

    /// <summary>An external PSK.</summary>
    public static PreSharedKeyId External(byte[] id, byte[] nonce) => new() { IsExternal = true, Id = id, Nonce = nonce };

    /// <summary>A resumption PSK.</summary>
    public static PreSharedKeyId Resumption(ResumptionUsage usage, byte[] groupId, ulong epoch, byte[] nonce)
        => new() { Usage = usage, GroupId = groupId, Epoch = epoch, Nonce = nonce };

    internal static PreSharedKeyId Read(ref TlsReader reader)
    {
        var type = reader.ReadByte();
        if (type == 1) return External(reader.ReadBytes(), reader.ReadBytes());
        MlsException.ThrowIf(type != 2, MlsError.Malformed);
        var usage = reader.ReadByte();
        MlsException.ThrowIf(usage is < 1 or > 3, MlsError.Malformed);
        return Resumption((ResumptionUsage)usage, reader.ReadBytes(), reader.ReadUInt64(), reader.ReadBytes());
    }

    internal static PreSharedKeyId[] ReadList(ref TlsReader reader) => reader.ReadList(Read, MaxCount.PreSharedKeys);

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteByte(IsExternal ? (byte)1 : (byte)2);
        if (IsExternal)
        {
            writer.WriteOpaque(Id);
        }
        else
        {
            writer.WriteByte((byte)Usage);
            writer.WriteOpaque(GroupId);
            writer.WriteUInt64(Epoch);
        }
        writer.WriteOpaque(Nonce);
    }

    /// <summary>Same id, nonce included: one key may be used twice under two nonces (RFC 9420, 8.4).</summary>
    internal static IEqualityComparer<PreSharedKeyId> ByContent { get; } = EqualityComparer<PreSharedKeyId>.Create(
        (a, b) => a!.IsExternal == b!.IsExternal && a.Usage == b.Usage && a.Epoch == b.Epoch && a.Id.AsSpan().SequenceEqual(b.Id)
            && a.GroupId.AsSpan().SequenceEqual(b.GroupId)
            && a.Nonce.AsSpan().SequenceEqual(b.Nonce),
        id =>
        {
            var hash = new HashCode();
            hash.AddBytes(id.Id);
            hash.AddBytes(id.GroupId);
            hash.AddBytes(id.Nonce);
            hash.Add(id.Epoch);
            return hash.ToHashCode();
        });
}
