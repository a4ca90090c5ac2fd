using System.Runtime.InteropServices;

namespace Marmot.Client.Storage;

/// <summary>What tells a file from a copy of it. No program can set these.</summary>
/// <param name="Name">The inode and when it was made, mixed into one number; 0 where the system does not say.</param>
/// <param name="ChangedAt">When the inode last changed, Unix seconds by the system's clock; 0 where the system does not say.</param>
internal readonly partial record struct FileIdentity(ulong Name, long ChangedAt)
{
    // Linux, struct statx: 256 bytes; stx_ino at 32, stx_btime at 80, stx_ctime at 96, a time being seconds s64 and nanoseconds u32.
    private const int StatxSize = 256;
    private const int InodeAt = 32;
    private const int BornAt = 80;
    private const int ChangedAtAt = 96;
    private const int CurrentFolder = -100; // AT_FDCWD
    private const uint Wanted = 0x100 | 0x80 | 0x800; // STATX_INO, STATX_CTIME, STATX_BTIME

    internal static unsafe FileIdentity Of(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return default;
        }

        byte* buffer = stackalloc byte[StatxSize];
        new Span<byte>(buffer, StatxSize).Clear();
        if (Statx(CurrentFolder, path, 0, Wanted, buffer) != 0)
        {
            return default;
        }

        // An inode's number is given to the next file once its own is gone; the time it was made is not.
        ulong born = unchecked((*(ulong*)(buffer + BornAt) * 1_000_000_000) + *(uint*)(buffer + BornAt + sizeof(long)));
        return new FileIdentity(unchecked(*(ulong*)(buffer + InodeAt) ^ (born * 0x9E37_79B9_7F4A_7C15)), *(long*)(buffer + ChangedAtAt));
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static unsafe partial int Statx(int folder, string path, int flags, uint mask, byte* result);
}
