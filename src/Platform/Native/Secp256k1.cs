using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Marmot.Platform.Native;

/// <summary>bitcoin-core's libsecp256k1: BIP-340 signatures, x-only keys and ECDH that returns the raw x coordinate.</summary>
/// <remarks>
/// References: BIP-340; NIP-01 (signatures); NIP-44 (unhashed ECDH x). Parameters: secret key 32 bytes, x-only public key 32 bytes,
/// signature 64 bytes, message 32 bytes. Works with library 0.2 (soname 1) and later. Nothing here allocates; all methods are thread-safe.
/// </remarks>
public static unsafe partial class Secp256k1
{
    /// <summary>Length of a secret key in bytes.</summary>
    public const int SecretKeySize = 32;

    /// <summary>Length of an x-only public key in bytes (BIP-340).</summary>
    public const int PublicKeySize = 32;

    /// <summary>Length of a BIP-340 signature in bytes.</summary>
    public const int SignatureSize = 64;

    /// <summary>Length of the opaque keypair structure (secp256k1_keypair) in bytes; it holds the secret key.</summary>
    internal const int KeypairSize = 96;

    private const int OpaqueKeySize = 64; // secp256k1_pubkey and secp256k1_xonly_pubkey
    private const int CompressedKeySize = 33; // 1 parity byte + 32 bytes of x
    private const byte EvenY = 0x02; // SEC 1, compressed point with even y
    private const uint ContextNone = 1; // SECP256K1_CONTEXT_NONE

    private static readonly nint Context;

    static Secp256k1()
    {
        NativeLibraries.Register(typeof(NativeLibraries).Assembly);
        Context = secp256k1_context_create(ContextNone);
        Span<byte> seed = stackalloc byte[32];
        RandomNumberGenerator.Fill(seed);
        fixed (byte* s = seed)
        {
            // Blinds the signing and ECDH multiplications against side channels. Done once, before any other use: afterwards the context is constant and
            // shared.
            _ = secp256k1_context_randomize(Context, s);
        }

        CryptographicOperations.ZeroMemory(seed);
    }

    /// <summary>Loads the library; throws <see cref="DllNotFoundException"/> with the package to install when it is missing.</summary>
    public static void EnsureLoaded() => RuntimeHelpers.RunClassConstructor(typeof(Secp256k1).TypeHandle);

    /// <summary>Verifies a BIP-340 signature (64 bytes) over a 32-byte message by an x-only key (32 bytes).</summary>
    /// <returns>False also when the key is not on the curve or a length is wrong.</returns>
    public static bool VerifySchnorr(ReadOnlySpan<byte> signature, ReadOnlySpan<byte> message, ReadOnlySpan<byte> publicKey)
    {
        if (signature.Length != SignatureSize || message.Length != 32 || publicKey.Length != PublicKeySize)
        {
            return false;
        }

        byte* parsed = stackalloc byte[OpaqueKeySize];
        fixed (byte* sig = signature, msg = message, key = publicKey)
        {
            return secp256k1_xonly_pubkey_parse(Context, parsed, key) == 1
                && secp256k1_schnorrsig_verify(Context, sig, msg, 32, parsed) == 1;
        }
    }

    /// <summary>True when the 32 bytes are the x coordinate of a point on the curve.</summary>
    public static bool IsValidPublicKey(ReadOnlySpan<byte> publicKey)
    {
        byte* parsed = stackalloc byte[OpaqueKeySize];
        fixed (byte* key = publicKey)
        {
            return publicKey.Length == PublicKeySize && secp256k1_xonly_pubkey_parse(Context, parsed, key) == 1;
        }
    }

    /// <summary>Fills <paramref name="keypair"/> (96 bytes, secret) from a secret key; false when the key is zero or not below the group order.</summary>
    internal static bool TryCreateKeypair(ReadOnlySpan<byte> secretKey, Span<byte> keypair)
    {
        fixed (byte* sk = secretKey, pair = keypair)
        {
            return secretKey.Length == SecretKeySize && keypair.Length == KeypairSize && secp256k1_keypair_create(Context, pair, sk) == 1;
        }
    }

