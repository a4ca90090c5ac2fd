using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>System calls the base library does not offer as such: sync of a directory, writes past the page cache, rename without questions.</summary>
internal static partial class FileSync
{
    /// <summary>Makes renames and unlinks in a directory durable. Does nothing on Windows, where a directory cannot be synced.</summary>
    public static void Directory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var descriptor = Open(path, 0);
        if (descriptor < 0)
        {
            throw Failure("open", path);
        }

        try
        {
            if (FSync(descriptor) != 0)
            {
                throw Failure("fsync", path);
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

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

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int RenameFile(string from, string to);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FileControl(SafeFileHandle descriptor, int command, int value);

    [LibraryImport("libc", EntryPoint = "close")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Close(int descriptor);
}
