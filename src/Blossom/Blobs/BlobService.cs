using System.Collections.Concurrent;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Storage;
using Marmot.Hosting.Deletion;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>Bytes and claims together: the only place where both change, under the lock of the hash.</summary>
/// <remarks>
/// Order on disk: bytes, then claim, then the answer; on the way out claim, then bytes. A crash in between leaves bytes without a claim, which
/// are never served and which <see cref="RemoveOrphansAsync"/> takes away; it never leaves a claim without bytes. The lock is this process's own:
/// between replicas the index decides, and bytes that lost a race lie in a place of their own (<see cref="BlobPlace"/>).
/// </remarks>
internal sealed class BlobService(
    IBlobStore store, IBlobIndex index, HashLocks locks, OwnerTags owners, UploadPolicy policy, TimeProvider time, DeletionDate deletion,
    ILogger<BlobService> logger)
{
    /// <summary>Bytes of other processes that are younger may be between commit and claim.</summary>
    private static readonly TimeSpan OrphanAge = TimeSpan.FromHours(1);

    private const int MaxLeftBehind = 10_000; // more are found again by RemoveOrphansAsync
    private readonly ConcurrentQueue<BlobPlace> _leftBehind = new();

    /// <summary>Keeps a received blob for a key. True when it was not there before.</summary>
    public async ValueTask<AddedClaim> KeepAsync(BlobDraft draft, Bytes32 hash, long size, string type, Bytes32 publicKey, long? askedEnd)
    {
        using var held = await locks.AcquireAsync(hash);
        var claim = new BlobClaim(hash, owners.For(publicKey, hash), size, type, time.GetUtcNow().ToUnixTimeSeconds(), policy.EndOf(type, size, askedEnd));

        // 1. bytes that are there need a claim only; another replica may have taken them away since they were found
        var known = await index.FindAsync(hash, CancellationToken.None);
        var isWhole = known is not null && await store.HoldsAsync(known.Place, known.Size, CancellationToken.None);
        if (isWhole && await index.JoinAsync(claim, CancellationToken.None) is { } joined)
        {
            return new AddedClaim(joined, false);
        }

        // 2. bytes, then claim
        var place = await draft.CommitAsync(hash, CancellationToken.None);
        AddedClaim added;
        try
        {
            added = await index.AddAsync(claim with { Mark = place.Mark }, CancellationToken.None);
        }
        catch (IOException error) when (error is not StorageUnavailableException and not FlushFailedException)
        {
            await DiscardAsync(place); // the claim was not written: as if never uploaded
            throw;
        }

        if (added.Entry.Mark == place.Mark)
        {
            return added;
        }

        // 3. the blob has other bytes: another replica was faster, or they are damaged and the new ones take their place
        if (await store.HoldsAsync(added.Entry.Place, size, CancellationToken.None))
        {
            await DiscardAsync(place);
            return added;
        }

        await index.MoveAsync(hash, place.Mark, CancellationToken.None);
        await DiscardAsync(added.Entry.Place);
        BlossomLog.Repaired(logger);
        return added with { Entry = added.Entry with { Mark = place.Mark } };
    }

    /// <summary>Takes a key's claim away, and the bytes with the last one (BUD-12).</summary>
    public async ValueTask<ClaimRemoval> RemoveClaimAsync(Bytes32 hash, Bytes32 publicKey)
    {
        using var held = await locks.AcquireAsync(hash);
        var removed = await index.RemoveAsync(hash, owners.For(publicKey, hash), CancellationToken.None);
        if (removed.Removal == ClaimRemoval.RemovedLast)
        {
            await DiscardAsync(removed.Place);
        }

        return removed.Removal;
    }

    /// <summary>Takes a blob away whoever holds it: the operator's delete.</summary>
    public async ValueTask<bool> RemoveBlobAsync(Bytes32 hash)
    {
        using var held = await locks.AcquireAsync(hash);
        var known = await index.RemoveBlobAsync(hash, CancellationToken.None);
        return await store.DeleteAsync(known ?? new BlobPlace(hash, Guid.Empty), CancellationToken.None) || known is not null;
    }

    /// <summary>Removes the claims of keys, and the bytes of blobs that nobody else holds: a ban, or the operator's purge. One pass over all claims, since in
    /// the private profile
    /// the index cannot be asked by key.</summary>
    /// <returns>How many claims went, and how many blobs with them.</returns>
    public async ValueTask<(long Claims, long Blobs)> RemoveClaimsOfAsync(IReadOnlyCollection<Bytes32> publicKeys, CancellationToken cancellationToken)
    {
        var found = new List<(Bytes32 Hash, Bytes32 Key)>();
        await foreach (var claim in index.AllAsync(cancellationToken))
        {
            foreach (var key in publicKeys)
            {
                if (claim.Owner == owners.For(key, claim.Hash))
                {
                    found.Add((claim.Hash, key));
                }
            }
        }

        long claims = 0, blobs = 0;
        foreach (var (hash, key) in found)
        {
            var removal = await RemoveClaimAsync(hash, key);
            claims += removal is ClaimRemoval.Removed or ClaimRemoval.RemovedLast ? 1 : 0;
            blobs += removal == ClaimRemoval.RemovedLast ? 1 : 0;
        }

        return (claims, blobs);
    }

    /// <summary>Whether a key holds a claim.</summary>
    public bool IsOwner(Bytes32 publicKey, in BlobClaim claim) => claim.Owner == owners.For(publicKey, claim.Hash);

    /// <summary>Removes up to <paramref name="limit"/> blobs that nobody has uploaded or read for a time, by the date of deletions. Returns how many
    /// went.</summary>
    public async ValueTask<int> RemoveUnreadAsync(TimeSpan unreadFor, int limit, CancellationToken cancellationToken)
    {
        var since = (await deletion.GetAsync(cancellationToken) - unreadFor).ToUnixTimeSeconds();
        var removed = 0;
        foreach (var hash in await index.FindUnreadAsync(since, limit, cancellationToken))
        {
            using var held = await locks.AcquireAsync(hash);
            if (await index.RemoveUnreadAsync(hash, since, CancellationToken.None) is { } place)
            {
                await DiscardAsync(place);
                removed++;
            }
        }

        return removed;
    }

    /// <summary>Up to <paramref name="limit"/> blobs with a claim that has ended by the date of deletions.</summary>
    public async ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(int limit, CancellationToken cancellationToken) =>
        await index.FindExpiredAsync((await deletion.GetAsync(cancellationToken)).ToUnixTimeSeconds(), limit, cancellationToken);

    /// <summary>Removes the claims of one blob that have ended by the date of deletions. True when the bytes went too.</summary>
    public async ValueTask<bool> RemoveExpiredAsync(Bytes32 hash)
    {
        using var held = await locks.AcquireAsync(hash);
        var now = (await deletion.GetAsync(CancellationToken.None)).ToUnixTimeSeconds();
        if (await index.RemoveExpiredAsync(hash, now, CancellationToken.None) is not { } place)
        {
            return false;
        }

        await DiscardAsync(place);
        return true;
    }

    /// <summary>What the disk has lost of acknowledged claims and blobs, as far as anybody looked.</summary>
    public (int Claims, int Blobs) Damage => (index.DamagedClaims, store.DamagedBlobs);

    /// <summary>Tells damage from what a crash left, once the index can be asked.</summary>
    public ValueTask SortOutSuspectsAsync(CancellationToken cancellationToken)
    {
        return store.SortOutSuspectsAsync(index.DamagedClaims > 0 ? null : ClaimedAsync, cancellationToken);

        async ValueTask<IReadOnlyCollection<BlobPlace>> ClaimedAsync()
        {
            var places = new HashSet<BlobPlace>();
            await foreach (var claim in index.AllAsync(cancellationToken))
            {
                places.Add(new BlobPlace(claim.Hash, claim.Mark));
            }

            return places;
        }
    }

    /// <summary>Deletes bytes that no claim holds, left by a crash between two steps. Returns how many blobs went; none while claims cannot be read, since the
    /// bytes may be theirs.</summary>
    public async ValueTask<int> RemoveOrphansAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        if (index.DamagedClaims > 0)
        {
            return 0;
        }

        var date = await deletion.GetAsync(cancellationToken); // a claim that has ended by the system date alone holds its bytes
        var now = date.ToUnixTimeSeconds();
        await foreach (var (place, writtenAt) in store.ListAsync(cancellationToken))
        {
            if (date - writtenAt < OrphanAge || await IsClaimedAsync(place, now, cancellationToken))
            {
                continue;
            }

            using var held = await locks.AcquireAsync(place.Hash);
            await index.RemoveExpiredAsync(place.Hash, now, CancellationToken.None); // claims that ended but were not swept yet
            if (!await IsClaimedAsync(place, now, cancellationToken))
            {
                removed += await store.DeleteAsync(place, CancellationToken.None) ? 1 : 0;
            }
        }

        return removed;
    }

    /// <summary>Tries again to delete the bytes of blobs that went while the store was away.</summary>
    public async ValueTask RemoveLeftBehindAsync(CancellationToken cancellationToken)
    {
        while (_leftBehind.TryPeek(out var place))
        {
            await store.DeleteAsync(place, cancellationToken);
            _leftBehind.TryDequeue(out _);
        }
    }

    private async ValueTask<bool> IsClaimedAsync(BlobPlace place, long now, CancellationToken cancellationToken) =>
        await index.FindAsync(place.Hash, now, cancellationToken) is { } entry && entry.Mark == place.Mark;

    /// <summary>Deletes bytes whose claim is gone: nobody is served them any more, so a store that is away now may be asked later.</summary>
    private async ValueTask DiscardAsync(BlobPlace place)
    {
        try
        {
            await store.DeleteAsync(place, CancellationToken.None);
        }
        catch (StorageUnavailableException) when (_leftBehind.Count < MaxLeftBehind)
        {
            _leftBehind.Enqueue(place);
        }
    }
}
