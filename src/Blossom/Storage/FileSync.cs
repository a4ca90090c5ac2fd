using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>System calls the base library does not offer as such: writes past the page cache, rename without questions.</summary>
internal static partial class FileSync
{
    /// <summary>Turns O_DIRECT on or off for what is written next: whole blocks from aligned memory, past the page cache. False where that cannot be.</summary>
    public static bool SetDirect(SafeFileHandle file, bool on)
    {
        const int GetFlags = 3, SetFlags = 4;
        var direct = RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.X64 or Architecture.X86 => 0x4000,
            Architecture.Arm64 => 0x10000,
            _ => 0,
        };
        var flags = direct == 0 || !OperatingSystem.IsLinux() ? -1 : FileControl(file, GetFlags, 0);
        return flags >= 0 && FileControl(file, SetFlags, on ? flags | direct : flags & ~direct) == 0;
    }

    /// <summary>rename(2) alone: the caller knows that the target is free, which the base library would ask again.</summary>
    public static void Rename(string from, string to)
    {
        if (OperatingSystem.IsWindows())
        {
            File.Move(from, to);
        }
        else if (RenameFile(from, to) != 0)
        {
            throw Failure("rename", from);
        }
    }

    private static IOException Failure(string call, string path)
    {
        var errno = Marshal.GetLastPInvokeError();
        return new IOException($"{call} of {path} failed with error {errno}", errno);
    }

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int RenameFile(string from, string to);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FileControl(SafeFileHandle descriptor, int command, int value);
}
