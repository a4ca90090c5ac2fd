using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Refusals;
using Marmot.Protocol.Auth;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Endpoints;

/// <summary>DELETE /&lt;sha256&gt; (BUD-12): the caller's claim goes, the bytes with the last one. Several x tags are never a bulk delete.</summary>
internal sealed class DeleteEndpoint(TokenGate gate, BlobService blobs)
{
    public async Task<Refusal?> DeleteAsync(HttpContext context)
    {
        if (!BlobPath.TryParse(context.Request.Path.Value.AsSpan(1), out var hash))
        {
            return Refusal.BadHash;
        }

        if (gate.Check(context, BlossomVerb.Delete, hash, out var token) is { } unauthorized)
        {
            return unauthorized;
        }

        switch (await blobs.RemoveClaimAsync(hash, token!.PublicKey))
        {
            case ClaimRemoval.NoBlob:
                return Refusal.NotFound;
            case ClaimRemoval.NotOwner:
                return Refusal.NotOwner;
            default:
                context.Response.StatusCode = StatusCodes.Status204NoContent;
                return null;
        }
    }
}
