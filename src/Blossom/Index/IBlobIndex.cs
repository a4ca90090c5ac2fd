using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Index;

/// <summary>One key's hold on one blob (BUD-12). <see cref="Owner"/> is the public key, or an HMAC of it in the private profile.</summary>
/// <param name="Hash">SHA-256 of the bytes.</param>
/// <param name="Owner">Owner tag; equality is all that may be asked of it.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Type">MIME type as kept, at most 127 characters.</param>
/// <param name="UploadedAt">Unix seconds.</param>
/// <param name="ExpiresAt">Unix seconds, or null for never.</param>
internal readonly record struct BlobClaim(Bytes32 Hash, Bytes32 Owner, long Size, string Type, long UploadedAt, long? ExpiresAt);

/// <summary>What is known of a blob while at least one claim holds it.</summary>
/// <remarks><see cref="ExpiresAt"/> is the end of the claim that lasts longest in unix seconds, or null when one never ends.</remarks>
internal sealed record BlobEntry(Bytes32 Hash, long Size, string Type, long UploadedAt, long? ExpiresAt, int Claims);

/// <summary>Totals over all blobs.</summary>
internal readonly record struct BlobTotals(long Blobs, long Claims, long Bytes);

/// <summary>What became of a claim that was to be removed.</summary>
internal enum ClaimRemoval
{
    /// <summary>No blob of that hash.</summary>
    NoBlob,

    /// <summary>The blob is there, the claim is not.</summary>
    NotOwner,

    /// <summary>Removed; other claims hold the blob.</summary>
    Removed,

    /// <summary>Removed, and it was the last: the bytes must go.</summary>
    RemovedLast,
}

/// <summary>Who holds which blob, and until when. Every change is durable before its task completes.</summary>
internal interface IBlobIndex : IAsyncDisposable
{
    /// <summary>The blob, or null. Expired claims count as gone.</summary>
    ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Adds a claim, or renews the owner's older one. True when the blob was not there before.</summary>
    ValueTask<bool> AddAsync(BlobClaim claim, CancellationToken cancellationToken);

    ValueTask<ClaimRemoval> RemoveAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancellationToken);

    /// <summary>Removes every claim on a blob. False when there was none.</summary>
    ValueTask<bool> RemoveBlobAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Removes the claims on one blob that have ended. True when none is left and the bytes must go.</summary>
    ValueTask<bool> RemoveExpiredAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Up to <paramref name="limit"/> blobs with at least one claim that has ended.</summary>
    ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(int limit, CancellationToken cancellationToken);

    /// <summary>Claims of one owner, newest first, ties by hash; <paramref name="after"/> is the last hash of the page before (BUD-12).</summary>
    ValueTask<IReadOnlyList<BlobEntry>> ListAsync(Bytes32 owner, Bytes32? after, int limit, CancellationToken cancellationToken);

    /// <summary>Every claim, ended ones included, in no order.</summary>
    IAsyncEnumerable<BlobClaim> AllAsync(CancellationToken cancellationToken);

    BlobTotals Totals { get; }
}
