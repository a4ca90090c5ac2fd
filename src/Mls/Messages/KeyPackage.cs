using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Messages;

/// <summary>A client's invitation to be added (RFC 9420, 10). Immutable, thread-safe. Arrays are owned by it: do not change them.</summary>
public sealed class KeyPackage : IWireValue
{
    /// <summary>Protocol version, 1 for mls10.</summary>
    public required ushort Version { get; init; }
    /// <summary>Cipher suite number.</summary>
    public required ushort CipherSuite { get; init; }
    /// <summary>HPKE key the Welcome is encrypted to; used once, unless the key package is a last resort.</summary>
    public required byte[] InitKey { get; init; }
    /// <summary>The leaf the client will have.</summary>
    public required LeafNode Leaf { get; init; }
    /// <summary>Extensions of the key package.</summary>
    public required Extension[] Extensions { get; init; }
    /// <summary>Signature by the leaf's key over KeyPackageTBS.</summary>
    public byte[] Signature { get; init; } = [];

    /// <summary>
    /// True when it may be used more than once: the last_resort extension, or the component last_resort_key_package in the dictionary
    /// (draft-ietf-mls-extensions). A dictionary that cannot be read holds no mark; <see cref="Verify"/> refuses it.
    /// </summary>
    public bool IsLastResort => Extension.Find(Extensions, ExtensionType.LastResort) is not null
        || (AppDataDictionary.TryFind(Extensions, out var dictionary) && dictionary.Contains(ComponentId.LastResortKeyPackage));

    private byte[]? _encoded;
    private byte[] Encoded => _encoded ??= Encode();
    private volatile bool _isSigned; // has verified once: the bytes do not change any more

    internal static KeyPackage Read(ref TlsReader reader)
    {
        var start = reader.Rest;
        return new()
        {
            Version = reader.ReadUInt16(),
            CipherSuite = reader.ReadUInt16(),
            InitKey = reader.ReadBytes(),
            Leaf = LeafNode.Read(ref reader),
            Extensions = Extension.ReadList(ref reader),
            Signature = reader.ReadBytes(),
            _encoded = start[..^reader.Remaining].ToArray(),
        };
    }

