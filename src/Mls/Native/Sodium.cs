using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Marmot.Mls.Codec;

[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Marmot.Mls.Native;

/// <summary>
/// X25519 and Ed25519 from libsodium, which the base class library lacks, and HMAC-SHA-256 of short inputs, which costs it less. References: libsodium 1.0.18 or later; RFC 7748, RFC 8032,
/// RFC 2104. Thread-safe.
/// </summary>
internal static unsafe partial class Sodium
{
    private const string Library = "sodium";
    private static readonly string[] Candidates = ["libsodium.so.26", "libsodium.so.23", "libsodium.so", "libsodium.dylib", "libsodium"];

#pragma warning disable CA2255 // The resolver must stand before the first call, wherever that comes from.
    [ModuleInitializer]
    internal static void Install() => NativeLibrary.SetDllImportResolver(typeof(Sodium).Assembly, Resolve);
#pragma warning restore CA2255

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != Library) return 0;
        foreach (var candidate in Candidates)
        {
            if (!NativeLibrary.TryLoad(candidate, assembly, path, out var handle)) continue;
            var init = (delegate* unmanaged<int>)NativeLibrary.GetExport(handle, "sodium_init");
            if (init() >= 0) return handle;
        }
        throw new DllNotFoundException("libsodium was not found. Install it (Debian and Ubuntu: package libsodium23; macOS: brew install libsodium).");
    }

    [LibraryImport(Library)]
    private static partial int crypto_scalarmult(byte* q, byte* n, byte* p);

    [LibraryImport(Library)]
    private static partial int crypto_scalarmult_base(byte* q, byte* n);

    [LibraryImport(Library)]
    private static partial int crypto_sign_seed_keypair(byte* pk, byte* sk, byte* seed);

    [LibraryImport(Library)]
    private static partial int crypto_sign_detached(byte* signature, ulong* signatureLength, byte* message, ulong length, byte* sk);

    [LibraryImport(Library)]
    private static partial int crypto_sign_verify_detached(byte* signature, byte* message, ulong length, byte* pk);

    [LibraryImport(Library)]
    private static partial int crypto_auth_hmacsha256_init(byte* state, byte* key, nuint keyLength);

    [LibraryImport(Library)]
    private static partial int crypto_auth_hmacsha256_update(byte* state, byte* message, ulong length);

    [LibraryImport(Library)]
    private static partial int crypto_auth_hmacsha256_final(byte* state, byte* tag);

    private const int HmacStateLength = 2 * 104; // two SHA-256 states: 8 words, a counter, a block

    /// <summary>HMAC-SHA-256 with a key of any length.</summary>
    public static void HmacSha256(ReadOnlySpan<byte> key, ReadOnlySpan<byte> message, Span<byte> tag32)
    {
        Check(tag32.Length == 32);
        var room = stackalloc ulong[HmacStateLength / 8];
        var state = (byte*)room;
        fixed (byte* k = key, m = message, t = tag32)
        {
            Check(crypto_auth_hmacsha256_init(state, k, (nuint)key.Length) == 0);
            Check(crypto_auth_hmacsha256_update(state, m, (ulong)message.Length) == 0);
            Check(crypto_auth_hmacsha256_final(state, t) == 0);
        }
        CryptographicOperations.ZeroMemory(new Span<byte>(state, HmacStateLength));
    }

    /// <summary>Shared secret; false when it is all zero (low-order point).</summary>
    public static bool TryX25519(ReadOnlySpan<byte> privateKey32, ReadOnlySpan<byte> publicKey32, Span<byte> shared32)
    {
        Check(privateKey32.Length == 32 && publicKey32.Length == 32 && shared32.Length == 32);
        fixed (byte* n = privateKey32, p = publicKey32, q = shared32) return crypto_scalarmult(q, n, p) == 0;
    }

    public static void X25519PublicKey(ReadOnlySpan<byte> privateKey32, Span<byte> publicKey32)
    {
        Check(privateKey32.Length == 32 && publicKey32.Length == 32);
        fixed (byte* n = privateKey32, q = publicKey32) Check(crypto_scalarmult_base(q, n) == 0);
    }

    public static void Ed25519FromSeed(ReadOnlySpan<byte> seed32, Span<byte> publicKey32, Span<byte> secretKey64)
    {
        Check(seed32.Length == 32 && publicKey32.Length == 32 && secretKey64.Length == 64);
        fixed (byte* seed = seed32, pk = publicKey32, sk = secretKey64) Check(crypto_sign_seed_keypair(pk, sk, seed) == 0);
    }

    public static void Ed25519Sign(ReadOnlySpan<byte> secretKey64, ReadOnlySpan<byte> message, Span<byte> signature64)
    {
        Check(secretKey64.Length == 64 && signature64.Length == 64);
        fixed (byte* sk = secretKey64, m = message, s = signature64) Check(crypto_sign_detached(s, null, m, (ulong)message.Length, sk) == 0);
    }

    public static bool Ed25519Verify(ReadOnlySpan<byte> publicKey32, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey32.Length != 32 || signature.Length != 64) return false;
        fixed (byte* pk = publicKey32, m = message, s = signature) return crypto_sign_verify_detached(s, m, (ulong)message.Length, pk) == 0;
    }

    private static void Check(bool holds)
    {
        if (!holds) throw new MlsException(MlsError.InvalidKey);
    }
}
