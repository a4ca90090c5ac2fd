using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Platform.Native;

namespace Marmot.Mls.Crypto;

/// <summary>
/// A private key and its public key, for signatures or HPKE (RFC 9420, 5.1). Sizes: X25519 and Ed25519 32 and 32 bytes; P-256, P-384 and P-521 a scalar of 32,
/// 48 or 66 bytes and an uncompressed point of 65, 97 or 133. An ordinary array that the caller owns and wipes; nothing here prints it.
/// </summary>
public sealed record KeyPair(byte[] PrivateKey, byte[] PublicKey)
{
    /// <summary>Prints no key.</summary>
    public override string ToString() => nameof(KeyPair);

    internal void Wipe() => CryptographicOperations.ZeroMemory(PrivateKey);
}

/// <summary>A Diffie-Hellman group of HPKE. References: RFC 9180, 4.1 and 7.1.</summary>
internal abstract class Kem
{
    public abstract ushort Id { get; }
    public abstract HashAlgorithmName Hash { get; }
    public abstract int PrivateKeyLength { get; }

    /// <summary>Ndh: bytes of a raw shared secret.</summary>
    protected abstract int AgreementLength { get; }

    /// <summary>Raw shared secret; throws <see cref="MlsError.InvalidKey"/> on a bad or low-order point.</summary>
    protected abstract void Agree(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, Span<byte> shared);

    public abstract byte[] PublicKey(ReadOnlySpan<byte> privateKey);

    public abstract SecretKeyPair Derive(ReadOnlySpan<byte> ikm);

    /// <summary>Public-key validation of RFC 9180, 7.1.4: true for the encoding of a point that may be used.</summary>
    public abstract bool IsPublicKey(ReadOnlySpan<byte> publicKey);

    /// <summary>Refuses what is no public key of this group.</summary>
    public void CheckPublicKey(ReadOnlySpan<byte> publicKey) => MlsException.ThrowIf(!IsPublicKey(publicKey), MlsError.InvalidKey);

    /// <summary>Refuses what is no public key of this group and names the leaf it belongs to.</summary>
    public void CheckPublicKey(ReadOnlySpan<byte> publicKey, int leaf) => MlsException.ThrowIf(!IsPublicKey(publicKey), MlsError.InvalidKey, leaf);

    /// <summary>A random key pair.</summary>
    public virtual SecretKeyPair Generate()
    {
        Span<byte> ikm = stackalloc byte[Hkdf.MaxHashLength];
        ikm = ikm[..SecretLength];
        RandomNumberGenerator.Fill(ikm);
        var pair = Derive(ikm);
        CryptographicOperations.ZeroMemory(ikm);
        return pair;
    }

    /// <summary>Nsecret: bytes of the shared secret, one hash.</summary>
    public int SecretLength => Hkdf.HashLength(Hash);

    private byte[]? _suiteId;
    private byte[] SuiteId => _suiteId ??= [(byte)'K', (byte)'E', (byte)'M', (byte)(Id >> 8), (byte)Id];

    protected void LabeledExtract(ReadOnlySpan<byte> label, ReadOnlySpan<byte> ikm, Span<byte> output) =>
        HpkeLabels.Extract(Hash, SuiteId, default, label, ikm, output);

    protected void LabeledExpand(ReadOnlySpan<byte> prk, ReadOnlySpan<byte> label, ReadOnlySpan<byte> info, Span<byte> output)
        => HpkeLabels.Expand(Hash, SuiteId, prk, label, info, output);

    /// <summary>Encap of RFC 9180, 4.1: fills the shared secret and gives what the recipient needs.</summary>
    public byte[] Encapsulate(ReadOnlySpan<byte> publicKey, Span<byte> shared)
    {
        using var ephemeral = Generate();
        SharedSecret(ephemeral.PrivateKey, publicKey, ephemeral.PublicKey, publicKey, shared);
        return ephemeral.PublicKey;
    }

    /// <summary>Decap of RFC 9180, 4.1.</summary>
    public void Decapsulate(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> enc, Span<byte> shared)
        => SharedSecret(privateKey, enc, enc, publicKey, shared);

