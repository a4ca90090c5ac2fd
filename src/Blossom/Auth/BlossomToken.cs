using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Auth;

/// <summary>An authorization event (kind 24242) that passed every check of BUD-11 for the request at hand.</summary>
/// <param name="PublicKey">Who signed.</param>
/// <param name="Hashes">Its <c>x</c> tags.</param>
/// <param name="WorkBits">Proof of work shown and committed to (NIP-13), in bits.</param>
internal sealed record BlossomToken(Bytes32 PublicKey, IReadOnlyList<Bytes32> Hashes, int WorkBits)
{
    public bool Covers(Bytes32 hash) => Hashes.Contains(hash);
}
