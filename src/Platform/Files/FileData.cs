using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Platform.Files;

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

    /// <summary>Lets the disk begin with a part, without waiting for it and without any promise: <see cref="Flush"/> follows. Does nothing but on
    /// Linux.</summary>
    public static void StartFlush(SafeFileHandle file, long offset, long length)
    {
        const uint Write = 2; // SYNC_FILE_RANGE_WRITE
        if (OperatingSystem.IsLinux())
        {
            _ = SyncFileRange(file, offset, length, Write); // what goes wrong is Flush's to find
        }
    }

    /// <summary>Allocates blocks of a file, given by its descriptor, without changing its length or what stands there.</summary>
    /// <returns>False when the disk is full, or the system or the file system cannot do it.</returns>
    public static bool TryReserve(int file, long offset, long length)
    {
        const int KeepSize = 1; // FALLOC_FL_KEEP_SIZE
        return OperatingSystem.IsLinux() && FAllocate(file, KeepSize, offset, length) == 0;
    }

    [LibraryImport("libc", EntryPoint = "fallocate")]
    private static partial int FAllocate(int file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "sync_file_range")]
    private static partial int SyncFileRange(SafeFileHandle file, long offset, long length, uint flags);
}
