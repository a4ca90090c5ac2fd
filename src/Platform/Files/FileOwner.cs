using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Platform.Files;

/// <summary>Who owns an open file, which the base class library has no call for.</summary>
internal static partial class FileOwner
{
    // statx(2): the same on every architecture. struct statx is 256 bytes, stx_mask at 0, stx_uid at 20.
    private const int AtEmptyPath = 0x1000;
    private const uint StatxUid = 0x8;
    private const int StatxBytes = 256;
    private const int MaskAt = 0;
    private const int UidAt = 20;

    /// <summary>True when root owns the file; false for anybody else and where the system cannot say.</summary>
    public static bool IsRoot(SafeFileHandle file)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        Span<byte> result = stackalloc byte[StatxBytes];
        try
        {
            return Statx(file, "", AtEmptyPath, StatxUid, result) == 0
                && (BinaryPrimitives.ReadUInt32LittleEndian(result[MaskAt..]) & StatxUid) != 0
                && BinaryPrimitives.ReadUInt32LittleEndian(result[UidAt..]) == 0;
        }
        catch (EntryPointNotFoundException) // a C library older than 2018
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(SafeFileHandle directory, string path, int flags, uint mask, Span<byte> result);
}
