using Marmot.Blossom.Index;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>Finds and deletes blobs for an operator, by command or in the console.</summary>
internal static class BlobSearch
{
    /// <summary>The blobs that a query finds, each once, in no order.</summary>
    public static async Task<IReadOnlyList<BlobClaim>> FindAsync(IBlobIndex index, BlobService blobs, BlobQuery query, int limit, CancellationToken cancel)
    {
        var found = new List<BlobClaim>();
        var seen = new HashSet<Bytes32>();
        await foreach (var claim in index.AllAsync(cancel))
        {
            if (query.Matches(claim, blobs) && seen.Add(claim.Hash))
            {
                found.Add(claim);
                if (found.Count == limit)
                {
                    break;
                }
            }
        }

        return found;
    }

    /// <summary>Deletes what was found; of a query by key only that key's claims, and with the last one the blob. Returns how many claims or blobs
    /// went.</summary>
    public static async Task<long> DeleteAsync(BlobService blobs, BlobQuery query, IReadOnlyList<BlobClaim> found, CancellationToken cancel)
    {
        long removed = 0;
        foreach (var claim in found)
        {
            cancel.ThrowIfCancellationRequested();
            removed += query.Key is { } key
                ? await blobs.RemoveClaimAsync(claim.Hash, key) is ClaimRemoval.Removed or ClaimRemoval.RemovedLast ? 1 : 0
                : await blobs.RemoveBlobAsync(claim.Hash) ? 1 : 0;
        }

        return removed;
    }
}
