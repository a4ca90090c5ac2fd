using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Marmot.Platform.Native;

/// <summary>libsodium (1.0.18 or later): ChaCha20 and its Poly1305 AEAD in their IETF forms, SipHash, HMAC-SHA256, X25519 and Ed25519.</summary>
/// <remarks>
/// References: RFC 8439, RFC 2104, RFC 7748, RFC 8032. Parameters: cipher key 32 bytes, nonce 12 bytes, tag 16 bytes, counter starting at 0 for the bare
/// cipher; curve keys 32 bytes, Ed25519 signature 64 bytes. Nothing here allocates; thread-safe.
/// </remarks>
public static unsafe partial class Sodium
{
    /// <summary>Length of a key in bytes.</summary>
    public const int KeySize = 32;

    /// <summary>Length of a nonce in bytes.</summary>
    public const int NonceSize = 12;

    /// <summary>Length of the Poly1305 tag in bytes.</summary>
    public const int TagSize = 16;

    /// <summary>Length of an X25519 key, of its shared secret, and of an Ed25519 seed or public key in bytes.</summary>
    public const int CurveKeySize = 32;

    /// <summary>Length of an Ed25519 secret key ready for signing in bytes: seed and public key.</summary>
    public const int Ed25519PreparedSize = 64;

    /// <summary>Length of an Ed25519 signature in bytes.</summary>
    public const int Ed25519SignatureSize = 64;

    static Sodium()
    {
        NativeLibraries.Register(typeof(NativeLibraries).Assembly);
        if (sodium_init() < 0)
        {
            throw new InvalidOperationException("libsodium could not be initialised");
        }

        if (crypto_auth_hmacsha256_statebytes() > (nuint)sizeof(HmacSha256State))
        {
            throw new InvalidOperationException("libsodium's HMAC state is larger than ours");
        }
    }

    /// <summary>Length of a SipHash key and of its long output in bytes.</summary>
    public const int ShortHashSize = 16;

    /// <summary>SipHash-2-4 with 128 bits of output: for tables that a stranger must not be able to aim at; no digest for anything else.</summary>
    /// <exception cref="ArgumentException">A length is wrong.</exception>
    public static void ShortHash(ReadOnlySpan<byte> key, ReadOnlySpan<byte> input, Span<byte> output)
    {
        RequireLength(key.Length, ShortHashSize, nameof(key));
        RequireLength(output.Length, ShortHashSize, nameof(output));
        fixed (byte* k = key, i = input, o = output)
        {
            _ = crypto_shorthash_siphashx24(o, i, (ulong)input.Length, k);
        }
    }

