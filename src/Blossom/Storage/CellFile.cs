using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>Blobs that fit into one block of the disk, side by side in one file: a file each would cost them ten times the work. See
/// docs/decisions/0010.</summary>
/// <remarks>
/// A cell is 4096 bytes, little-endian: u32 CRC-32C of header and blob behind it, u32 length of the blob, hash 32, mark 16, zeros; from 64 on the blob.
/// The mark is 8 bytes cell number, 8 bytes random, so a place is used once. A cell of zeros is free. One that is neither zeros nor right is the remains of a
/// crash when no claim names it, and is cleared; when one does it was acknowledged and is damaged, and stays as it is until its claims go
/// (<see cref="SortOutSuspectsAsync"/>). Removing overwrites with zeros and makes that durable, before the cell is used again. Any thread.
/// </remarks>
internal sealed class CellFile : IDisposable
{
    public const int MaxBlobBytes = CellBytes - HeaderBytes;
    private const int CellBytes = 4096;
    private const int HeaderBytes = 64;
    private const int HashOffset = 8;
    private const int MarkOffset = 40;
    private const int MarkBytes = 16;
    private const int GrowthCells = 256; // 1 MiB

    private static readonly byte[] FreeCell = new byte[CellBytes];

    private readonly SafeFileHandle _lock;
    private readonly IDiskFile _file;
    private readonly GroupSync _sync;
    private readonly Lock _gate = new();
    private readonly Stack<long> _free = new();
    private readonly List<long> _suspects = []; // neither free nor whole when the file was opened
    private readonly HashSet<long> _damaged = []; // the same, and a claim names them
    private long _cells;

    /// <param name="path">The file; made when it is not there.</param>
    /// <param name="open">Opens the file; tests put theirs.</param>
    public CellFile(string path, Func<string, IDiskFile>? open = null)
    {
        // Two processes would fill the same free cells. A lock of its own, so that backups may read the file.
        _lock = File.OpenHandle(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        _file = (open ?? DiskFile.Open)(path);
        Folders.FlushFolderOf(path);
        _sync = new GroupSync(_file);
        _cells = _file.Length / CellBytes;
    }

    /// <summary>Cells that were acknowledged and cannot be read any more, as far as anybody looked.</summary>
    public int Damaged
    {
        get
        {
            lock (_gate)
            {
                return _damaged.Count;
            }
        }
    }

    public bool IsDamaged(BlobPlace place)
    {
        lock (_gate)
        {
            return _damaged.Contains(CellOf(place));
        }
    }

    /// <summary>Whether <see cref="SortOutSuspectsAsync"/> has something to do.</summary>
    public bool HasSuspects
    {
        get
        {
            lock (_gate)
            {
                return _suspects.Count > 0;
            }
        }
    }

    /// <summary>Finds the free cells; once, before anything is added. Reads the whole file.</summary>
    public void Recover(CancellationToken cancellationToken)
    {
        foreach (var (cell, bytes) in Scan(cancellationToken))
        {
            if (!bytes.Span.ContainsAnyExcept((byte)0))
            {
                _free.Push(cell);
            }
            else if (!TryRead(bytes.Span, out _, out _))
            {
                _suspects.Add(cell);
            }
        }
    }

    /// <summary>Decides about the cells that were neither free nor whole on opening: those that a claim names are damaged, the others are cleared and used
    /// again.</summary>
    /// <param name="claimed">All places that claims name; null when some claims cannot be read, and everything is kept.</param>
    public async ValueTask SortOutSuspectsAsync(IEnumerable<BlobPlace>? claimed)
    {
        List<long> cleared = [];
        lock (_gate)
        {
            var named = claimed?.Select(CellOf).ToHashSet();
            foreach (var cell in _suspects)
            {
                if (named is null || named.Contains(cell))
                {
                    _damaged.Add(cell);
                }
                else
                {
                    _damaged.Remove(cell); // somebody asked for what never was acknowledged
                    cleared.Add(cell);
                }
            }

            _suspects.Clear();
        }

        await FreeAsync(cleared);
    }

    /// <summary>Writes a blob into a cell. Durable when the task completes.</summary>
    public async ValueTask<BlobPlace> AddAsync(Bytes32 hash, ReadOnlyMemory<byte> blob)
    {
        var cell = TakeCell();
        var place = new BlobPlace(hash, NewMark(cell));
        Write(cell, place, blob.Span);
        await _sync.WaitAsync(); // when this fails the cell is left to the sweep of what no claim holds
        return place;
    }

    /// <summary>The blob at a place, or null when it is not there any more or is damaged.</summary>
    public byte[]? Read(BlobPlace place)
    {
        const int Attempts = 4; // of a cell that is being overwritten meanwhile, any mixture may be read
        Span<byte> bytes = stackalloc byte[CellBytes];
        var cell = CellOf(place);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (_file.Read(bytes, cell * CellBytes) != CellBytes)
            {
                return null;
            }

            if (TryRead(bytes, out var found, out var length))
            {
                return found == place ? bytes.Slice(HeaderBytes, length).ToArray() : null;
            }

            if (!bytes.ContainsAnyExcept((byte)0))
            {
                return null;
            }

            Thread.Yield();
        }

        // What stands in the header, as far as it can be believed, must name the place: a place that was removed says nothing about who has its cell now.
        if (HasTraceOf(bytes, place))
        {
            lock (_gate)
            {
                _damaged.Add(cell);
            }
        }

        return null;
    }

