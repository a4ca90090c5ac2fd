using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Index;

/// <summary>One key's hold on one blob (BUD-12). <see cref="Owner"/> is the public key, or an HMAC of it in the private profile.</summary>
/// <param name="Hash">SHA-256 of the bytes.</param>
/// <param name="Owner">Owner tag; equality is all that may be asked of it.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Type">MIME type as kept, at most 127 characters.</param>
/// <param name="UploadedAt">Unix seconds.</param>
/// <param name="ExpiresAt">Unix seconds, or null for never.</param>
/// <param name="Mark">Where the bytes are (<see cref="BlobPlace"/>); the same for all claims on a blob.</param>
/// <param name="ReadAt">Unix seconds of the last download that was noted (<see cref="BlossomOptions.EndUnreadAfter"/>), to the day; 0 for none.</param>
internal readonly record struct BlobClaim(Bytes32 Hash, Bytes32 Owner, long Size, string Type, long UploadedAt, long? ExpiresAt, Guid Mark = default,
    long ReadAt = 0);

/// <summary>What is known of a blob while at least one claim holds it.</summary>
/// <remarks><see cref="ExpiresAt"/> is the end of the claim that lasts longest in unix seconds, or null when one never ends.</remarks>
internal sealed record BlobEntry(Bytes32 Hash, long Size, string Type, long UploadedAt, long? ExpiresAt, int Claims, Guid Mark = default)
{
    public BlobPlace Place => new(Hash, Mark);

    /// <summary>The blob as one claim alone tells it: for one that ended in the very second it was added.</summary>
    public static BlobEntry Of(in BlobClaim claim) => new(claim.Hash, claim.Size, claim.Type, claim.UploadedAt, claim.ExpiresAt, 1, claim.Mark);
}

/// <summary>The blob as it is after a claim was added; <see cref="IsNew"/> when it was not there before.</summary>
internal readonly record struct AddedClaim(BlobEntry Entry, bool IsNew);

/// <summary>What became of a claim, and where the bytes were when it was the last.</summary>
internal readonly record struct RemovedClaim(ClaimRemoval Removal, BlobPlace Place);

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

/// <summary>Who holds which blob, and until when. Every change is durable before its task completes, and each is one step for all replicas.</summary>
/// <remarks>An index that is away throws <see cref="StorageUnavailableException"/>; whether the change came through is then not known.</remarks>
internal interface IBlobIndex : IAsyncDisposable
{
    /// <summary>The blob, or null. Expired claims count as gone.</summary>
    ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>As <see cref="FindAsync(Bytes32, CancellationToken)"/>, by another date than the system's, in Unix seconds: for what deletes for
    /// good.</summary>
    ValueTask<BlobEntry?> FindAsync(Bytes32 hash, long now, CancellationToken cancellationToken);

    /// <summary>Adds a claim, or renews the owner's older one. When the blob is known already, its bytes stay where they are: the entry tells where. A type
    /// better than octet-stream stays too (<see cref="Policies.BlobTypes.Better"/>).</summary>
    ValueTask<AddedClaim> AddAsync(BlobClaim claim, CancellationToken cancellationToken);

    /// <summary>Adds or renews a claim on a blob that is there, whose mark, size and type it takes over; null, and nothing added, when it is not.</summary>
    ValueTask<BlobEntry?> JoinAsync(BlobClaim claim, CancellationToken cancellationToken);

    ValueTask<RemovedClaim> RemoveAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancellationToken);

    /// <summary>Removes every claim on a blob: where its bytes were, or null when there was none.</summary>
    ValueTask<BlobPlace?> RemoveBlobAsync(Bytes32 hash, CancellationToken cancellationToken);

    /// <summary>Removes the claims on one blob that have ended by a date in Unix seconds. When none is left: where the bytes are that must go.</summary>
    ValueTask<BlobPlace?> RemoveExpiredAsync(Bytes32 hash, long now, CancellationToken cancellationToken);

    /// <summary>The bytes of a blob are elsewhere now: all its claims follow.</summary>
    ValueTask MoveAsync(Bytes32 hash, Guid mark, CancellationToken cancellationToken);

    /// <summary>Up to <paramref name="limit"/> blobs with at least one claim that has ended by a date in Unix seconds.</summary>
    ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(long now, int limit, CancellationToken cancellationToken);

    /// <summary>Notes that a blob was read at a date in Unix seconds; nothing when it is gone.</summary>
    ValueTask TouchAsync(Bytes32 hash, long readAt, CancellationToken cancellationToken);

    /// <summary>Up to <paramref name="limit"/> blobs that were neither uploaded nor read since a date in Unix seconds.</summary>
    ValueTask<IReadOnlyList<Bytes32>> FindUnreadAsync(long since, int limit, CancellationToken cancellationToken);

    /// <summary>Removes every claim on a blob that was neither uploaded nor read since a date in Unix seconds: where its bytes were, or null when it is not
    /// such a blob.</summary>
    ValueTask<BlobPlace?> RemoveUnreadAsync(Bytes32 hash, long since, CancellationToken cancellationToken);

    /// <summary>Bytes of all blobs that an owner holds a claim on; 0 where owners cannot be listed (private profile).</summary>
    ValueTask<long> BytesOfAsync(Bytes32 owner, CancellationToken cancellationToken);

    /// <summary>Claims of one owner, newest first, ties by hash; <paramref name="after"/> is the last hash of the page before (BUD-12), which may have been
    /// removed since.</summary>
    /// <returns>Null when <paramref name="after"/> is no claim of the owner's and was none in the last hour.</returns>
    ValueTask<IReadOnlyList<BlobEntry>?> ListAsync(Bytes32 owner, Bytes32? after, int limit, CancellationToken cancellationToken);

    /// <summary>Every claim, ended ones included, in no order.</summary>
    IAsyncEnumerable<BlobClaim> AllAsync(CancellationToken cancellationToken);

    /// <summary>As far as this process knows: its own changes at once, those of other replicas within a minute.</summary>
    BlobTotals Totals { get; }

    /// <summary>Claims that cannot be read any more and are kept as they are. While there are any, bytes without a claim may be theirs.</summary>
    int DamagedClaims { get; }

    /// <summary>Gives up the claims that cannot be read. Returns how many there were.</summary>
    ValueTask<int> DropDamagedAsync(CancellationToken cancellationToken);

    /// <summary>Asks the index for an answer, and makes it ready when it was not.</summary>
    /// <exception cref="StorageUnavailableException">It gives none.</exception>
    ValueTask ProbeAsync(CancellationToken cancellationToken);
}