    /// <summary>HMAC-SHA256 (32 bytes) with a key of any length; faster than the base class library up to about 128 bytes.</summary>
    /// <exception cref="ArgumentException">The tag is not 32 bytes.</exception>
    public static void HmacSha256(ReadOnlySpan<byte> key, ReadOnlySpan<byte> message, Span<byte> tag)
    {
        HmacSha256Begin(key, out var state);
        HmacSha256End(ref state, message, tag);
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(new Span<HmacSha256State>(ref state)));
    }

    /// <summary>HMAC-SHA256 after the key and before the message; a copy goes on from there. Secret when the key is.</summary>
    internal struct HmacSha256State
    {
        // crypto_auth_hmacsha256_state: two SHA-256 states of 104 bytes.
        private fixed ulong _state[26];
    }

    /// <summary>Takes in a key of any length.</summary>
    internal static void HmacSha256Begin(ReadOnlySpan<byte> key, out HmacSha256State state)
    {
        fixed (byte* k = key)
        {
            fixed (HmacSha256State* s = &state)
            {
                _ = crypto_auth_hmacsha256_init(s, k, (nuint)key.Length);
            }
        }
    }

    /// <summary>The 32-byte MAC of a message that is short; the given state is used up.</summary>
    internal static void HmacSha256End(ref HmacSha256State state, ReadOnlySpan<byte> message, Span<byte> mac)
    {
        RequireLength(mac.Length, 32, nameof(mac));
        fixed (HmacSha256State* s = &state)
        {
            fixed (byte* m = message, o = mac)
            {
                _ = crypto_auth_hmacsha256_update(s, m, (ulong)message.Length);
                _ = crypto_auth_hmacsha256_final(s, o);
            }
        }
    }

    /// <summary>Loads the library; throws <see cref="DllNotFoundException"/> with the package to install when it is missing.</summary>
    public static void EnsureLoaded() => RuntimeHelpers.RunClassConstructor(typeof(Sodium).TypeHandle);

    /// <summary>Encrypts or decrypts with bare ChaCha20, counter 0; input and output have one length and may be the same memory.</summary>
    /// <exception cref="ArgumentException">A length is wrong.</exception>
    public static void ChaCha20Xor(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> input, Span<byte> output)
    {
        RequireKeyAndNonce(key, nonce);
        RequireLength(output.Length, input.Length, nameof(output));
        fixed (byte* k = key, n = nonce, i = input, o = output)
        {
            _ = crypto_stream_chacha20_ietf_xor(o, i, (ulong)input.Length, n, k);
        }
    }

    /// <summary>Encrypts; the output is 16 bytes longer than the plaintext.</summary>
    /// <exception cref="ArgumentException">A length is wrong.</exception>
    public static void ChaCha20Poly1305Encrypt(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData,
        ReadOnlySpan<byte> plaintext, Span<byte> ciphertextAndTag)
    {
        RequireKeyAndNonce(key, nonce);
        RequireLength(ciphertextAndTag.Length, plaintext.Length + TagSize, nameof(ciphertextAndTag));
        ulong written;
        fixed (byte* k = key, n = nonce, a = associatedData, p = plaintext, c = ciphertextAndTag)
        {
            _ = crypto_aead_chacha20poly1305_ietf_encrypt(c, &written, p, (ulong)plaintext.Length, a, (ulong)associatedData.Length, null, n, k);
        }
    }

    /// <summary>Decrypts; false when the tag does not match or the ciphertext is shorter than a tag, and the plaintext is then zeros.</summary>
    /// <exception cref="ArgumentException">The plaintext is not 16 bytes shorter than the ciphertext, or a key or nonce length is wrong.</exception>
    public static bool ChaCha20Poly1305Decrypt(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> associatedData,
        ReadOnlySpan<byte> ciphertextAndTag, Span<byte> plaintext)
    {
        RequireKeyAndNonce(key, nonce);
        if (ciphertextAndTag.Length < TagSize)
        {
            return false;
        }

        RequireLength(plaintext.Length, ciphertextAndTag.Length - TagSize, nameof(plaintext));
        ulong written;
        fixed (byte* k = key, n = nonce, a = associatedData, c = ciphertextAndTag, p = plaintext)
        {
            if (crypto_aead_chacha20poly1305_ietf_decrypt(p, &written, null, c, (ulong)ciphertextAndTag.Length, a, (ulong)associatedData.Length, n, k) == 0)
            {
                return true;
            }
        }

        plaintext.Clear();
        return false;
    }

    /// <summary>X25519 of a private key and a public key.</summary>
    /// <returns>False when a length is not 32, or the shared secret is all zero (a public key of low order).</returns>
    public static bool TryX25519(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, Span<byte> sharedSecret)
    {
        fixed (byte* n = privateKey, p = publicKey, q = sharedSecret)
        {
            return privateKey.Length == CurveKeySize && publicKey.Length == CurveKeySize && sharedSecret.Length == CurveKeySize
                && crypto_scalarmult(q, n, p) == 0;
        }
    }

    /// <summary>The public key of an X25519 private key; any 32 bytes are one.</summary>
    /// <returns>False when a length is not 32.</returns>
    public static bool TryX25519PublicKey(ReadOnlySpan<byte> privateKey, Span<byte> publicKey)
    {
        fixed (byte* n = privateKey, q = publicKey)
        {
            return privateKey.Length == CurveKeySize && publicKey.Length == CurveKeySize && crypto_scalarmult_base(q, n) == 0;
        }
    }

    /// <summary>The public key and the prepared secret key (seed and public key, 64 bytes) of an Ed25519 seed.</summary>
    /// <returns>False when a length is wrong.</returns>
    public static bool TryEd25519FromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey, Span<byte> prepared)
    {
        fixed (byte* s = seed, pk = publicKey, sk = prepared)
        {
            return seed.Length == CurveKeySize && publicKey.Length == CurveKeySize && prepared.Length == Ed25519PreparedSize
                && crypto_sign_seed_keypair(pk, sk, s) == 0;
        }
    }

    /// <summary>Signs with a key of <see cref="TryEd25519FromSeed"/>. Another public key in it gives the secret key away.</summary>
    /// <exception cref="ArgumentException">A length is wrong.</exception>
    public static void Ed25519Sign(ReadOnlySpan<byte> prepared, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        RequireLength(prepared.Length, Ed25519PreparedSize, nameof(prepared));
        RequireLength(signature.Length, Ed25519SignatureSize, nameof(signature));
        fixed (byte* sk = prepared, m = message, s = signature)
        {
            _ = crypto_sign_detached(s, null, m, (ulong)message.Length, sk);
        }
    }

    /// <summary>Verifies an Ed25519 signature; false also for a wrong length, a key of low order, or a form that is not canonical.</summary>
    public static bool Ed25519Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        fixed (byte* pk = publicKey, m = message, s = signature)
        {
            return publicKey.Length == CurveKeySize && signature.Length == Ed25519SignatureSize
                && crypto_sign_verify_detached(s, m, (ulong)message.Length, pk) == 0;
        }
    }

    private static void RequireKeyAndNonce(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce)
    {
        RequireLength(key.Length, KeySize, nameof(key));
        RequireLength(nonce.Length, NonceSize, nameof(nonce));
    }

    private static void RequireLength(int actual, int expected, string name)
    {
        if (actual != expected)
        {
            throw new ArgumentException($"expected {expected} bytes, got {actual}", name);
        }
    }

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int sodium_init();

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_stream_chacha20_ietf_xor(byte* output, byte* input, ulong size, byte* nonce, byte* key);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_aead_chacha20poly1305_ietf_encrypt(byte* ciphertext, ulong* written, byte* plaintext, ulong plaintextSize, byte* ad,
        ulong adSize, byte* nsec, byte* nonce, byte* key);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_aead_chacha20poly1305_ietf_decrypt(byte* plaintext, ulong* written, byte* nsec, byte* ciphertext, ulong ciphertextSize,
        byte* ad, ulong adSize, byte* nonce, byte* key);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_shorthash_siphashx24(byte* output, byte* input, ulong size, byte* key);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial nuint crypto_auth_hmacsha256_statebytes();

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_auth_hmacsha256_init(HmacSha256State* state, byte* key, nuint keySize);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_auth_hmacsha256_update(HmacSha256State* state, byte* input, ulong size);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_auth_hmacsha256_final(HmacSha256State* state, byte* output);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_scalarmult(byte* q, byte* n, byte* p);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_scalarmult_base(byte* q, byte* n);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_sign_seed_keypair(byte* pk, byte* sk, byte* seed);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_sign_detached(byte* signature, ulong* signatureSize, byte* message, ulong size, byte* sk);

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_sign_verify_detached(byte* signature, byte* message, ulong size, byte* pk);
}
