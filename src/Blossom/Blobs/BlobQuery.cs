using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>What an operator looks for among stored blobs; what is null is not asked.</summary>
internal sealed record BlobQuery
{
    /// <summary>First hex digits of the hash.</summary>
    public string? HashPrefix { get; init; }

    /// <summary>Who holds a claim.</summary>
    public Bytes32? Key { get; init; }

    /// <summary>Type, <c>image/*</c> allowed.</summary>
    public string? Type { get; init; }

    public long? MinBytes { get; init; }

    public long? MaxBytes { get; init; }

    /// <summary>Uploaded before, unix seconds.</summary>
    public long? Before { get; init; }

    /// <summary>Uploaded since, unix seconds.</summary>
    public long? Since { get; init; }

    /// <summary>Leaves nothing out.</summary>
    public bool IsEmpty => this == new BlobQuery();

    public bool Matches(in BlobClaim claim, BlobService blobs) =>
        (HashPrefix is null || claim.Hash.ToString().StartsWith(HashPrefix, StringComparison.Ordinal))
        && (Type is null || BlobTypes.Matches(Type, claim.Type))
        && !(claim.Size < MinBytes) && !(claim.Size > MaxBytes)
        && !(claim.UploadedAt >= Before) && !(claim.UploadedAt < Since)
        && (Key is not { } key || blobs.IsOwner(key, claim)); // last: an HMAC in the private profile
}
