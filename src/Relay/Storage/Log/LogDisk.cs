using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Relay.Storage.Log;

/// <summary>Every change the event log makes to its files. Tests put a disk between that loses power.</summary>
internal class LogDisk
{
    /// <summary>Opens a file, which is made when it is not there.</summary>
    public virtual SafeFileHandle Open(string path) => File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);

    /// <summary>Cuts a file, or lets it grow by zeros.</summary>
    public virtual void SetLength(SafeFileHandle file, string path, long length) => RandomAccess.SetLength(file, length);

    public virtual void Write(SafeFileHandle file, string path, ReadOnlySpan<byte> bytes, long offset) => RandomAccess.Write(file, bytes, offset);

    /// <summary>Waits until the bytes of a file are on disk; its times may lag behind.</summary>
    public virtual void Flush(SafeFileHandle file, string path) => FileData.Flush(file);

    /// <summary>Waits until a file is on disk with everything the file system knows of it.</summary>
    public virtual void FlushAll(SafeFileHandle file, string path) => RandomAccess.FlushToDisk(file);

    /// <summary>Waits until the names in a folder are on disk.</summary>
    public virtual void FlushFolder(string folder) => Folders.Flush(folder);
}
