using System.Buffers;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An upload on its way to disk. Owned by one request. Begins in memory and moves to a file when it outgrows a cell.</summary>
/// <remarks>
/// Full buffers go past the page cache (O_DIRECT) where the file system can: a copy into fresh pages costs more than hashing and receiving together,
/// and an upload does not push out what is being read. The end, which is no whole block, goes the ordinary way.
/// </remarks>
internal sealed class DiskBlobDraft(DiskBlobStore store, CellFile cells, UploadBuffers buffers, string path) : BlobDraft
{
    // A long upload is pushed to the medium as it comes, so that the fsync before the answer has little left to do.
    private const long FlushEveryBytes = 32L * 1024 * 1024;
    private const int NotAligned = 22; // EINVAL

    private readonly List<ReadOnlyMemory<byte>> _segments = [];
    private byte[]? _small; // pooled
    private SafeFileHandle? _file;
    private Memory<byte>? _buffer; // from buffers
    private long _length;
    private long _written; // to the file; what is longer stands in _small or _buffer
    private long _flushed;
    private bool? _isDirect; // unknown before the first full buffer
    private bool _published;

    public override ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        if (_file is null && _length + bytes.Length <= CellFile.MaxBlobBytes)
        {
            _small ??= ArrayPool<byte>.Shared.Rent(CellFile.MaxBlobBytes);
            bytes.CopyTo(_small.AsSpan((int)_length));
            _length += bytes.Length;
            return ValueTask.CompletedTask;
        }

        if (_file is null)
        {
            // Not preallocated by the declared length: idle uploads that promise much would fill the disk with nothing.
            _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.Delete);
            _buffer = buffers.TryRent();
            if (_small is not null)
            {
                var first = new ReadOnlySequence<byte>(_small, 0, (int)_length);
                _length = 0;
                Put(_file, first);
                ReturnSmall();
            }
        }

        Put(_file, bytes);
        return ValueTask.CompletedTask;
    }

    public override async ValueTask<BlobPlace> CommitAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        if (_file is null)
        {
            return await cells.AddAsync(hash, _small.AsMemory(0, (int)_length));
        }

        if (_buffer is { } buffer)
        {
            if (_isDirect == true)
            {
                FileSync.SetDirect(_file, false);
            }

            RandomAccess.Write(_file, buffer.Span[..(int)(_length - _written)], _written);
            ReturnBuffer();
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
        ReturnBuffer();
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

    private void Put(SafeFileHandle file, in ReadOnlySequence<byte> bytes)
    {
        if (_buffer is { } buffer)
        {
            Gather(file, buffer.Span, bytes);
        }
        else
        {
            Write(file, bytes);
        }

        if (_isDirect != true && _written - _flushed >= FlushEveryBytes)
        {
            FileData.Flush(file);
            _flushed = _written;
        }
    }

    private void Gather(SafeFileHandle file, Span<byte> buffer, in ReadOnlySequence<byte> bytes)
    {
        foreach (var segment in bytes)
        {
            for (var rest = segment.Span; !rest.IsEmpty;)
            {
                var filled = (int)(_length - _written);
                var taken = Math.Min(rest.Length, buffer.Length - filled);
                rest[..taken].CopyTo(buffer[filled..]);
                rest = rest[taken..];
                _length += taken;
                if (filled + taken == buffer.Length)
                {
                    WriteFull(file, buffer);
                }
            }
        }
    }

    private void WriteFull(SafeFileHandle file, ReadOnlySpan<byte> buffer)
    {
        _isDirect ??= FileSync.SetDirect(file, true);
        try
        {
            RandomAccess.Write(file, buffer, _written);
        }
        catch (IOException error) when (_isDirect == true && error.HResult == NotAligned)
        {
            _isDirect = false; // the file system wants larger blocks than ours
            FileSync.SetDirect(file, false);
            RandomAccess.Write(file, buffer, _written);
        }

        _written += buffer.Length;
    }

    private void Write(SafeFileHandle file, in ReadOnlySequence<byte> bytes)
    {
        foreach (var segment in bytes)
        {
            _segments.Add(segment);
        }

        RandomAccess.Write(file, _segments, _written); // one pwritev
        _segments.Clear();
        _length += bytes.Length;
        _written = _length;
    }

    private void ReturnSmall()
    {
        if (_small is not null)
        {
            ArrayPool<byte>.Shared.Return(_small);
            _small = null;
        }
    }

    private void ReturnBuffer()
    {
        if (_buffer is { } buffer)
        {
            buffers.Return(buffer);
            _buffer = null;
        }
    }
}