    /// <summary>Writes the x-only public key of a keypair.</summary>
    internal static void GetPublicKey(ReadOnlySpan<byte> keypair, Span<byte> publicKey)
    {
        byte* parsed = stackalloc byte[OpaqueKeySize];
        int parity;
        fixed (byte* pair = keypair, key = publicKey)
        {
            _ = secp256k1_keypair_xonly_pub(Context, parsed, &parity, pair);
            _ = secp256k1_xonly_pubkey_serialize(Context, key, parsed);
        }
    }

    /// <summary>Signs a 32-byte message (BIP-340) with fresh auxiliary randomness.</summary>
    internal static void Sign(ReadOnlySpan<byte> keypair, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        if (message.Length != 32 || signature.Length != SignatureSize)
        {
            throw new ArgumentException("BIP-340 signs 32 bytes into 64 bytes");
        }

        Span<byte> auxiliary = stackalloc byte[32];
        RandomNumberGenerator.Fill(auxiliary);
        fixed (byte* pair = keypair, msg = message, sig = signature, aux = auxiliary)
        {
            if (secp256k1_schnorrsig_sign32(Context, sig, msg, pair, aux) != 1)
            {
                throw new CryptographicException("libsecp256k1 refused to sign");
            }
        }
    }

    /// <summary>ECDH of a secret key with an x-only key lifted to even y; writes the unhashed x coordinate (NIP-44, MIP-05).</summary>
    /// <returns>False when the public key is not on the curve.</returns>
    internal static bool TryDeriveSharedX(ReadOnlySpan<byte> secretKey, ReadOnlySpan<byte> publicKey, Span<byte> sharedX)
    {
        if (secretKey.Length != SecretKeySize || publicKey.Length != PublicKeySize || sharedX.Length != 32)
        {
            return false;
        }

        byte* compressed = stackalloc byte[CompressedKeySize];
        byte* parsed = stackalloc byte[OpaqueKeySize];
        compressed[0] = EvenY;
        publicKey.CopyTo(new Span<byte>(compressed + 1, PublicKeySize));
        fixed (byte* sk = secretKey, x = sharedX)
        {
            // secp256k1_ecdh is constant-time; ec_pubkey_tweak_mul is not and must never see a secret.
            return secp256k1_ec_pubkey_parse(Context, parsed, compressed, CompressedKeySize) == 1
                && secp256k1_ecdh(Context, x, parsed, sk, &CopyX, null) == 1;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int CopyX(byte* output, byte* x32, byte* y32, void* data)
    {
        new ReadOnlySpan<byte>(x32, 32).CopyTo(new Span<byte>(output, 32));
        return 1;
    }

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial nint secp256k1_context_create(uint flags);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_context_randomize(nint context, byte* seed32);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_xonly_pubkey_parse(nint context, byte* key, byte* input32);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_xonly_pubkey_serialize(nint context, byte* output32, byte* key);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_schnorrsig_verify(nint context, byte* signature64, byte* message, nuint messageSize, byte* key);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_schnorrsig_sign32(nint context, byte* signature64, byte* message32, byte* keypair, byte* auxiliary32);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_keypair_create(nint context, byte* keypair, byte* secretKey);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_keypair_xonly_pub(nint context, byte* key, int* parity, byte* keypair);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_ec_pubkey_parse(nint context, byte* key, byte* input, nuint inputSize);

    [LibraryImport(NativeLibraries.Secp256k1)]
    private static partial int secp256k1_ecdh(nint context, byte* output, byte* key, byte* secretKey, delegate* unmanaged[Cdecl]<byte*, byte*, byte*, void*,
        int> hash, void* data);
}