    /// <summary>Reads a bare KeyPackage (as Marmot publishes it), refusing trailing bytes. The signature is not checked yet: <see cref="Verify"/>.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out KeyPackage? keyPackage, out MlsError error)
    {
        try
        {
            var reader = new TlsReader(bytes);
            keyPackage = Read(ref reader);
            reader.ExpectEnd();
            error = MlsError.None;
            return true;
        }
        catch (MlsException refusal)
        {
            (keyPackage, error) = (null, refusal.Error);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Write(TlsWriter writer) => writer.WriteFixed(Encoded);

    private byte[] Encode()
    {
        var writer = new TlsWriter(512);
        WriteUnsigned(writer);
        writer.WriteOpaque(Signature);
        return writer.ToArray();
    }

    private void WriteUnsigned(TlsWriter writer)
    {
        writer.WriteUInt16(Version);
        writer.WriteUInt16(CipherSuite);
        writer.WriteOpaque(InitKey);
        Leaf.Write(writer);
        writer.WriteVector(Extensions);
    }

    /// <summary>The bare wire form.</summary>
    public byte[] ToBytes() => [.. Encoded];

    /// <summary>KeyPackageRef (RFC 9420, 5.2); Nh bytes. Throws <see cref="MlsError.UnsupportedCipherSuite"/> for a suite that is not built in.</summary>
    public byte[] Reference() => Crypto.CipherSuite.Get(CipherSuite).RefHash("MLS 1.0 KeyPackage Reference"u8, Encoded);

    /// <summary>Version, suite, both signatures, leaf source, keys and the leaf against itself (RFC 9420, 10.1). A time also checks the lifetime. Signatures
    /// that have verified once are not verified again.</summary>
    public MlsError Verify(DateTimeOffset? now)
    {
        try
        {
            CheckLeaf(now);
            CheckOuter();
            return MlsError.None;
        }
        catch (MlsException refusal)
        {
            return refusal.Error;
        }
    }

    /// <summary>What <see cref="Verify"/> looks at in the leaf; one signature.</summary>
    internal void CheckLeaf(DateTimeOffset? now)
    {
        var suite = Crypto.CipherSuite.Get(CipherSuite);
        MlsException.ThrowIf(Leaf.Source != LeafNodeSource.KeyPackage, MlsError.WrongLeafSource);
        MlsException.ThrowIf(now is { } time && !Leaf.Lifetime.Contains(time), MlsError.LifetimeExpired);
        suite.Kem.CheckPublicKey(Leaf.EncryptionKey);
        Tree.LeafRules.CheckOwn(Leaf);
        Leaf.CheckSignature(suite);
    }

    /// <summary>What <see cref="Verify"/> looks at around the leaf; one signature.</summary>
    internal void CheckOuter()
    {
        MlsException.ThrowIf(Version != 1, MlsError.UnsupportedVersion);
        var suite = Crypto.CipherSuite.Get(CipherSuite);
        MlsException.ThrowIf(InitKey.AsSpan().SequenceEqual(Leaf.EncryptionKey), MlsError.InitKeyReused);
        suite.Kem.CheckPublicKey(InitKey);
        Extension.RefuseDuplicates(Extensions);
        _ = AppDataDictionary.Find(Extensions);
        if (_isSigned) return;
        var signed = Encoded.AsSpan(0, Encoded.Length - TlsWriter.OpaqueSize(Signature.Length));
        MlsException.ThrowIf(!suite.VerifyWithLabel(Leaf.SignatureKey, "KeyPackageTBS"u8, signed, Signature), MlsError.BadSignature);
        _isSigned = true;
    }

    internal KeyPackage Signed(CipherSuite suite, SecretBytes signatureKey)
    {
        var writer = new TlsWriter();
        WriteUnsigned(writer);
        return new KeyPackage
        {
            Version = Version,
            CipherSuite = CipherSuite,
            InitKey = InitKey,
            Leaf = Leaf,
            Extensions = Extensions,
            Signature = suite.SignWithLabel(signatureKey, "KeyPackageTBS"u8, writer.Written),
        };
    }
}

/// <summary>A key package with its private keys, as its owner keeps it until a Welcome comes (RFC 9420, 10). Dispose wipes the keys; using them afterwards
/// throws. Not thread-safe.</summary>
public sealed class KeyPackageSecrets : IDisposable, IWireValue
{
    /// <summary>The public part.</summary>
    public KeyPackage KeyPackage { get; }
    internal SecretBytes InitPrivateKey { get; }
    internal SecretBytes EncryptionPrivateKey { get; }
    internal SecretBytes SignaturePrivateKey { get; } // prepared for signing

    internal KeyPackageSecrets(KeyPackage keyPackage, SecretBytes init, SecretBytes encryption, SecretBytes signature)
        => (KeyPackage, InitPrivateKey, EncryptionPrivateKey, SignaturePrivateKey) = (keyPackage, init, encryption, signature);

    /// <summary>Makes and signs a key package with fresh keys (RFC 9420, 10).</summary>
    /// <param name="suite">Suite of the key package.</param>
    /// <param name="signatureKey">The client's own; copied.</param>
    /// <param name="credential">Who the client is.</param>
    /// <param name="capabilities">What it supports; must list the credential type and the types of all extensions, the leaf's and the key package's.</param>
    /// <param name="lifetime">Seconds since 1970, both ends included.</param>
    /// <param name="keyPackageExtensions">Extensions of the key package, such as last_resort.</param>
    /// <param name="leafExtensions">Extensions of the leaf.</param>
    /// <exception cref="MlsException">
    /// <see cref="MlsError.InvalidKey"/> when the private key is not one of the suite, <see cref="MlsError.MissingCapability"/> when something is not listed,
    /// <see cref="MlsError.DuplicateExtension"/> when an extension type occurs twice.
    /// </exception>
    public static KeyPackageSecrets Create(CipherSuite suite, KeyPair signatureKey, Credential credential, Capabilities capabilities, Lifetime lifetime,
        Extension[]? keyPackageExtensions = null, Extension[]? leafExtensions = null)
    {
        var signer = suite.Signature.Prepare(signatureKey.PrivateKey);
        var init = suite.Kem.Generate();
        var encryption = suite.Kem.Generate();
        var leaf = new LeafNode
        {
            EncryptionKey = encryption.PublicKey,
            SignatureKey = signatureKey.PublicKey,
            Credential = credential,
            Capabilities = capabilities,
            Source = LeafNodeSource.KeyPackage,
            Lifetime = lifetime,
            Extensions = leafExtensions ?? [],
        }.Signed(suite, signer, default, 0);
        var package = new KeyPackage { Version = 1, CipherSuite = suite.Id, InitKey = init.PublicKey, Leaf = leaf, Extensions = keyPackageExtensions ?? [] };
        Tree.LeafRules.CheckOwn(leaf);
        Extension.RefuseDuplicates(package.Extensions);
        foreach (var extension in package.Extensions) MlsException.ThrowIf(!capabilities.SupportsExtension(extension.Type), MlsError.MissingCapability);
        return new KeyPackageSecrets(package.Signed(suite, signer), init.PrivateKey, encryption.PrivateKey, signer);
    }

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        KeyPackage.Write(writer);
        writer.WriteOpaque(InitPrivateKey);
        writer.WriteOpaque(EncryptionPrivateKey);
        writer.WriteOpaque(Crypto.CipherSuite.Get(KeyPackage.CipherSuite).Signature.PrivateKeyOf(SignaturePrivateKey));
    }

    /// <summary>All of it, private keys included, for the owner's encrypted store; the array is the caller's to wipe.</summary>
    public byte[] ToBytes()
    {
        var writer = TlsWriter.ForSecrets(1024);
        Write(writer);
        return writer.TakeAndWipe();
    }

    /// <summary>Reads what <see cref="ToBytes"/> wrote; false for anything else.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out KeyPackageSecrets? secrets)
    {
        secrets = null;
        try
        {
            var reader = new TlsReader(bytes);
            var package = KeyPackage.Read(ref reader);
            var init = reader.ReadSecret();
            var encryption = reader.ReadSecret();
            var signature = reader.ReadOpaque();
            reader.ExpectEnd();
            secrets = new KeyPackageSecrets(package, init, encryption, Crypto.CipherSuite.Get(package.CipherSuite).Signature.Prepare(signature));
            return true;
        }
        catch (MlsException)
        {
            secrets = null;
            return false;
        }
    }

    /// <summary>Wipes the private keys.</summary>
    public void Dispose()
    {
        InitPrivateKey.Dispose();
        EncryptionPrivateKey.Dispose();
        SignaturePrivateKey.Dispose();
    }
}
