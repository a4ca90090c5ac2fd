using System.Security.Cryptography;
using Marmot.Mls.Codec;

namespace Marmot.Mls.Crypto;

/// <summary>
/// One cipher suite of RFC 9420, 17.1, and the labelled functions of RFC 9420, 5. Suites 1, 2, 3, 5 and 7 exist; 4 and 6 (X448, Ed448) are refused by name.
/// Thread-safe. Bad keys throw <see cref="MlsException"/> with <see cref="MlsError.InvalidKey"/>.
/// </summary>
public sealed partial class CipherSuite
{
    private static readonly KemX25519 X25519 = new();
    private static readonly Ed25519 Ed = new();

    /// <summary>1: MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, the one Marmot uses.</summary>
    public static CipherSuite X25519Aes128Ed25519 { get; } = new(1, X25519, HashAlgorithmName.SHA256, 1, 16, Ed);

    private static readonly CipherSuite P256 = new(2, new KemNist(0x0010, ECCurve.NamedCurves.nistP256, HashAlgorithmName.SHA256, 32, 0xff),
        HashAlgorithmName.SHA256, 1, 16, new EcdsaNist(ECCurve.NamedCurves.nistP256, HashAlgorithmName.SHA256, 32));

    private static readonly CipherSuite ChaCha = new(3, X25519, HashAlgorithmName.SHA256, 3, 32, Ed);

    private static readonly CipherSuite P521 = new(5, new KemNist(0x0012, ECCurve.NamedCurves.nistP521, HashAlgorithmName.SHA512, 66, 0x01),
        HashAlgorithmName.SHA512, 2, 32, new EcdsaNist(ECCurve.NamedCurves.nistP521, HashAlgorithmName.SHA512, 66));

    private static readonly CipherSuite P384 = new(7, new KemNist(0x0011, ECCurve.NamedCurves.nistP384, HashAlgorithmName.SHA384, 48, 0xff),
        HashAlgorithmName.SHA384, 2, 32, new EcdsaNist(ECCurve.NamedCurves.nistP384, HashAlgorithmName.SHA384, 48));

    private readonly HashAlgorithmName _hash;
    private readonly ushort _aead;

    private CipherSuite(ushort id, Kem kem, HashAlgorithmName hash, ushort aead, int keyLength, SignatureScheme signature)
    {
        (Id, Kem, _hash, _aead, KeyLength, Signature) = (id, kem, hash, aead, keyLength, signature);
        HashLength = Hkdf.HashLength(hash);
        var kdf = (byte)(HashLength == 32 ? 1 : HashLength == 48 ? 2 : 3);
        _hpkeId = [.. "HPKE"u8, (byte)(kem.Id >> 8), (byte)kem.Id, 0, kdf, 0, (byte)aead];
        _pskIdHash = new byte[HashLength];
        HpkeLabels.Extract(hash, _hpkeId, default, "psk_id_hash"u8, default, _pskIdHash);
    }

    /// <summary>The IANA number.</summary>
    public ushort Id { get; }

    /// <summary>Nh: bytes of a hash and of every secret.</summary>
    public int HashLength { get; }

    internal int KeyLength { get; }
    internal Kem Kem { get; }
    internal SignatureScheme Signature { get; }
    internal const int NonceLength = 12;
    internal const int TagLength = 16;

    /// <summary>The suite with this number; throws <see cref="MlsError.UnsupportedCipherSuite"/> naming 4 and 6 and everything unknown.</summary>
    public static CipherSuite Get(ushort id) => id switch
    {
        1 => X25519Aes128Ed25519,
        2 => P256,
        3 => ChaCha,
        5 => P521,
        7 => P384,
        4 or 6 => throw new MlsException(MlsError.UnsupportedCipherSuite, "X448 and Ed448 (suites 4 and 6) are not built in"),
        _ => throw new MlsException(MlsError.UnsupportedCipherSuite, $"suite {id}"),
    };

    /// <summary>True for 1, 2, 3, 5, 7.</summary>
    public static bool IsSupported(ushort id) => id is 1 or 2 or 3 or 5 or 7;

    /// <summary>A new signature key pair of this suite; the caller owns the private key.</summary>
    public KeyPair GenerateSignatureKeyPair() => Signature.Generate();

    /// <summary>A new HPKE key pair of this suite; the caller owns the private key.</summary>
    public KeyPair GenerateKeyPair() => Kem.Generate().Release();

    internal byte[] Hash(ReadOnlySpan<byte> data) => Hkdf.Hash(_hash, data);
    internal byte[] Mac(ReadOnlySpan<byte> key, ReadOnlySpan<byte> data) => Hkdf.Mac(_hash, key, data);

    internal SecretBytes Extract(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> ikm)
    {
        var prk = new SecretBytes(HashLength);
        Hkdf.Extract(_hash, salt, ikm, prk.Span);
        return prk;
    }

    internal byte[] Seal(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext)
    {
        var output = new byte[plaintext.Length + TagLength];
        var body = output.AsSpan(0, plaintext.Length);
        var tag = output.AsSpan(plaintext.Length);
        if (_aead == 3)
        {
            using var cipher = new ChaCha20Poly1305(key);
            cipher.Encrypt(nonce, plaintext, body, tag, aad);
        }
        else
        {
            using var cipher = new AesGcm(key, TagLength);
            cipher.Encrypt(nonce, plaintext, body, tag, aad);
        }
        return output;
    }

    /// <summary>The plaintext; throws <see cref="MlsError.DecryptionFailed"/>.</summary>
    internal byte[] Open(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext)
    {
        MlsException.ThrowIf(ciphertext.Length < TagLength, MlsError.DecryptionFailed);
        var plaintext = new byte[ciphertext.Length - TagLength];
        MlsException.ThrowIf(!TryOpen(key, nonce, aad, ciphertext, plaintext), MlsError.DecryptionFailed);
        return plaintext;
    }

    /// <summary>Fills <paramref name="plaintext"/>, which is a tag shorter than the ciphertext; false when it does not authenticate.</summary>
    internal bool TryOpen(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext, Span<byte> plaintext)
    {
        var body = ciphertext[..^TagLength];
        var tag = ciphertext[^TagLength..];
        try
        {
            if (_aead == 3)
            {
                using var cipher = new ChaCha20Poly1305(key);
                cipher.Decrypt(nonce, body, tag, plaintext, aad);
            }
            else
            {
                using var cipher = new AesGcm(key, TagLength);
                cipher.Decrypt(nonce, body, tag, plaintext, aad);
            }
            return true;
        }
        catch (AuthenticationTagMismatchException)
        {
            return false; // the base class library knows no other way
        }
    }
}
