using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Hosting;

/// <summary>Makes what was written to a file durable, without what the base library flushes beside it.</summary>
public static partial class FileData
{
    /// <summary>Waits until the data is on disk; the file's times may lag behind (fdatasync on Linux, fsync elsewhere).</summary>
    /// <exception cref="IOException">The disk failed; what is on it is unknown.</exception>
    public static void Flush(SafeFileHandle file)
    {
        if (!OperatingSystem.IsLinux())
        {
            RandomAccess.FlushToDisk(file);
        }
        else if (FDataSync(file) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            throw new IOException($"fdatasync failed with error {errno}", errno);
        }
    }

    /// <summary>Lets the disk begin with a part, without waiting for it and without any promise: <see cref="Flush"/> follows. Does nothing but on Linux.</summary>
    public static void StartFlush(SafeFileHandle file, long offset, long length)
    {
        const uint Write = 2; // SYNC_FILE_RANGE_WRITE
        if (OperatingSystem.IsLinux())
        {
            _ = SyncFileRange(file, offset, length, Write); // what goes wrong is Flush's to find
        }
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "sync_file_range")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SyncFileRange(SafeFileHandle file, long offset, long length, uint flags);
}
