using System.Buffers;
using System.IO.MemoryMappedFiles;
using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Relay.Storage.Log;

/// <summary>One file of the event log: written with positioned writes, read through a map of the whole (sparse) file.</summary>
internal sealed unsafe class LogSegment : IDisposable
{
    /// <summary>Bytes a file may grow to. Sparse: it takes disk space only as it fills.</summary>
    public const int DefaultSize = 64 * 1024 * 1024;

    private const int PrepareBytes = 1 << 20;
    private const int PrepareBelow = PrepareBytes / 4;
    private const int ReadBytes = 1 << 20;
    private static readonly byte[] Zeros = new byte[PrepareBytes];
    private readonly LogDisk _disk;
    private readonly int _size;
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _data;
    private int _prepared;

    public LogSegment(string directory, int number, LogDisk disk, int size)
    {
        _disk = disk;
        _size = size;
        Number = number;
        FilePath = Path.Combine(directory, FileName(number));
        var isNew = !File.Exists(FilePath);
        _file = disk.Open(FilePath);
        if (RandomAccess.GetLength(_file) < size)
        {
            disk.SetLength(_file, FilePath, size);
        }

        if (isNew)
        {
            disk.FlushFolder(directory); // before anything in it is acknowledged
        }

        _map = MemoryMappedFile.CreateFromFile(_file, null, size, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        _view = _map.CreateViewAccessor(0, size, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _data);
    }

    public int Number { get; }

    public string FilePath { get; }

    /// <summary>Where the file begins in the log.</summary>
    public long Start => (long)Number * _size;

    public static string FileName(int number) => $"events-{number:D6}.log";

    /// <summary>The mapped bytes from an offset on.</summary>
    public ReadOnlySpan<byte> Map(int offset) => new(_data + offset, _size - offset);

    public void Write(int offset, ReadOnlySpan<byte> bytes) => _disk.Write(_file, FilePath, bytes, offset);

    /// <summary>Reads by a call: where the file has no blocks yet this gives zeros, and unlike a look through the map takes none (a full tmpfs would answer
    /// that with SIGBUS).</summary>
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
    public void Flush() => _disk.Flush(_file, FilePath);

    /// <summary>
    /// Allocates the disk blocks that the next writes need, from an offset on: a flush then waits for its own bytes alone, not for the journal of the
    /// file system, which may first write the dirty pages of other files.
    /// </summary>
    /// <remarks>Writes zeros where nothing stands yet. A full disk is left for the next write to report.</remarks>
    public void Prepare(int offset)
    {
        if (_prepared - offset >= PrepareBelow || _prepared == _size)
        {
            return;
        }

        var from = Math.Max(_prepared, offset);
        _prepared = Math.Min(offset + PrepareBytes, _size);
        try
        {
            Write(from, Zeros.AsSpan(0, _prepared - from));
            _disk.FlushAll(_file, FilePath);
        }
        catch (IOException)
        {
        }
    }

    /// <summary>Whether a record's header could begin at an offset. A look by a call, so that the map is touched only where something was written.</summary>
    public bool HasBytes(int offset)
    {
        Span<byte> header = stackalloc byte[LogRecord.HeaderSize];
        header = header[..Math.Min(header.Length, _size - offset)];
        Read(offset, header);
        return header.ContainsAnyExcept((byte)0);
    }

    /// <summary>Looks for the next record behind damage: the first header that is whole.</summary>
    /// <param name="from">An offset that records can begin at.</param>
    /// <param name="after">Arrival number that it has to be above.</param>
    /// <param name="dirtyTo">Behind the last byte that is not zero, as far as was looked.</param>
    /// <returns>Its offset; -1 when there is none up to the end of the file.</returns>
    public int Find(int from, ulong after, out int dirtyTo)
    {
        dirtyTo = from;
        var buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
        try
        {
            for (var start = from; start < _size; start += ReadBytes - 8)
            {
                var part = buffer.AsSpan(0, Math.Min(ReadBytes, _size - start)); // 8 bytes more than are stepped over: a magic is found in one piece
                Read(start, part);
                var last = part.LastIndexOfAnyExcept((byte)0);
                if (last < 0)
                {
                    continue;
                }

                for (var at = part.IndexOf(LogRecord.MagicStart); at >= 0 && at <= last;)
                {
                    var offset = start + at;
                    if (offset % 8 == 0 && LogRecord.TryReadHeader(Map(offset), Start + offset, out var header) && (header.Arrival > after || header.IsGap))
                    {
                        return offset;
                    }

                    var next = part[(at + 1)..].IndexOf(LogRecord.MagicStart);
                    at = next < 0 ? -1 : at + 1 + next;
                }

                dirtyTo = start + last + 1;
            }

            return -1;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Zeroes everything from an offset on.</summary>
    public void CutOff(int offset)
    {
        _disk.SetLength(_file, FilePath, offset);
        _disk.SetLength(_file, FilePath, _size);
        _disk.FlushAll(_file, FilePath);
        _prepared = Math.Min(_prepared, offset);
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
        _file.Dispose();
    }
}
