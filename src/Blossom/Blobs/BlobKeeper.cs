using Marmot.Blossom.Auth;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>Bytes and claims together: the only place where both change, under the lock of the hash.</summary>
/// <remarks>
/// Order on disk: bytes, then claim, then the answer; on the way out claim, then bytes. A crash in between leaves bytes without a claim, which
/// are never served and which <see cref="RemoveOrphansAsync"/> takes away; it never leaves a claim without bytes.
/// </remarks>
internal sealed class BlobKeeper(IBlobStore store, IBlobIndex index, HashLocks locks, OwnerTags owners, UploadPolicy policy, TimeProvider time)
{
    /// <summary>Keeps a received blob for a key. True when it was not there before.</summary>
    public async ValueTask<(BlobEntry Entry, bool IsNew)> KeepAsync(BlobDraft draft, Bytes32 hash, long size, string type, Bytes32 publicKey, long? askedEnd)
    {
        using var held = await locks.AcquireAsync(hash);
        var known = await index.FindAsync(hash, CancellationToken.None);
        if (known is null)
        {
            await draft.CommitAsync(hash, CancellationToken.None);
        }

        var claim = new BlobClaim(
            hash, owners.For(publicKey, hash), size, known?.Type ?? type, time.GetUtcNow().ToUnixTimeSeconds(), policy.EndOf(type, size, askedEnd));
        try
        {
            var isNew = await index.AddAsync(claim, CancellationToken.None);
            var entry = await index.FindAsync(hash, CancellationToken.None)
                ?? new BlobEntry(hash, size, claim.Type, claim.UploadedAt, claim.ExpiresAt, 1); // ended in the very second it came
            return (entry, isNew);
        }
        catch (IOException) when (known is null)
        {
            await store.DeleteAsync(hash, CancellationToken.None); // the claim could not be written: as if never uploaded
            throw;
        }
    }

    /// <summary>Takes a key's claim away, and the bytes with the last one (BUD-12).</summary>
    public async ValueTask<ClaimRemoval> RemoveClaimAsync(Bytes32 hash, Bytes32 publicKey)
    {
        using var held = await locks.AcquireAsync(hash);
        var removal = await index.RemoveAsync(hash, owners.For(publicKey, hash), CancellationToken.None);
        if (removal == ClaimRemoval.RemovedLast)
        {
            await store.DeleteAsync(hash, CancellationToken.None);
        }

        return removal;
    }

    /// <summary>Takes a blob away whoever holds it: the operator's delete.</summary>
    public async ValueTask<bool> RemoveBlobAsync(Bytes32 hash)
    {
        using var held = await locks.AcquireAsync(hash);
        var known = await index.RemoveBlobAsync(hash, CancellationToken.None);
        return await store.DeleteAsync(hash, CancellationToken.None) || known;
    }

    /// <summary>Removes the claims of one blob that have ended. True when the bytes went too.</summary>
    public async ValueTask<bool> RemoveExpiredAsync(Bytes32 hash)
    {
        using var held = await locks.AcquireAsync(hash);
        if (!await index.RemoveExpiredAsync(hash, CancellationToken.None))
        {
            return false;
        }

        await store.DeleteAsync(hash, CancellationToken.None);
        return true;
    }

    /// <summary>Deletes bytes that no claim holds, left by a crash between two steps. Returns how many blobs went.</summary>
    public async ValueTask<int> RemoveOrphansAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        await foreach (var hash in store.ListAsync(cancellationToken))
        {
            if (await index.FindAsync(hash, cancellationToken) is not null)
            {
                continue;
            }

            using var held = await locks.AcquireAsync(hash);
            if (await index.FindAsync(hash, cancellationToken) is null)
            {
                await index.RemoveBlobAsync(hash, CancellationToken.None); // claims that ended but were not swept yet
                removed += await store.DeleteAsync(hash, CancellationToken.None) ? 1 : 0;
            }
        }

        return removed;
    }
}
