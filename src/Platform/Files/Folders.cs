using System.Runtime.InteropServices;

namespace Marmot.Platform.Files;

/// <summary>What the base class library has no call for: folders of one user, and folders whose entries are on disk.</summary>
public static partial class Folders
{
    private const int ReadOnly = 0; // O_RDONLY
    private const int InvalidArgument = 22; // EINVAL

    /// <summary>Makes a folder, and those above it, with mode 0700 where they are missing; one that is there keeps its mode.</summary>
    public static void CreateOwnerOnly(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, FileModes.OwnerOnlyFolder);
        }
    }

    /// <summary>Waits until the folder's entries (created, renamed, deleted) are on disk. Does nothing on Windows, and on a file system that cannot do
    /// it.</summary>
    /// <exception cref="IOException">The folder is missing or the disk failed.</exception>
    public static void Flush(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return; // NTFS journals renames
        }

        var descriptor = Open(folder, ReadOnly);
        if (descriptor < 0)
        {
            throw Failure("open", folder, Marshal.GetLastPInvokeError());
        }

        var result = FSync(descriptor);
        var error = Marshal.GetLastPInvokeError();
        _ = Close(descriptor);
        if (result != 0 && error != InvalidArgument)
        {
            throw Failure("fsync", folder, error);
        }
    }

    /// <summary>Waits until the entry of a file in its folder is on disk.</summary>
    /// <exception cref="IOException">The folder is missing or the disk failed.</exception>
    public static void FlushFolderOf(string file) => Flush(Path.GetDirectoryName(Path.GetFullPath(file))!);

    private static IOException Failure(string call, string path, int errno) => new($"{call} of {path} failed with error {errno}", errno);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
