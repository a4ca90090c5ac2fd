using System.IO.Pipelines;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An open file, read straight into the connection's output buffer: one copy from the page cache, none in between.</summary>
internal sealed class DiskBlobReader(DiskBlobStore store, Bytes32 hash, DiskBlobStore.OpenBlob open, SafeFileHandle file) : BlobReader
{
    private const int ChunkBytes = 64 * 1024;
    private bool _closed;

    public override ValueTask<long> GetLengthAsync(CancellationToken cancellationToken) => ValueTask.FromResult(RandomAccess.GetLength(file));

    public override async ValueTask CopyToAsync(PipeWriter destination, long offset, long count, CancellationToken cancellationToken)
    {
        while (count > 0)
        {
            var buffer = destination.GetMemory((int)Math.Min(ChunkBytes, count));
            var read = RandomAccess.Read(file, buffer.Span[..(int)Math.Min(buffer.Length, count)], offset);
            if (read == 0)
            {
                throw new EndOfStreamException("blob file is shorter than its index entry");
            }

            destination.Advance(read);
            offset += read;
            count -= read;
            var flush = await destination.FlushAsync(cancellationToken);
            if (flush.IsCompleted)
            {
                return;
            }
        }
    }

    public override ValueTask DisposeAsync()
    {
        if (!_closed)
        {
            _closed = true;
            file.Dispose();
            store.Close(hash, open);
        }

        return ValueTask.CompletedTask;
    }
}
