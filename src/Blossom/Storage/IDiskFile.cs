using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An open file as the formats of this store use it: reads and writes at an offset, and a flush, which is the only barrier between writes. The seam at
/// which tests let the power fail.</summary>
/// <remarks>Any thread.</remarks>
internal interface IDiskFile : IDisposable
{
    /// <summary>Bytes.</summary>
    long Length { get; }

    /// <summary>Reads what there is at an offset, at most the target's length; 0 past the end.</summary>
    int Read(Span<byte> target, long offset);

    /// <summary>Writes all of it. After an exception any part may have been written.</summary>
    /// <exception cref="IOException">The disk is full or broken.</exception>
    void Write(ReadOnlySpan<byte> bytes, long offset);

    /// <summary>Everything written before is on the medium when it returns.</summary>
    /// <exception cref="IOException">The medium failed; which of the writes since the last flush are on it is unknown, and another flush does not
    /// tell.</exception>
    void Flush();
}

/// <summary>A file of this machine.</summary>
internal sealed class DiskFile : IDiskFile
{
    private readonly SafeFileHandle _handle;

    private DiskFile(SafeFileHandle handle) => _handle = handle;

    public long Length => RandomAccess.GetLength(_handle);

    /// <summary>Opens a file for reading and writing, and makes it when it is not there. Others, such as backups, may read it meanwhile.</summary>
    public static IDiskFile Open(string path) => new DiskFile(File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite));

    public int Read(Span<byte> target, long offset) => RandomAccess.Read(_handle, target, offset);

    public void Write(ReadOnlySpan<byte> bytes, long offset) => RandomAccess.Write(_handle, bytes, offset);

    public void Flush() => FileData.Flush(_handle);

    public void Dispose() => _handle.Dispose();
}
