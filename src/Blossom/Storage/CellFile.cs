using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>Blobs that fit into one block of the disk, side by side in one file: a file each would cost them ten times the work. See docs/decisions/0010.</summary>
/// <remarks>
/// A cell is 4096 bytes, little-endian: u32 CRC-32C of header and blob behind it, u32 length of the blob, hash 32, mark 16, zeros; from 64 on the blob.
/// The mark is 8 bytes cell number, 8 bytes random, so a place is used once. A cell of zeros is free; one whose CRC is wrong was torn by a crash
/// before it was acknowledged. Removing overwrites with zeros and makes that durable, before the cell is used again. Any thread.
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

    private readonly SafeFileHandle _lock;
    private readonly SafeFileHandle _file;
    private readonly GroupSync _sync;
    private readonly Lock _gate = new();
    private readonly Stack<long> _free = new();
    private long _cells;

    public CellFile(string path)
    {
        // Two processes would fill the same free cells. A lock of its own, so that backups may read the file.
        _lock = File.OpenHandle(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        _file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        Folders.FlushFolderOf(path);
        _sync = new GroupSync(_file);
        _cells = RandomAccess.GetLength(_file) / CellBytes;
    }

    /// <summary>Finds the free cells and clears torn ones; once, before anything is added. Reads the whole file.</summary>
    public void Recover(CancellationToken cancellationToken)
    {
        foreach (var (cell, bytes) in Scan(cancellationToken))
        {
            if (TryRead(bytes.Span, out _, out _))
            {
                continue;
            }

            if (bytes.Span.ContainsAnyExcept((byte)0))
            {
                Erase(cell);
            }

            _free.Push(cell);
        }
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

    /// <summary>The blob at a place, or null when it is not there any more.</summary>
    public byte[]? Read(BlobPlace place)
    {
        Span<byte> bytes = stackalloc byte[CellBytes];
        var cell = CellOf(place);
        return RandomAccess.Read(_file, bytes, cell * CellBytes) == CellBytes && TryRead(bytes, out var found, out var length) && found == place
            ? bytes.Slice(HeaderBytes, length).ToArray()
            : null;
    }

    /// <summary>Overwrites a blob. False when it was not there. One place is removed by one caller at a time.</summary>
    public async ValueTask<bool> RemoveAsync(BlobPlace place)
    {
        if (Read(place) is null)
        {
            return false;
        }

        var cell = CellOf(place);
        Erase(cell);
        await _sync.WaitAsync();
        lock (_gate)
        {
            _free.Push(cell); // only now: what is written here next must not be followed by the zeros
        }

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
            var read = RandomAccess.Read(_file, buffer, first * CellBytes);
            for (var at = 0; at + CellBytes <= read; at += CellBytes)
            {
                yield return (first + (at / CellBytes), buffer.AsMemory(at, CellBytes));
            }
        }
    }

    private long TakeCell()
    {
        lock (_gate)
        {
            if (_free.Count == 0)
            {
                // Zeros are really written, so that a full disk shows here and not when a cell is filled.
                RandomAccess.Write(_file, new byte[GrowthCells * CellBytes], _cells * CellBytes);
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
        RandomAccess.Write(_file, bytes, cell * CellBytes);
    }

    private void Erase(long cell) => RandomAccess.Write(_file, stackalloc byte[CellBytes], cell * CellBytes);

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
