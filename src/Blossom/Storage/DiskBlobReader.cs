using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>An open file.</summary>
internal sealed class DiskBlobReader(DiskBlobStore store, Bytes32 hash, DiskBlobStore.OpenBlob open, SafeFileHandle file) : LocalBlobReader
{
    private bool _closed;

    public override ValueTask<long> GetLengthAsync(CancellationToken cancellationToken) => ValueTask.FromResult(RandomAccess.GetLength(file));

    public override int Read(Span<byte> target, long offset) => RandomAccess.Read(file, target, offset);

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
