using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Marmot.Relay.Storage.Native;

/// <summary>What tells one file from every copy of it: statx(2) with the mount's unique id, which Linux never gives twice between two starts of the machine
/// (6.8 and later).</summary>
internal static partial class FileIdentity
{
    // struct statx, 256 bytes: mask u32 at 0, inode u64 at 32, btime 16 at 80, ctime 16 at 96, dev major and minor u32 at 136, mount id u64 at 144.
    private const int StatxBytes = 256;
    private const uint Inode = 0x100;
    private const uint ChangeTime = 0x80;
    private const uint UniqueMount = 0x4000; // STATX_MNT_ID_UNIQUE
    private const int CurrentFolder = -100; // AT_FDCWD

    /// <summary>Device, mount, inode and time of the last change of a file's entry, as text; null when the system cannot say all of it, or the file is not
    /// there.</summary>
    /// <remarks>
    /// Nobody can set the time of change: a copy has its own, wherever it came from. A restored volume or a re-attached disk had to be mounted anew, so its
    /// mount has another id.
    /// </remarks>
    public static string? TryRead(string path)
    {
        const uint Wanted = Inode | ChangeTime | UniqueMount;
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        Span<byte> stat = stackalloc byte[StatxBytes];
        try
        {
            if (Statx(CurrentFolder, path, 0, Wanted, stat) != 0 || (BinaryPrimitives.ReadUInt32LittleEndian(stat) & Wanted) != Wanted)
            {
                return null;
            }
        }
        catch (EntryPointNotFoundException) // a C library older than 2018
        {
            return null;
        }

        var (major, minor) = (BinaryPrimitives.ReadUInt32LittleEndian(stat[136..]), BinaryPrimitives.ReadUInt32LittleEndian(stat[140..]));
        var mount = BinaryPrimitives.ReadUInt64LittleEndian(stat[144..]);
        var inode = BinaryPrimitives.ReadUInt64LittleEndian(stat[32..]);
        var (seconds, nanoseconds) = (BinaryPrimitives.ReadInt64LittleEndian(stat[96..]), BinaryPrimitives.ReadUInt32LittleEndian(stat[104..]));
        return string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{major}:{minor}/{mount}/{inode}/{seconds}.{nanoseconds}");
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, Span<byte> result);
}