    /// <summary>Diffie-Hellman with the other side's key, then ExtractAndExpand of RFC 9180, 4.1.</summary>
    private void SharedSecret(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> theirs, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> publicKey, Span<byte> shared)
    {
        Span<byte> dh = stackalloc byte[MaxAgreementLength];
        dh = dh[..AgreementLength];
        Agree(privateKey, theirs, dh);
        Span<byte> prk = stackalloc byte[Hkdf.MaxHashLength];
        prk = prk[..SecretLength];
        Span<byte> context = stackalloc byte[2 * MaxPublicKeyLength];
        enc.CopyTo(context);
        publicKey.CopyTo(context[enc.Length..]);
        LabeledExtract("eae_prk"u8, dh, prk);
        LabeledExpand(prk, "shared_secret"u8, context[..(enc.Length + publicKey.Length)], shared);
        CryptographicOperations.ZeroMemory(prk);
        CryptographicOperations.ZeroMemory(dh);
    }

    private const int MaxAgreementLength = 66; // P-521
    private const int MaxPublicKeyLength = 1 + (2 * MaxAgreementLength); // 04, X, Y
}

/// <summary>DHKEM(X25519, HKDF-SHA256). References: RFC 9180, 7.1; RFC 7748. Parameters: keys of 32 bytes.</summary>
internal sealed class KemX25519 : Kem
{
    public override ushort Id => 0x0020;
    public override HashAlgorithmName Hash => HashAlgorithmName.SHA256;
    public override int PrivateKeyLength => 32;

    protected override int AgreementLength => 32;

    protected override void Agree(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, Span<byte> shared)
        => MlsException.ThrowIf(!Sodium.TryX25519(privateKey, publicKey, shared), MlsError.InvalidKey);

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey)
    {
        var publicKey = new byte[32];
        MlsException.ThrowIf(!Sodium.TryX25519PublicKey(privateKey, publicKey), MlsError.InvalidKey);
        return publicKey;
    }

    /// <summary>Any 32 bytes are a private key.</summary>
    public override SecretKeyPair Generate()
    {
        var privateKey = SecretBytes.Random(32);
        return new SecretKeyPair(privateKey, PublicKey(privateKey));
    }

    public override SecretKeyPair Derive(ReadOnlySpan<byte> ikm)
    {
        Span<byte> prk = stackalloc byte[32];
        var privateKey = new SecretBytes(32);
        LabeledExtract("dkp_prk"u8, ikm, prk);
        LabeledExpand(prk, "sk"u8, default, privateKey.Span);
        CryptographicOperations.ZeroMemory(prk);
        return new SecretKeyPair(privateKey, PublicKey(privateKey));
    }

    /// <summary>
    /// 32 bytes that are no point of low order. Every other 32 bytes are a public key (RFC 7748, 5 and 6.1): values from the prime upward count modulo it and
    /// the top bit is ignored, so both forms of a point are looked for.
    /// </summary>
    public override bool IsPublicKey(ReadOnlySpan<byte> publicKey)
    {
        if (publicKey.Length != 32) return false;
        Span<byte> masked = stackalloc byte[32];
        publicKey.CopyTo(masked);
        masked[31] &= 0x7f;
        for (var at = 0; at < LowOrder.Length; at += 32)
        {
            if (masked.SequenceEqual(LowOrder.Slice(at, 32))) return false;
        }
        return true;
    }

    // u-coordinates of the points of order 1, 2, 4 and 8 on the curve and its twist, little-endian: 0, 1, two of order 8, p - 1, and p, p + 1 for 0 and 1 in
    // their other form.
    private static ReadOnlySpan<byte> LowOrder =>
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
        0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
        0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ];
}

/// <summary>DHKEM over a NIST curve. References: RFC 9180, 7.1. Parameters: public keys uncompressed (04, X, Y), private keys a field element in
/// big-endian.</summary>
internal sealed class KemNist(ushort id, ECCurve curve, HashAlgorithmName hash, int length, byte topMask) : Kem
{
    public override ushort Id => id;
    public override HashAlgorithmName Hash => hash;
    public override int PrivateKeyLength => length;

