using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Native;

namespace Marmot.Mls.Crypto;

/// <summary>A signature algorithm of a cipher suite.</summary>
internal abstract class SignatureScheme
{
    public abstract KeyPair Generate();
    public abstract byte[] PublicKey(ReadOnlySpan<byte> privateKey);
    public abstract byte[] Sign(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> message);
    public abstract bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);
}

/// <summary>Ed25519. References: RFC 8032. Parameters: private key is the 32-byte seed, public key 32 bytes, signature 64 bytes.</summary>
internal sealed class Ed25519 : SignatureScheme
{
    public override KeyPair Generate()
    {
        var seed = RandomNumberGenerator.GetBytes(32);
        return new KeyPair(seed, PublicKey(seed));
    }

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey)
    {
        var publicKey = new byte[32];
        Span<byte> secret = stackalloc byte[64];
        Sodium.Ed25519FromSeed(privateKey, publicKey, secret);
        CryptographicOperations.ZeroMemory(secret);
        return publicKey;
    }

    public override byte[] Sign(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> message)
    {
        Span<byte> publicKey = stackalloc byte[32];
        Span<byte> secret = stackalloc byte[64];
        Sodium.Ed25519FromSeed(privateKey, publicKey, secret);
        var signature = new byte[64];
        Sodium.Ed25519Sign(secret, message, signature);
        CryptographicOperations.ZeroMemory(secret);
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
        return new KeyPair(parameters.D!, [4, .. parameters.Q.X!, .. parameters.Q.Y!]);
    }

    public override byte[] PublicKey(ReadOnlySpan<byte> privateKey) => NistKeys.PublicKey(curve, length, privateKey);

    public override byte[] Sign(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> message)
    {
        try
        {
            using var key = ECDsa.Create(NistKeys.Private(curve, length, privateKey));
            return key.SignData(message, hash, DSASignatureFormat.Rfc3279DerSequence);
        }
        catch (CryptographicException)
        {
            throw new MlsException(MlsError.InvalidKey);
        }
    }

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
