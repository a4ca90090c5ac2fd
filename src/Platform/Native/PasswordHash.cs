using System.Runtime.InteropServices;

namespace Marmot.Platform.Native;

/// <summary>Argon2id of libsodium: turns a passphrase into a key.</summary>
/// <remarks>References: RFC 9106. Parameters: version 1.3, one lane, 16-byte salt, cost stored with the salt.</remarks>
public static unsafe partial class PasswordHash
{
    /// <summary>Length of a salt in bytes.</summary>
    public const int SaltSize = 16;

    /// <summary>Length of a derived key in bytes.</summary>
    public const int KeySize = 32;

    /// <summary>Passes over the memory; libsodium's "moderate".</summary>
    public const ulong Passes = 3;

    /// <summary>Memory in bytes; libsodium's "moderate", 256 MiB.</summary>
    public const ulong MemoryBytes = 256 * 1024 * 1024;

    private const int Argon2Id13 = 2;

    static PasswordHash() => Sodium.EnsureLoaded();

    /// <summary>Derives 32 bytes; the caller wipes them.</summary>
    /// <exception cref="InvalidOperationException">The memory the cost asks for is not there.</exception>
    public static byte[] DeriveKey(ReadOnlySpan<byte> passphrase, ReadOnlySpan<byte> salt, ulong passes, ulong memoryBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(salt.Length, SaltSize);
        byte[] key = new byte[KeySize];
        fixed (byte* k = key, p = passphrase, s = salt)
        {
            if (crypto_pwhash(k, KeySize, p, (ulong)passphrase.Length, s, passes, (nuint)memoryBytes, Argon2Id13) != 0)
            {
                throw new InvalidOperationException("Argon2id needs more memory than there is");
            }
        }

        return key;
    }

    [LibraryImport(NativeLibraries.Sodium)]
    private static partial int crypto_pwhash(byte* output, ulong outputSize, byte* password, ulong passwordSize, byte* salt, ulong passes,
        nuint memory, int algorithm);
}