    protected override int AgreementLength => length;

    protected override void Agree(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, Span<byte> shared)
    {
        try
        {
            using var theirs = ECDiffieHellman.Create(NistKeys.Public(curve, length, publicKey));
            using var theirKey = theirs.PublicKey;
            NistKeys.WithPrivate(curve, length, privateKey, parameters =>
            {
                using var mine = ECDiffieHellman.Create(parameters);
                return mine.DeriveRawSecretAgreement(theirKey);
            }, shared);
        }
        catch (CryptographicException)
        {
            throw new MlsException(MlsError.InvalidKey);
        }
    }

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey) => NistKeys.PublicKey(curve, length, privateKey);

    public override SecretKeyPair Derive(ReadOnlySpan<byte> ikm)
    {
        Span<byte> prk = stackalloc byte[Hkdf.MaxHashLength];
        prk = prk[..SecretLength];
        LabeledExtract("dkp_prk"u8, ikm, prk);
        for (var counter = 0; counter < 256; counter++)
        {
            var candidate = new SecretBytes(length);
            LabeledExpand(prk, "candidate"u8, [(byte)counter], candidate.Span);
            candidate.Span[0] &= topMask;
            try
            {
                return new SecretKeyPair(candidate, PublicKey(candidate));
            }
            catch (MlsException)
            {
                candidate.Dispose(); // zero or not below the order: the next candidate (RFC 9180, 7.1.3)
            }
        }
        throw new MlsException(MlsError.InvalidKey);
    }

    public override bool IsPublicKey(ReadOnlySpan<byte> publicKey) => NistKeys.IsPublic(curve, length, publicKey);
}

/// <summary>Bytes to and from the parameters of NIST curves.</summary>
internal static class NistKeys
{
    public static ECParameters Public(ECCurve curve, int length, ReadOnlySpan<byte> publicKey)
    {
        MlsException.ThrowIf(publicKey.Length != (2 * length) + 1 || publicKey[0] != 4, MlsError.InvalidKey);
        return new ECParameters { Curve = curve, Q = { X = publicKey.Slice(1, length).ToArray(), Y = publicKey[(length + 1)..].ToArray() } };
    }

    /// <summary>
    /// Uncompressed, both coordinates below the prime, on the curve, not the point at infinity (which has no uncompressed form): the import of the base class
    /// library checks the latter three on every system. These curves have cofactor 1, so every point is of the right order.
    /// </summary>
    public static bool IsPublic(ECCurve curve, int length, ReadOnlySpan<byte> publicKey)
    {
        if (publicKey.Length != (2 * length) + 1 || publicKey[0] != 4) return false;
        try
        {
            using var key = ECDiffieHellman.Create(Public(curve, length, publicKey));
            return true;
        }
        catch (CryptographicException)
        {
            return false;
        }
    }

    /// <summary>Does something with a private key in the library's form, which is wiped again, as is the result once it is copied.</summary>
    public static void WithPrivate(ECCurve curve, int length, ReadOnlySpan<byte> privateKey, Func<ECParameters, byte[]> use, Span<byte> result)
    {
        MlsException.ThrowIf(privateKey.Length > length || privateKey.Length == 0, MlsError.InvalidKey);
        var d = GC.AllocateArray<byte>(length, pinned: true);
        privateKey.CopyTo(d.AsSpan(length - privateKey.Length));
        try
        {
            var value = use(new ECParameters { Curve = curve, D = d });
            value.CopyTo(result);
            CryptographicOperations.ZeroMemory(value);
        }
        catch (CryptographicException)
        {
            throw new MlsException(MlsError.InvalidKey);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(d);
        }
    }

    public static byte[] PublicKey(ECCurve curve, int length, ReadOnlySpan<byte> privateKey)
    {
        var publicKey = new byte[1 + (2 * length)];
        WithPrivate(curve, length, privateKey, parameters =>
        {
            using var key = ECDiffieHellman.Create(parameters);
            var q = key.ExportParameters(false).Q;
            return [4, .. q.X!, .. q.Y!];
        }, publicKey);
        return publicKey;
    }
}
