using System.Buffers;
using System.IO.Pipelines;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Storage;

/// <summary>Where the bytes of blobs live. Knows nothing of owners or expiry: that is the index.</summary>
/// <remarks>
/// Callers hold the <see cref="Blobs.HashLocks"/> stripe of the hash around <see cref="BlobDraft.CommitAsync"/> and <see cref="DeleteAsync"/>;
/// everything else may run at any time.
/// </remarks>
internal interface IBlobStore : IAsyncDisposable
{
    /// <summary>Removes what a crash left behind (drafts, blobs half way through deletion). Once, before the first request.</summary>
    ValueTask RecoverAsync(CancellationToken cancellationToken);

    /// <summary>Opens a draft; nothing is visible until it is committed.</summary>
    BlobDraft Begin();

    /// <summary>Opens a blob for reading; null when it is not there. The bytes stay readable until the reader is disposed, whatever is deleted meanwhile.</summary>
    ValueTask<BlobReader?> OpenAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Deletes a blob for good: overwritten, then unlinked, once its last reader is gone. False when there was none.</summary>
    ValueTask<bool> DeleteAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Every committed blob, in no order.</summary>
    IAsyncEnumerable<Bytes32> ListAsync(CancellationToken cancellationToken);

    /// <summary>Bytes that can still be written, or <see cref="long.MaxValue"/> when the store cannot tell.</summary>
    long FreeBytes { get; }
}

/// <summary>A blob being received. Disposing it without a commit leaves nothing behind.</summary>
internal abstract class BlobDraft : IAsyncDisposable
{
    /// <summary>Appends bytes in order; the caller keeps its buffer.</summary>
    /// <exception cref="IOException">The medium is full or broken; see <see cref="DiskErrors"/>.</exception>
    public abstract ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Makes the bytes durable under their hash. Committing a hash that is already there keeps the older bytes.</summary>
    public abstract ValueTask CommitAsync(Bytes32 hash, CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}

/// <summary>An open blob.</summary>
internal abstract class BlobReader : IAsyncDisposable
{
    public abstract long Length { get; }

    /// <summary>Copies <paramref name="count"/> bytes from <paramref name="offset"/>; the range lies inside the blob.</summary>
    public abstract ValueTask CopyToAsync(PipeWriter destination, long offset, long count, CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}