    /// <summary>Overwrites a blob, a damaged one too. False when it was not there. One place is removed by one caller at a time.</summary>
    public async ValueTask<bool> RemoveAsync(BlobPlace place)
    {
        var cell = CellOf(place);
        if (Read(place) is null)
        {
            lock (_gate)
            {
                if (!_damaged.Remove(cell))
                {
                    return false;
                }
            }
        }

        await FreeAsync([cell]);
        return true;
    }

    /// <summary>Every blob, by cell. What is added meanwhile may be missing.</summary>
    public IEnumerable<BlobPlace> All(CancellationToken cancellationToken)
    {
        foreach (var (_, bytes) in Scan(cancellationToken))
        {
            if (TryRead(bytes.Span, out var place, out _))
            {
                yield return place;
            }
        }
    }

    public void Dispose()
    {
        _file.Dispose();
        _lock.Dispose();
    }

    private IEnumerable<(long Cell, ReadOnlyMemory<byte> Bytes)> Scan(CancellationToken cancellationToken)
    {
        var buffer = new byte[GrowthCells * CellBytes];
        var cells = Volatile.Read(ref _cells);
        for (long first = 0; first < cells; first += GrowthCells)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var read = _file.Read(buffer, first * CellBytes);
            for (var at = 0; at + CellBytes <= read; at += CellBytes)
            {
                yield return (first + (at / CellBytes), buffer.AsMemory(at, CellBytes));
            }
        }
    }

    private async ValueTask FreeAsync(List<long> cells)
    {
        if (cells.Count == 0)
        {
            return;
        }

        cells.ForEach(Erase);
        await _sync.WaitAsync();
        lock (_gate)
        {
            cells.ForEach(_free.Push); // only now: what is written here next must not be followed by the zeros
        }
    }

    private long TakeCell()
    {
        lock (_gate)
        {
            if (_free.Count == 0)
            {
                // Zeros are really written, so that a full disk shows here and not when a cell is filled.
                _file.Write(new byte[GrowthCells * CellBytes], _cells * CellBytes);
                for (var cell = _cells + GrowthCells - 1; cell >= _cells; cell--)
                {
                    _free.Push(cell);
                }

                _cells += GrowthCells;
            }

            return _free.Pop();
        }
    }

    private void Write(long cell, BlobPlace place, ReadOnlySpan<byte> blob)
    {
        Span<byte> bytes = stackalloc byte[CellBytes];
        bytes.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], blob.Length);
        place.Hash.Span.CopyTo(bytes[HashOffset..]);
        place.Mark.TryWriteBytes(bytes[MarkOffset..]);
        blob.CopyTo(bytes[HeaderBytes..]);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Checksum(bytes, blob.Length));
        _file.Write(bytes, cell * CellBytes);
    }

    private void Erase(long cell) => _file.Write(FreeCell, cell * CellBytes);

    private static bool TryRead(ReadOnlySpan<byte> cell, out BlobPlace place, out int length)
    {
        place = default;
        length = BinaryPrimitives.ReadInt32LittleEndian(cell[4..]);
        if (length is < 0 or > MaxBlobBytes || BinaryPrimitives.ReadUInt32LittleEndian(cell) != Checksum(cell, length))
        {
            return false;
        }

        place = new BlobPlace(new Bytes32(cell.Slice(HashOffset, Bytes32.Size)), new Guid(cell.Slice(MarkOffset, MarkBytes)));
        return place.Mark != Guid.Empty;
    }

    private static bool HasTraceOf(ReadOnlySpan<byte> cell, BlobPlace place) =>
        cell.Slice(HashOffset, Bytes32.Size).SequenceEqual(place.Hash.Span) || new Guid(cell.Slice(MarkOffset, MarkBytes)) == place.Mark;

    /// <summary>Whole words are summed; the bytes behind a blob are zero.</summary>
    private static uint Checksum(ReadOnlySpan<byte> cell, int length)
    {
        var crc = uint.MaxValue;
        foreach (var word in MemoryMarshal.Cast<byte, uint>(cell[4..Math.Min(CellBytes, (HeaderBytes + length + 3) & ~3)]))
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        return ~crc;
    }

    private static Guid NewMark(long cell)
    {
        Span<byte> mark = stackalloc byte[MarkBytes];
        BinaryPrimitives.WriteInt64LittleEndian(mark, cell);
        RandomNumberGenerator.Fill(mark[8..]);
        return new Guid(mark);
    }

    private static long CellOf(BlobPlace place)
    {
        Span<byte> mark = stackalloc byte[MarkBytes];
        place.Mark.TryWriteBytes(mark);
        return BinaryPrimitives.ReadInt64LittleEndian(mark) & (long.MaxValue / CellBytes);
    }
}
