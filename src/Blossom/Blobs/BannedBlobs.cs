using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>Deletes what is stored of banned blobs, and the claims of banned keys.</summary>
internal sealed class BannedBlobs(BlobService blobs) : IDecisionFollower
{
    public string Name => BlossomFolders.Name;

    public async Task ApplyAsync(ModerationState before, ModerationState now, CancellationToken cancel)
    {
        foreach (var hash in now.BannedBlobs.Keys.Except(before.BannedBlobs.Keys))
        {
            await blobs.RemoveBlobAsync(Bytes32.ParseHex(hash));
        }

        Bytes32[] keys = [.. now.BannedKeys.Keys.Except(before.BannedKeys.Keys).Select(Bytes32.ParseHex)];
        if (keys.Length > 0)
        {
            await blobs.RemoveClaimsOfAsync(keys, cancel);
        }
    }
}
