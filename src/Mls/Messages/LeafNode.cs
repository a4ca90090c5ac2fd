using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Messages;

/// <summary>What a client supports (RFC 9420, 7.2): type numbers, at most 1,024 a list. Default types need not be listed. Immutable, thread-safe.</summary>
public sealed record Capabilities(ushort[] Versions, ushort[] CipherSuites, ushort[] Extensions, ushort[] Proposals, ushort[] Credentials) : IWireValue
{
    /// <summary>Version mls10, the suites of this library, basic credentials, and these extension and proposal types.</summary>
    public static Capabilities Of(ushort[] extensions, ushort[] proposals) => new([1], [1, 2, 3, 5, 7], extensions, proposals, [CredentialType.Basic]);

    internal static Capabilities Read(ref TlsReader reader) =>
        new(Types(ref reader), Types(ref reader), Types(ref reader), Types(ref reader), Types(ref reader));

    private static ushort[] Types(ref TlsReader reader) => reader.ReadUInt16Vector(MaxCount.CapabilityTypes);

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16Vector(Versions);
        writer.WriteUInt16Vector(CipherSuites);
        writer.WriteUInt16Vector(Extensions);
        writer.WriteUInt16Vector(Proposals);
        writer.WriteUInt16Vector(Credentials);
    }

    /// <summary>True when the extension type is a default one or listed.</summary>
    public bool SupportsExtension(ushort type) => ExtensionType.IsDefault(type) || Extensions.AsSpan().Contains(type);

    /// <summary>True when the proposal type is a default one or listed.</summary>
    public bool SupportsProposal(ushort type) => ProposalType.IsDefault(type) || Proposals.AsSpan().Contains(type);

    /// <summary>True when the credential type is listed.</summary>
    public bool SupportsCredential(ushort type) => Credentials.AsSpan().Contains(type);

    internal bool Covers(RequiredCapabilities required)
        => required.Extensions.All(SupportsExtension) && required.Proposals.All(SupportsProposal) && required.Credentials.All(SupportsCredential);
}

/// <summary>Where a leaf comes from (RFC 9420, 7.2).</summary>
public enum LeafNodeSource
{
    /// <summary>Not a valid value on the wire.</summary>
    None = 0,
    /// <summary>From a key package: has a lifetime.</summary>
    KeyPackage = 1,
    /// <summary>From an Update proposal.</summary>
    Update = 2,
    /// <summary>From a commit's path: has a parent hash.</summary>
    Commit = 3,
}

/// <summary>Seconds since 1970 between which a key package's leaf is valid, both ends included (RFC 9420, 7.2).</summary>
public readonly record struct Lifetime(ulong NotBefore, ulong NotAfter)
{
    /// <summary>Never expires.</summary>
    public static Lifetime Unlimited => new(0, ulong.MaxValue);

    /// <summary>True when the time lies inside.</summary>
    public bool Contains(DateTimeOffset time) => time.ToUnixTimeSeconds() is var t and >= 0 && (ulong)t >= NotBefore && (ulong)t <= NotAfter;
}

/// <summary>A leaf of the ratchet tree: one member (RFC 9420, 7.2). Immutable, thread-safe; the bytes it was read from are kept, so hashing and verifying do
/// not encode again. Arrays are owned by it: do not change them.</summary>
public sealed class LeafNode : IWireValue
{
    /// <summary>HPKE public key.</summary>
    public required byte[] EncryptionKey { get; init; }
    /// <summary>Signature public key.</summary>
    public required byte[] SignatureKey { get; init; }
    /// <summary>Who this is.</summary>
    public required Credential Credential { get; init; }
    /// <summary>What the client supports.</summary>
    public required Capabilities Capabilities { get; init; }
    /// <summary>Where the leaf comes from.</summary>
    public required LeafNodeSource Source { get; init; }
    /// <summary>Only for <see cref="LeafNodeSource.KeyPackage"/>.</summary>
    public Lifetime Lifetime { get; init; }
    /// <summary>Only for <see cref="LeafNodeSource.Commit"/>; otherwise empty.</summary>
    public byte[] ParentHash { get; init; } = [];
    /// <summary>The leaf's own extensions.</summary>
    public required Extension[] Extensions { get; init; }
    /// <summary>Signature over LeafNodeTBS.</summary>
    public byte[] Signature { get; init; } = [];

    private byte[]? _encoded;

    internal byte[] Encoded => _encoded ??= TlsWriter.Encode(new Body(this));

