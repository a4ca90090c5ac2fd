using System.Reflection;
using System.Runtime.InteropServices;

namespace Marmot.Client.Storage;

/// <summary>Argon2id of libsodium: turns a passphrase into a key.</summary>
/// <remarks>References: RFC 9106. Parameters: version 1.3, one lane, 16-byte salt, cost stored with the salt.</remarks>
internal static unsafe partial class PasswordHash
{
    internal const int SaltSize = 16;
    internal const int KeySize = 32;

    /// <summary>Passes over the memory; libsodium's "moderate".</summary>
    internal const ulong Passes = 3;

    /// <summary>Memory in bytes; libsodium's "moderate", 256 MiB.</summary>
    internal const ulong MemoryBytes = 256 * 1024 * 1024;

    private const string Library = "sodium";
    private const int Argon2Id13 = 2;

    static PasswordHash()
    {
        NativeLibrary.SetDllImportResolver(typeof(PasswordHash).Assembly, Resolve);
        if (sodium_init() < 0)
        {
            throw new InvalidOperationException("libsodium could not be initialised");
        }
    }

    /// <summary>Derives 32 bytes; the caller wipes them.</summary>
    /// <exception cref="InvalidOperationException">The memory the cost asks for is not there.</exception>
    internal static byte[] DeriveKey(ReadOnlySpan<byte> passphrase, ReadOnlySpan<byte> salt, ulong passes, ulong memoryBytes)
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

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        if (name != Library)
        {
            return 0;
        }

        string[] candidates = OperatingSystem.IsWindows() ? ["libsodium.dll"]
            : OperatingSystem.IsMacOS() ? ["/opt/homebrew/lib/libsodium.dylib", "/usr/local/lib/libsodium.dylib", "libsodium.dylib"]
            : ["libsodium.so.26", "libsodium.so.23", "libsodium.so"];
        foreach (string candidate in candidates)
        {
            if (NativeLibrary.TryLoad(candidate, assembly, searchPath, out nint handle))
            {
                return handle;
            }
        }

        throw new DllNotFoundException("libsodium was not found; Debian and Ubuntu: apt-get install libsodium23");
    }

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int sodium_init();

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int crypto_pwhash(byte* output, ulong outputSize, byte* password, ulong passwordSize, byte* salt, ulong passes, nuint memory, int algorithm);
}
