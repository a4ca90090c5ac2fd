using System.IO.MemoryMappedFiles;
using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Relay.Storage.Log;

/// <summary>One file of the event log: written with positioned writes, read through a map of the whole (sparse) file.</summary>
internal sealed unsafe class LogSegment : IDisposable
{
    /// <summary>Bytes a file may grow to. Sparse: it takes disk space only as it fills.</summary>
    public const int Size = 64 * 1024 * 1024;

    private const int PrepareBytes = 1 << 20;
    private const int PrepareBelow = PrepareBytes / 4;
    private static readonly byte[] Zeros = new byte[PrepareBytes];
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _data;
    private int _prepared;

    public LogSegment(string directory, int number)
    {
        Number = number;
        FilePath = Path.Combine(directory, FileName(number));
        _file = File.OpenHandle(FilePath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        if (RandomAccess.GetLength(_file) < Size)
        {
            RandomAccess.SetLength(_file, Size);
        }

        _map = MemoryMappedFile.CreateFromFile(_file, null, Size, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        _view = _map.CreateViewAccessor(0, Size, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _data);
    }

    public int Number { get; }

    public string FilePath { get; }

    public static string FileName(int number) => $"events-{number:D6}.log";

    /// <summary>The mapped bytes from an offset on.</summary>
    public ReadOnlySpan<byte> Map(int offset) => new(_data + offset, Size - offset);

    public void Write(int offset, ReadOnlySpan<byte> bytes) => RandomAccess.Write(_file, bytes, offset);

    /// <summary>Reads by a call: where the file has no blocks yet this gives zeros, and unlike a look through the map takes none (a full tmpfs would answer that with SIGBUS).</summary>
    public void Read(int offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            var read = RandomAccess.Read(_file, destination, offset);
            if (read == 0)
            {
                destination.Clear();
                return;
            }

            destination = destination[read..];
            offset += read;
        }
    }

    /// <summary>Lets the disk begin with what was written, without waiting for it.</summary>
    public void StartFlush(int offset, int length) => FileData.StartFlush(_file, offset, length);

    /// <summary>Waits until what was written is on disk; the file's times may lag behind.</summary>
    public void Flush() => FileData.Flush(_file);

    /// <summary>Sees to it that what is written next, from an offset on, has its blocks on disk already: a flush then waits for its own bytes alone, not for the journal of the file system, which may first want the dirty pages of other files out.</summary>
    /// <remarks>Writes zeros where nothing stands yet. A full disk is left for the next write to report.</remarks>
    public void Prepare(int offset)
    {
        if (_prepared - offset >= PrepareBelow || _prepared == Size)
        {
            return;
        }

        var from = Math.Max(_prepared, offset);
        _prepared = Math.Min(offset + PrepareBytes, Size);
        try
        {
            Write(from, Zeros.AsSpan(0, _prepared - from));
            RandomAccess.FlushToDisk(_file);
        }
        catch (IOException)
        {
        }
    }

    /// <summary>Zeroes everything from an offset on.</summary>
    public void CutOff(int offset)
    {
        RandomAccess.SetLength(_file, offset);
        RandomAccess.SetLength(_file, Size);
        RandomAccess.FlushToDisk(_file);
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
        _file.Dispose();
    }
}
