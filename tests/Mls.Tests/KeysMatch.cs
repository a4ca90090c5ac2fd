using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests;

/// <summary>An invariant between operations: every private key that a member holds belongs to the public key in the tree.</summary>
internal static class KeysMatch
{
    public static bool Match(this TreeKeys keys, RatchetTree tree)
        => keys.ByNode.All(k => tree.Suite.Kem.PublicKey(k.Value).AsSpan().SequenceEqual(tree.PublicKey(k.Key)));
}
