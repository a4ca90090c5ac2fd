using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Messages;

/// <summary>GroupContext (RFC 9420, 8.1): what all members agree on in an epoch. Immutable; its bytes are kept.</summary>
internal sealed class GroupContext : IWireValue
{
    public required CipherSuite Suite { get; init; }
    public required byte[] GroupId { get; init; }
    public required ulong Epoch { get; init; }
    public required byte[] TreeHash { get; init; }
    public required byte[] ConfirmedTranscriptHash { get; init; }
    public required Extension[] Extensions { get; init; }

    private byte[]? _encoded;
    private ContextRules? _rules;
    public byte[] Encoded => _encoded ??= TlsWriter.Encode(this);

    /// <summary>What these extensions ask of every leaf.</summary>
    public ContextRules Rules => _rules ??= new ContextRules(Extensions);

    public static GroupContext Read(ref TlsReader reader)
    {
        MlsException.ThrowIf(reader.ReadUInt16() != 1, MlsError.UnsupportedVersion);
        return new GroupContext
        {
            Suite = CipherSuite.Get(reader.ReadUInt16()),
            GroupId = reader.ReadBytes(),
            Epoch = reader.ReadUInt64(),
            TreeHash = reader.ReadBytes(),
            ConfirmedTranscriptHash = reader.ReadBytes(),
            Extensions = Extension.ReadList(ref reader),
        };
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(1);
        writer.WriteUInt16(Suite.Id);
        writer.WriteOpaque(GroupId);
        writer.WriteUInt64(Epoch);
        writer.WriteOpaque(TreeHash);
        writer.WriteOpaque(ConfirmedTranscriptHash);
        writer.WriteVector(Extensions);
    }

    public GroupContext With(ulong epoch, byte[] treeHash, byte[] confirmedTranscriptHash, Extension[] extensions) => new()
    {
        Suite = Suite,
        GroupId = GroupId,
        Epoch = epoch,
        TreeHash = treeHash,
        ConfirmedTranscriptHash = confirmedTranscriptHash,
        Extensions = extensions,
        _rules = ReferenceEquals(extensions, Extensions) ? _rules : null,
    };
}

/// <summary>GroupInfo (RFC 9420, 12.4.3): what a joiner must know. Signed by a member.</summary>
public sealed class GroupInfo : IWireValue
{
    internal GroupContext Context { get; init; } = null!;
    /// <summary>Extensions, such as the ratchet tree and the external public key.</summary>
    public required Extension[] Extensions { get; init; }
    internal byte[] ConfirmationTag { get; init; } = [];
    /// <summary>Leaf index of the signer.</summary>
    public required uint Signer { get; init; }
    internal byte[] Signature { get; init; } = [];

    /// <summary>The group.</summary>
    public ReadOnlyMemory<byte> GroupId => Context.GroupId;

    /// <summary>The epoch.</summary>
    public ulong Epoch => Context.Epoch;

    /// <summary>The extensions of the group context.</summary>
    public IReadOnlyList<Extension> GroupContextExtensions => Context.Extensions;

    private byte[]? _unsigned;
    private byte[] Unsigned => _unsigned ??= EncodeUnsigned();

    internal int Size => Unsigned.Length + TlsWriter.OpaqueSize(Signature.Length);

    internal static GroupInfo Read(ref TlsReader reader)
    {
        var start = reader.Rest;
        return new()
        {
            Context = GroupContext.Read(ref reader),
            Extensions = Extension.ReadList(ref reader),
            ConfirmationTag = reader.ReadBytes(),
            Signer = reader.ReadUInt32(),
            _unsigned = start[..^reader.Remaining].ToArray(),
            Signature = reader.ReadBytes(),
        };
    }

    private byte[] EncodeUnsigned()
    {
        var writer = new TlsWriter(512 + Extensions.Sum(e => e.Data.Length));
        Context.Write(writer);
        writer.WriteVector(Extensions);
        writer.WriteOpaque(ConfirmationTag);
        writer.WriteUInt32(Signer);
        return writer.ToArray();
    }

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteFixed(Unsigned);
        writer.WriteOpaque(Signature);
    }

    internal GroupInfo Signed(SecretBytes signatureKey)
        => new()
        {
            Context = Context,
            Extensions = Extensions,
            ConfirmationTag = ConfirmationTag,
            Signer = Signer,
            _unsigned = Unsigned,
            Signature = Context.Suite.SignWithLabel(signatureKey, "GroupInfoTBS"u8, Unsigned),
        };

    internal bool HasValidSignature(ReadOnlySpan<byte> publicKey) => Context.Suite.VerifyWithLabel(publicKey, "GroupInfoTBS"u8, Unsigned, Signature);
}

/// <summary>GroupSecrets (RFC 9420, 12.4.3.1): what a Welcome hides for one joiner.</summary>
internal sealed record GroupSecrets(SecretBytes JoinerSecret, SecretBytes? PathSecret, PreSharedKeyId[] Psks) : IWireValue, IDisposable
{
    public static GroupSecrets Read(ref TlsReader reader) =>
        new(reader.ReadSecret(), reader.ReadPresence() ? reader.ReadSecret() : null, PreSharedKeyId.ReadList(ref reader));

    public void Dispose()
    {
        JoinerSecret.Dispose();
        PathSecret?.Dispose();
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(JoinerSecret);
        writer.WriteByte(PathSecret is null ? (byte)0 : (byte)1);
        if (PathSecret is not null) writer.WriteOpaque(PathSecret);
        writer.WriteVector(Psks);
    }
}

internal sealed record EncryptedGroupSecrets(byte[] NewMember, HpkeCiphertext Secrets) : IWireValue
{
    public static EncryptedGroupSecrets Read(ref TlsReader reader) => new(reader.ReadBytes(), HpkeCiphertext.Read(ref reader));

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(NewMember);
        Secrets.Write(writer);
    }
}

/// <summary>Welcome (RFC 9420, 12.4.3.1).</summary>
internal sealed record Welcome(ushort CipherSuite, EncryptedGroupSecrets[] Secrets, byte[] EncryptedGroupInfo) : IWireValue
{
    public static Welcome Read(ref TlsReader reader)
    {
        var suite = reader.ReadUInt16();
        return new Welcome(suite, reader.ReadList(EncryptedGroupSecrets.Read, MaxCount.Leaves), reader.ReadBytes());
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(CipherSuite);
        writer.WriteVector(Secrets);
        writer.WriteOpaque(EncryptedGroupInfo);
    }
}
