using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.InteropServices;

// Besides the resolver's candidates only the system's own folders are searched, never the working directory.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Marmot.Platform.Native;

/// <summary>Finds the native libraries: those that a package put beside the program first, then the system's under the names it gives them. Says what to
/// install when one is missing. Thread-safe.</summary>
/// <remarks>libsodium comes with the package NSec.Cryptography and libsecp256k1 with Secp256k1.Net, for linux (glibc and musl), macOS and Windows on x64 and
/// arm64. LMDB is the system's.</remarks>
public static class NativeLibraries
{
    /// <summary>The name of bitcoin-core's libsecp256k1 in <c>LibraryImport</c>.</summary>
    public const string Secp256k1 = "secp256k1";

    /// <summary>The name of libsodium in <c>LibraryImport</c>.</summary>
    public const string Sodium = "sodium";

    /// <summary>The name of LMDB in <c>LibraryImport</c>.</summary>
    public const string Lmdb = "lmdb";

    private static readonly string[] HomebrewFolders = ["/opt/homebrew/lib/", "/usr/local/lib/"];
    private static readonly ConcurrentDictionary<Assembly, bool> Registered = new();

    /// <summary>Makes the libraries known to the <c>LibraryImport</c> declarations of an assembly. To be called before the first use; a second call does
    /// nothing.</summary>
    public static void Register(Assembly assembly)
    {
        if (Registered.TryAdd(assembly, true))
        {
            NativeLibrary.SetDllImportResolver(assembly, Resolve);
        }
    }

    /// <summary>The error for a library that was not found: every name that was tried, and the package to install.</summary>
    internal static DllNotFoundException NotFound(string name) =>
        new($"{name} was not found (tried {string.Join(", ", Candidates(name))}). {InstallAdvice(name)}");

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        var candidates = Candidates(name);
        foreach (var candidate in candidates)
        {
            if (NativeLibrary.TryLoad(candidate, assembly, searchPath, out var handle))
            {
                return handle;
            }
        }

        return candidates.Length == 0 ? 0 : throw NotFound(name);
    }

    internal static string InstallAdvice(string name) => name switch
    {
        Secp256k1 => "The program's own copy does not fit this system. Install one: Debian or Ubuntu `apt-get install libsecp256k1-1` (`libsecp256k1-2` on "
            + "newer releases), Alpine `apk add libsecp256k1`, macOS `brew install secp256k1`.",
        Sodium => "The program's own copy does not fit this system. Install one: Debian or Ubuntu `apt-get install libsodium23`, Alpine `apk add libsodium`, "
            + "macOS `brew install libsodium`.",
        _ => "Install it: Debian or Ubuntu `apt-get install liblmdb0`, Alpine `apk add lmdb`, macOS `brew install lmdb`.",
    };

    // The name without a version is the package's: the runtime looks for it beside the program before it asks the system.
    private static string[] Candidates(string name) => name switch
    {
        // libsecp256k1's soname moved with its ABI; the functions used here are the same from 0.2 to 0.8.
        Secp256k1 => Names(
            ["libsecp256k1.so", "libsecp256k1.so.7", "libsecp256k1.so.6", "libsecp256k1.so.5", "libsecp256k1.so.2", "libsecp256k1.so.1"],
            "libsecp256k1.dylib",
            [
                "secp256k1.dll", "libsecp256k1-7.dll", "libsecp256k1-6.dll", "libsecp256k1-5.dll", "libsecp256k1-2.dll", "libsecp256k1-1.dll",
                "libsecp256k1.dll"
            ]),
        Sodium => Names(["libsodium.so", "libsodium.so.26", "libsodium.so.23"], "libsodium.dylib", ["libsodium.dll"]),
        Lmdb => Names(["liblmdb.so.0", "liblmdb.so"], "liblmdb.dylib", ["lmdb.dll", "liblmdb.dll"]),
        _ => [],
    };

    private static string[] Names(string[] linux, string macOs, string[] windows) =>
        OperatingSystem.IsWindows() ? windows
        : OperatingSystem.IsMacOS() ? [macOs, .. HomebrewFolders.Select(folder => folder + macOs)]
        : linux;
}
