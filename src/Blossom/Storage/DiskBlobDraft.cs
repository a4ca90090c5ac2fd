using System.Buffers;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An upload on its way to disk. Owned by one request. Begins in memory and moves to a file when it outgrows a cell.</summary>
internal sealed class DiskBlobDraft(DiskBlobStore store, CellFile cells, string path) : BlobDraft
{
    // A long upload is pushed to the medium as it comes, so that the fsync before the answer has little left to do.
    private const long FlushEveryBytes = 32L * 1024 * 1024;

    private readonly List<ReadOnlyMemory<byte>> _segments = [];
    private byte[]? _small; // pooled
    private SafeFileHandle? _file;
    private long _length;
    private long _flushed;
    private bool _published;

    public override ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        if (_file is null && _length + bytes.Length <= CellFile.MaxBlobBytes)
        {
            _small ??= ArrayPool<byte>.Shared.Rent(CellFile.MaxBlobBytes);
            bytes.CopyTo(_small.AsSpan((int)_length));
        }
        else
        {
            if (_file is null)
            {
                // Not preallocated by the declared length: idle uploads that promise much would fill the disk with nothing.
                _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.Delete);
                RandomAccess.Write(_file, _small.AsSpan(0, (int)_length), 0);
                ReturnSmall();
            }

            Write(_file, bytes);
        }

        _length += bytes.Length;
        if (_file is not null && _length - _flushed >= FlushEveryBytes)
        {
            FileSync.Data(_file);
            _flushed = _length;
        }

        return ValueTask.CompletedTask;
    }

    public override async ValueTask<BlobPlace> CommitAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        if (_file is null)
        {
            return await cells.AddAsync(hash, _small.AsMemory(0, (int)_length));
        }

        File.SetLastWriteTimeUtc(_file, store.Today);
        RandomAccess.FlushToDisk(_file);
        _file.Dispose();
        store.Publish(path, hash);
        _published = true;
        return new BlobPlace(hash, Guid.Empty);
    }

    public override ValueTask DisposeAsync()
    {
        ReturnSmall();
        if (_file is not null)
        {
            _file.Dispose();
            if (!_published)
            {
                File.Delete(path);
            }
        }

        return ValueTask.CompletedTask;
    }

    private void Write(SafeFileHandle file, ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsSingleSegment)
        {
            RandomAccess.Write(file, bytes.FirstSpan, _length);
            return;
        }

        foreach (var segment in bytes)
        {
            _segments.Add(segment);
        }

        RandomAccess.Write(file, _segments, _length); // one pwritev
        _segments.Clear();
    }

    private void ReturnSmall()
    {
        if (_small is not null)
        {
            ArrayPool<byte>.Shared.Return(_small);
            _small = null;
        }
    }
}
