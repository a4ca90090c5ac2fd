using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Client.Storage;

/// <summary>One file of the store, written at given offsets without a buffer. Its owner flushes it; a failed flush leaves it unknown what is on the disk. One
/// writer at a time.</summary>
internal sealed class StoreFile : IDisposable
{
    private readonly FileStream _file;
    private readonly IStoreRecorder? _recorder;
    private string _path;

    private StoreFile(FileStream file, IStoreRecorder? recorder) => (_file, _path, _recorder) = (file, file.Name, recorder);

    public SafeFileHandle Handle => _file.SafeFileHandle;

    public long Length => RandomAccess.GetLength(Handle);

    /// <summary>Opens a file that is there; nobody else can open it meanwhile.</summary>
    public static StoreFile Open(string path, IStoreRecorder? recorder) =>
        new(new FileStream(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 }),
            recorder);

    /// <summary>Makes an empty file that is not there yet, with mode 0600.</summary>
    public static StoreFile Create(string path, IStoreRecorder? recorder) =>
        New(new FileStream(path, FileModes.NewFile(FileMode.CreateNew, FileAccess.ReadWrite, FileModes.OwnerOnlyFile)), recorder);

    /// <summary>Makes an empty file aside, to be filled and put in a path's place by <see cref="Place"/>.</summary>
    public static StoreFile Draft(string path, IStoreRecorder? recorder) => New(AtomicFile.OpenDraft(path, FileModes.OwnerOnlyFile), recorder);

    /// <summary>Deletes a file; a missing one is fine.</summary>
    public static void Delete(string path, IStoreRecorder? recorder)
    {
        File.Delete(path);
        recorder?.Delete(path);
    }

    /// <summary>Makes what came, went and was renamed in a folder durable.</summary>
    public static void FlushFolder(string folder, IStoreRecorder? recorder)
    {
        Folders.Flush(folder);
        recorder?.FlushFolder(folder);
    }

    /// <summary>Reads as many bytes as there are, up to the buffer's length.</summary>
    public int Read(Span<byte> buffer, long offset)
    {
        int total = 0;
        while (total < buffer.Length && RandomAccess.Read(Handle, buffer[total..], offset + total) is > 0 and var read)
        {
            total += read;
        }

        return total;
    }

    public void Write(ReadOnlySpan<byte> bytes, long offset)
    {
        RandomAccess.Write(Handle, bytes, offset);
        _recorder?.Write(_path, offset, bytes);
    }

    public void SetLength(long length)
    {
        RandomAccess.SetLength(Handle, length);
        _recorder?.SetLength(_path, length);
    }

    public void Flush()
    {
        RandomAccess.FlushToDisk(Handle);
        _recorder?.Flush(_path);
    }

    /// <summary>Puts a draft in a path's place, content and name on disk when this returns.</summary>
    public void Place(string path)
    {
        path = Path.GetFullPath(path);
        AtomicFile.Place(_file, path);
        _recorder?.Flush(_path);
        _recorder?.Move(_path, path);
        _path = path;
        FlushFolder(Path.GetDirectoryName(path)!, _recorder);
    }

    /// <summary>Deletes a draft that was not placed.</summary>
    public void Abandon()
    {
        _file.Dispose();
        Delete(_path, _recorder);
    }

    public void Dispose() => _file.Dispose();

    private static StoreFile New(FileStream file, IStoreRecorder? recorder)
    {
        recorder?.SetLength(file.Name, 0);
        return new StoreFile(file, recorder);
    }
}
