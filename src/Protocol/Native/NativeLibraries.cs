using System.Reflection;
using System.Runtime.InteropServices;

// Besides the resolver's candidates only the system's own folders are searched, never the working directory.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Marmot.Protocol.Native;

/// <summary>Finds the native libraries under the names each system gives them, and says which package to install when one is missing.</summary>
internal static class NativeLibraries
{
    /// <summary>The library names used in <c>LibraryImport</c>.</summary>
    internal const string Secp256k1 = "secp256k1";

    /// <summary>libsodium.</summary>
    internal const string Sodium = "sodium";

    private static readonly string[] HomebrewFolders = ["/opt/homebrew/lib/", "/usr/local/lib/"];
    private static int _registered;

    /// <summary>Installs the resolver once for this assembly; every binding calls it from its static constructor.</summary>
    internal static void Register()
    {
        if (Interlocked.Exchange(ref _registered, 1) == 0)
        {
            NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        string[]? candidates = name switch
        {
            Secp256k1 => Secp256k1Candidates(),
            Sodium => SodiumCandidates(),
            _ => null,
        };
        if (candidates is null)
        {
            return 0;
        }

        foreach (string candidate in candidates)
        {
            if (NativeLibrary.TryLoad(candidate, assembly, searchPath, out nint handle))
            {
                return handle;
            }
        }

        throw new DllNotFoundException($"{name} was not found (tried {string.Join(", ", candidates)}). {InstallAdvice(name)}");
    }

    private static string InstallAdvice(string name) => name == Secp256k1
        ? "Install it: Debian or Ubuntu `apt-get install libsecp256k1-1` (`libsecp256k1-2` on newer releases), Alpine `apk add libsecp256k1`, macOS `brew install secp256k1`."
        : "Install it: Debian or Ubuntu `apt-get install libsodium23`, Alpine `apk add libsodium`, macOS `brew install libsodium`.";

    // libsecp256k1's soname moved with its ABI; the functions used here are the same from 0.2 to 0.8.
    private static string[] Secp256k1Candidates() =>
        OperatingSystem.IsWindows() ? ["libsecp256k1-7.dll", "libsecp256k1-6.dll", "libsecp256k1-5.dll", "libsecp256k1-2.dll", "libsecp256k1-1.dll", "libsecp256k1.dll", "secp256k1.dll"]
        : OperatingSystem.IsMacOS() ? [.. HomebrewFolders.Select(folder => folder + "libsecp256k1.dylib"), "libsecp256k1.dylib"]
        : ["libsecp256k1.so.7", "libsecp256k1.so.6", "libsecp256k1.so.5", "libsecp256k1.so.2", "libsecp256k1.so.1", "libsecp256k1.so"];

    private static string[] SodiumCandidates() =>
        OperatingSystem.IsWindows() ? ["libsodium.dll"]
        : OperatingSystem.IsMacOS() ? [.. HomebrewFolders.Select(folder => folder + "libsodium.dylib"), "libsodium.dylib"]
        : ["libsodium.so.26", "libsodium.so.23", "libsodium.so"];
}
