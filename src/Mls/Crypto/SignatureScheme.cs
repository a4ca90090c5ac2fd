using System.Numerics;
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

    /// <summary>False also for what is no public key.</summary>
    public abstract bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);

    /// <summary>True for the encoding of a point that <see cref="Verify"/> takes.</summary>
    public abstract bool IsPublicKey(ReadOnlySpan<byte> publicKey);

    /// <summary>Why a signature does not verify: the key is none, or the signature is not its.</summary>
    public MlsError Refusal(ReadOnlySpan<byte> publicKey) => IsPublicKey(publicKey) ? MlsError.BadSignature : MlsError.InvalidKey;
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

    /// <summary>Seed and public key, 64 bytes: the library's form, which spares a multiplication a signature. The public key is computed here, because signing
    /// with a wrong one gives the key away.</summary>
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

    /// <summary>
    /// A canonical encoding of a point on the curve whose order is not small: what the library's verification asks of a key (RFC 8032, 5.1.3 and 5.1.7). Slow;
    /// for keys that no signature comes with and to tell why one failed.
    /// </summary>
    public override bool IsPublicKey(ReadOnlySpan<byte> publicKey)
    {
        if (publicKey.Length != 32) return false;
        Span<byte> bytes = stackalloc byte[32];
        publicKey.CopyTo(bytes);
        bytes[31] &= 0x7f; // the sign of x
        var y = new BigInteger(bytes, isUnsigned: true);
        if (y >= Prime) return false;

        // x^2 = (y^2 - 1) / (d y^2 + 1) must be a square; the divisor is never zero.
        var ySquare = y * y % Prime;
        var xSquare = (ySquare - 1 + Prime) * Inverse(((D * ySquare) + 1) % Prime) % Prime;
        if (xSquare.IsZero) return false; // (0, 1) and (0, -1): order 1 and 2
        if (!BigInteger.ModPow(xSquare, (Prime - 1) / 2, Prime).IsOne) return false;
        if (y.IsZero) return false; // order 4, whichever sign

        // Order 8: doubling gives a point of order 4, which has y = 0. y(2P) = (y^2 + x^2) / (2 + x^2 - y^2), as -x^2 + y^2 = 1 + d x^2 y^2.
        return !((ySquare + xSquare) % Prime).IsZero;
    }

    private static readonly BigInteger Prime = BigInteger.Pow(2, 255) - 19;
    private static readonly BigInteger D = (Prime - 121665) * Inverse(121666) % Prime;

    private static BigInteger Inverse(BigInteger value) => BigInteger.ModPow(value, Prime - 2, Prime);
}

/// <summary>ECDSA over a NIST curve. References: RFC 9420, 5.1.2 (DER signatures, uncompressed points). Parameters: private key is the scalar in
/// big-endian.</summary>
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

    public override bool IsPublicKey(ReadOnlySpan<byte> publicKey) => NistKeys.IsPublic(curve, length, publicKey);
}
