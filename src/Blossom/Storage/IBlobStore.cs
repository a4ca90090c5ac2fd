using System.Buffers;
using System.IO.Pipelines;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Storage;

/// <summary>Where the bytes of blobs live. Knows nothing of owners or expiry: that is the index.</summary>
/// <remarks>
/// Callers hold the <see cref="Blobs.HashLocks"/> stripe of the hash around <see cref="BlobDraft.CommitAsync"/> and <see cref="DeleteAsync"/>;
/// everything else may run at any time. A store that is away throws <see cref="StorageUnavailableException"/>.
/// </remarks>
internal interface IBlobStore : IAsyncDisposable
{
    /// <summary>Removes what a crash left behind on this machine (drafts, blobs half way through deletion). Once, before the first request.</summary>
    ValueTask RecoverAsync(CancellationToken cancellationToken);

    /// <summary>After <see cref="RecoverAsync"/>, once the index can be asked: what a crash may have left or the disk may have damaged is told apart by what
    /// claims name.</summary>
    /// <param name="claimed">Asks for all places that claims name; null when some claims cannot be read, and nothing may be cleared.</param>
    /// <param name="cancellationToken">Gives it up; it may be done again.</param>
    ValueTask SortOutSuspectsAsync(Func<ValueTask<IReadOnlyCollection<BlobPlace>>>? claimed, CancellationToken cancellationToken);

    /// <summary>Blobs that were acknowledged and cannot be read any more, as far as anybody looked.</summary>
    int DamagedBlobs { get; }

    /// <summary>Whether a blob is one of <see cref="DamagedBlobs"/>.</summary>
    bool IsDamaged(BlobPlace place);

    /// <summary>Whether the bytes of a blob are there and, as far as that is cheap to tell, whole. A remote store is believed.</summary>
    ValueTask<bool> HoldsAsync(BlobPlace place, long size, CancellationToken cancellationToken);

    /// <summary>Opens a draft; nothing is visible until it is committed.</summary>
    /// <param name="announced">The hash the bytes are said to have: a remote store can then send while it receives. Any other hash may not be
    /// committed.</param>
    BlobDraft Begin(Bytes32? announced);

    /// <summary>Opens a blob for reading; null when it is not there. A reader that has begun to copy never gives other bytes, whatever is deleted
    /// meanwhile.</summary>
    ValueTask<BlobReader?> OpenAsync(BlobPlace place, CancellationToken cancellationToken);

    /// <summary>Deletes a blob for good; on disk overwritten, then unlinked, once its last reader is gone. False when there was none, as far as the store can
    /// tell.</summary>
    ValueTask<bool> DeleteAsync(BlobPlace place, CancellationToken cancellationToken);

    /// <summary>Every committed blob, in no order.</summary>
    IAsyncEnumerable<StoredBlob> ListAsync(CancellationToken cancellationToken);

    /// <summary>Bytes that can still be written, or <see cref="long.MaxValue"/> when the store cannot tell.</summary>
    long FreeBytes { get; }

    /// <summary>Where else a client may fetch the bytes for a while (BUD-01, 307); null when only this server serves them.</summary>
    Uri? PresignedUrl(BlobPlace place, string type);

    /// <summary>Asks the store for an answer.</summary>
    /// <exception cref="StorageUnavailableException">It gives none.</exception>
    ValueTask ProbeAsync(CancellationToken cancellationToken);
}

/// <summary>Where a blob's bytes are. The mark is the store's own; <see cref="Guid.Empty"/> where the hash alone tells.</summary>
/// <remarks>A mark is used once: bytes uploaded again after a deletion lie elsewhere, so replicas need no lock between them to keep a late deletion off new
/// bytes.</remarks>
internal readonly record struct BlobPlace(Bytes32 Hash, Guid Mark);

/// <summary>A blob as the store finds it; <see cref="WrittenAt"/> is null when no other process can be about to claim it.</summary>
internal readonly record struct StoredBlob(BlobPlace Place, DateTimeOffset? WrittenAt);

/// <summary>The store or the index cannot be reached now. Whether the last change came through is not known.</summary>
internal sealed class StorageUnavailableException(string part, Exception? inner = null) : IOException($"{part} does not answer", inner)
{
    /// <summary>What is away, for <c>/readyz</c>.</summary>
    public string Part { get; } = part;

    /// <summary>How that showed: the kind of the fault, never its message, which might name hosts, keys or hashes. Null when there simply was no
    /// answer.</summary>
    public string? Kind { get; } = KindOf(inner);

    private static string? KindOf(Exception? inner)
    {
        for (var error = inner; error is not null; error = error.InnerException)
        {
            if (error is HttpRequestException or TimeoutException or OperationCanceledException or System.Net.Sockets.SocketException or EndOfStreamException)
            {
                return null;
            }
        }

        return inner is InvalidDataException odd ? odd.Message : inner?.GetType().Name; // the message is our own words
    }
}

/// <summary>A blob being received. Disposing it without a commit leaves nothing behind.</summary>
internal abstract class BlobDraft : IAsyncDisposable
{
    /// <summary>Appends bytes in order; the caller keeps its buffer.</summary>
    /// <exception cref="IOException">The medium is full or broken; see <see cref="DiskErrors"/>.</exception>
    public abstract ValueTask AppendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Makes the bytes durable under their hash. Committing a hash that is already in the same place keeps the older bytes.</summary>
    public abstract ValueTask<BlobPlace> CommitAsync(Bytes32 hash, CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}

/// <summary>An open blob.</summary>
internal abstract class BlobReader : IAsyncDisposable
{
    public abstract ValueTask<long> GetLengthAsync(CancellationToken cancellationToken);

    /// <summary>Copies <paramref name="count"/> bytes from <paramref name="offset"/>; the range lies inside the blob.</summary>
    /// <exception cref="FileNotFoundException">Before the first byte: the blob was deleted since it was opened.</exception>
    /// <exception cref="EndOfStreamException">The stored bytes are fewer than they should be.</exception>
    public abstract ValueTask CopyToAsync(PipeWriter destination, long offset, long count, CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}
