using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Platform.Native;

namespace Marmot.Mls.Crypto;

/// <summary>A signature algorithm of a cipher suite.</summary>
internal abstract class SignatureScheme
{
    public abstract KeyPair Generate();
    public abstract byte[] PublicKey(ReadOnlySpan<byte> privateKey);

    /// <summary>The form of a private key that <see cref="Sign"/> takes; a copy. Refuses what is no private key.</summary>
    public abstract SecretBytes Prepare(ReadOnlySpan<byte> privateKey);

    /// <summary>The private key as it was given to <see cref="Prepare"/>.</summary>
    public abstract ReadOnlySpan<byte> PrivateKeyOf(SecretBytes prepared);

    public abstract byte[] Sign(SecretBytes prepared, ReadOnlySpan<byte> message);
    public abstract bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);
}

/// <summary>Ed25519. References: RFC 8032. Parameters: private key is the 32-byte seed, public key 32 bytes, signature 64 bytes.</summary>
internal sealed class Ed25519 : SignatureScheme
{
    private const int SeedLength = 32;

    public override KeyPair Generate()
    {
        var seed = RandomNumberGenerator.GetBytes(32);
        return new KeyPair(seed, PublicKey(seed));
    }

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey)
    {
        var publicKey = new byte[32];
        Span<byte> secret = stackalloc byte[64];
        MlsException.ThrowIf(!Sodium.TryEd25519FromSeed(privateKey, publicKey, secret), MlsError.InvalidKey);
        CryptographicOperations.ZeroMemory(secret);
        return publicKey;
    }

    /// <summary>Seed and public key, 64 bytes: the library's form, which spares a multiplication a signature. The public key is computed here, because signing with a wrong one gives the key away.</summary>
    public override SecretBytes Prepare(ReadOnlySpan<byte> privateKey)
    {
        MlsException.ThrowIf(privateKey.Length != SeedLength, MlsError.InvalidKey);
        Span<byte> publicKey = stackalloc byte[32];
        var prepared = new SecretBytes(64);
        MlsException.ThrowIf(!Sodium.TryEd25519FromSeed(privateKey, publicKey, prepared.Span), MlsError.InvalidKey);
        return prepared;
    }

    public override ReadOnlySpan<byte> PrivateKeyOf(SecretBytes prepared) => prepared.Span[..SeedLength];

    public override byte[] Sign(SecretBytes prepared, ReadOnlySpan<byte> message)
    {
        var signature = new byte[64];
        Sodium.Ed25519Sign(prepared, message, signature);
        return signature;
    }

    public override bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        => Sodium.Ed25519Verify(publicKey, message, signature);
}

/// <summary>ECDSA over a NIST curve. References: RFC 9420, 5.1.2 (DER signatures, uncompressed points). Parameters: private key is the scalar in big-endian.</summary>
internal sealed class EcdsaNist(ECCurve curve, HashAlgorithmName hash, int length) : SignatureScheme
{
    public override KeyPair Generate()
    {
        using var key = ECDsa.Create(curve);
        var parameters = key.ExportParameters(true);
        return new KeyPair(parameters.D!, [4, .. parameters.Q.X!, .. parameters.Q.Y!]); // D belongs to the caller now
    }

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey) => NistKeys.PublicKey(curve, length, privateKey);

    public override SecretBytes Prepare(ReadOnlySpan<byte> privateKey) => SecretBytes.Copy(privateKey);

    public override ReadOnlySpan<byte> PrivateKeyOf(SecretBytes prepared) => prepared;

    public override byte[] Sign(SecretBytes prepared, ReadOnlySpan<byte> message)
    {
        Span<byte> digest = stackalloc byte[Hkdf.MaxHashLength];
        digest = digest[..CryptographicOperations.HashData(hash, message, digest)];
        var digestBytes = digest.ToArray();
        var room = new byte[MaxSignatureLength];
        var size = 0;
        NistKeys.WithPrivate(curve, length, prepared, parameters =>
        {
            using var key = ECDsa.Create(parameters);
            var signature = key.SignHash(digestBytes, DSASignatureFormat.Rfc3279DerSequence);
            size = signature.Length;
            return signature;
        }, room);
        return room[..size];
    }

    private const int MaxSignatureLength = 144; // P-521 in DER: 3 + 2 * (2 + 67) + 2

    public override bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey.Length != (2 * length) + 1 || publicKey[0] != 4) return false;
        try
        {
            using var key = ECDsa.Create(NistKeys.Public(curve, length, publicKey));
            return key.VerifyData(message, signature, hash, DSASignatureFormat.Rfc3279DerSequence);
        }
        catch (CryptographicException)
        {
            return false;
        }
    }
}
