using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Client;

/// <summary>The tie between an MLS leaf and a Nostr account: a basic credential of 32 bytes, the x-only key (MIP-00).</summary>
internal static class MarmotIdentity
{
    // Any key will do: the ECDH with it fails exactly for keys that are not on the curve.
    private static readonly SecretKey Probe = SecretKey.Generate();

    /// <summary>Reads a credential; false for other types, lengths, and keys that are not on the curve.</summary>
    internal static bool TryRead(Credential credential, out Bytes32 publicKey)
    {
        publicKey = default;
        if (credential.Type != CredentialType.Basic || credential.Content.Length != Bytes32.Size)
        {
            return false;
        }

        publicKey = new Bytes32(credential.Content);
        Span<byte> shared = stackalloc byte[32];
        return Probe.TryDeriveSharedX(publicKey, shared);
    }

    /// <summary>The account of a leaf that is in a group already: checked when it came in.</summary>
    internal static Bytes32 Of(LeafNode leaf) => leaf.Credential.Content.Length == Bytes32.Size ? new Bytes32(leaf.Credential.Content) : default;

    /// <summary>The MLS rule: a new leaf has a readable identity, a changed leaf keeps its own.</summary>
    internal static bool Accepts(LeafNode? old, LeafNode leaf) => old is null ? TryRead(leaf.Credential, out _) : leaf.Credential.SameAs(old.Credential);
}
