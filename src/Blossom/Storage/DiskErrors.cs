namespace Marmot.Blossom.Storage;

/// <summary>Tells a full disk from a broken one.</summary>
internal static class DiskErrors
{
    private const int NoSpace = 28; // ENOSPC
    private const int QuotaExceeded = 122; // EDQUOT on Linux
    private const int FileTooBig = 27; // EFBIG: RLIMIT_FSIZE
    private const int WindowsDiskFull = unchecked((int)0x80070070);

    public static bool IsFull(IOException error) => error.HResult is NoSpace or QuotaExceeded or FileTooBig or WindowsDiskFull;
}
