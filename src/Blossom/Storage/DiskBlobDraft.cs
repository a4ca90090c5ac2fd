using System.Buffers;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An upload on its way to disk. Owned by one request.</summary>
internal sealed class DiskBlobDraft : BlobDraft
{
    // A long upload is pushed to the medium as it comes, so that the fsync before the answer has little left to do.
    private const long FlushEveryBytes = 32L * 1024 * 1024;

    private readonly DiskBlobStore _store;
    private readonly string _path;
    private readonly SafeFileHandle _file;
    private readonly List<ReadOnlyMemory<byte>> _segments = [];
    private long _length;
    private long _flushed;
    private bool _published;

    public DiskBlobDraft(DiskBlobStore store, string path)
    {
        _store = store;
        _path = path;
        // Not preallocated by the declared length: idle uploads that promise much would fill the disk with nothing.
        _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.Delete);
    }

    public override ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        if (bytes.IsSingleSegment)
        {
            RandomAccess.Write(_file, bytes.FirstSpan, _length);
        }
        else
        {
            foreach (var segment in bytes)
            {
                _segments.Add(segment);
            }

            RandomAccess.Write(_file, _segments, _length); // one pwritev
            _segments.Clear();
        }

        _length += bytes.Length;
        if (_length - _flushed >= FlushEveryBytes)
        {
            FileSync.Data(_file);
            _flushed = _length;
        }

        return ValueTask.CompletedTask;
    }

    public override ValueTask<BlobPlace> CommitAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        File.SetLastWriteTimeUtc(_file, _store.Today);
        RandomAccess.FlushToDisk(_file);
        _file.Dispose();
        _store.Publish(_path, hash);
        _published = true;
        return ValueTask.FromResult(new BlobPlace(hash, Guid.Empty));
    }

    public override ValueTask DisposeAsync()
    {
        _file.Dispose();
        if (!_published)
        {
            File.Delete(_path);
        }

        return ValueTask.CompletedTask;
    }
}