    internal static LeafNode Read(ref TlsReader reader)
    {
        var start = reader.Rest;
        var encryptionKey = reader.ReadBytes();
        var signatureKey = reader.ReadBytes();
        var credential = Credential.Read(ref reader);
        var capabilities = Capabilities.Read(ref reader);
        var source = (LeafNodeSource)reader.ReadByte();
        Lifetime lifetime = default;
        byte[] parentHash = [];
        switch (source)
        {
            case LeafNodeSource.KeyPackage: lifetime = new Lifetime(reader.ReadUInt64(), reader.ReadUInt64()); break;
            case LeafNodeSource.Update: break;
            case LeafNodeSource.Commit: parentHash = reader.ReadBytes(); break;
            default: throw new MlsException(MlsError.Malformed, "leaf source");
        }
        return new LeafNode
        {
            EncryptionKey = encryptionKey,
            SignatureKey = signatureKey,
            Credential = credential,
            Capabilities = capabilities,
            Source = source,
            Lifetime = lifetime,
            ParentHash = parentHash,
            Extensions = Extension.ReadList(ref reader),
            Signature = reader.ReadBytes(),
            _encoded = start[..^reader.Remaining].ToArray(),
        };
    }

    /// <inheritdoc/>
    public void Write(TlsWriter writer) => writer.WriteFixed(Encoded);

    private void WriteUnsigned(TlsWriter writer)
    {
        writer.WriteOpaque(EncryptionKey);
        writer.WriteOpaque(SignatureKey);
        Credential.Write(writer);
        Capabilities.Write(writer);
        writer.WriteByte((byte)Source);
        if (Source == LeafNodeSource.KeyPackage)
        {
            writer.WriteUInt64(Lifetime.NotBefore);
            writer.WriteUInt64(Lifetime.NotAfter);
        }
        else if (Source == LeafNodeSource.Commit)
        {
            writer.WriteOpaque(ParentHash);
        }
        writer.WriteVector(Extensions);
    }

    private sealed class Body(LeafNode leaf) : IWireValue
    {
        public void Write(TlsWriter writer)
        {
            leaf.WriteUnsigned(writer);
            writer.WriteOpaque(leaf.Signature);
        }
    }

    /// <summary>LeafNodeTBS: group id and leaf index are signed too, except in a key package.</summary>
    private byte[] ToBeSigned(ReadOnlySpan<byte> groupId, int leafIndex)
    {
        var writer = new TlsWriter();
        WriteUnsigned(writer);
        if (Source != LeafNodeSource.KeyPackage)
        {
            writer.WriteOpaque(groupId);
            writer.WriteUInt32((uint)leafIndex);
        }
        return writer.ToArray();
    }

    internal LeafNode Signed(CipherSuite suite, SecretBytes signatureKey, ReadOnlySpan<byte> groupId, int leafIndex)
        => new()
        {
            EncryptionKey = EncryptionKey,
            SignatureKey = SignatureKey,
            Credential = Credential,
            Capabilities = Capabilities,
            Source = Source,
            Lifetime = Lifetime,
            ParentHash = ParentHash,
            Extensions = Extensions,
            Signature = suite.SignWithLabel(signatureKey, "LeafNodeTBS"u8, ToBeSigned(groupId, leafIndex)),
        };

    private volatile VerifiedPlace? _verified; // this leaf does not change, so what verified once need not be verified again

    private sealed record VerifiedPlace(byte[] GroupId, int LeafIndex);

    /// <summary>Refuses a signature that does not verify, naming the leaf; a signature key that is none is told apart. One that has verified for this place is
    /// not verified again.</summary>
    internal void CheckSignature(CipherSuite suite, byte[] groupId, int leafIndex)
    {
        if (_verified is { } known && (Source == LeafNodeSource.KeyPackage || (known.LeafIndex == leafIndex && known.GroupId.AsSpan().SequenceEqual(groupId))))
        {
            return;
        }

        if (!HasValidSignature(suite, groupId, leafIndex))
        {
            throw new MlsException(new MlsRefusal(suite.Signature.Refusal(SignatureKey), leafIndex < 0 ? null : leafIndex));
        }

        _verified = new VerifiedPlace(groupId, leafIndex);
    }

    /// <summary>The same for a leaf that is in no tree yet.</summary>
    internal void CheckSignature(CipherSuite suite) => CheckSignature(suite, [], -1);

    internal bool HasValidSignature(CipherSuite suite, ReadOnlySpan<byte> groupId, int leafIndex)
    {
        // What was signed is a prefix of the bytes that are kept.
        var unsigned = Encoded.AsSpan(0, Encoded.Length - TlsWriter.OpaqueSize(Signature.Length));
        if (Source == LeafNodeSource.KeyPackage) return suite.VerifyWithLabel(SignatureKey, "LeafNodeTBS"u8, unsigned, Signature);
        var writer = new TlsWriter(Encoded.Length + groupId.Length + 16);
        writer.WriteFixed(unsigned);
        writer.WriteOpaque(groupId);
        writer.WriteUInt32((uint)leafIndex);
        return suite.VerifyWithLabel(SignatureKey, "LeafNodeTBS"u8, writer.Written, Signature);
    }
}
