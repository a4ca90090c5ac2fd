using Marmot.Mls.Codec;

namespace Marmot.Mls.Tree;

/// <summary>Tree hashes and parent hashes (RFC 9420, 7.8 and 7.9).</summary>
internal sealed partial class RatchetTree
{
    public byte[] TreeHash() => TreeHash(Root);

    public byte[] TreeHash(int node) => _hashes[node] ??= HashNode(node, default);

    /// <summary>
    /// The hash of a subtree as if these leaves (sorted) had not been added: the original sibling tree hash of 7.9. Only nodes above such leaves are hashed
    /// anew.
    /// </summary>
    private byte[] TreeHashWithout(int node, ReadOnlySpan<uint> leaves)
    {
        var below = Under(node, leaves);
        return below.IsEmpty ? TreeHash(node) : HashNode(node, below);
    }

    /// <summary>Those of the sorted leaves that lie under the node.</summary>
    private static ReadOnlySpan<uint> Under(int node, ReadOnlySpan<uint> leaves)
    {
        if (leaves.IsEmpty) return leaves;
        var first = (uint)TreeMath.FirstLeaf(node);
        return leaves[LowerBound(leaves, first)..LowerBound(leaves, first + (uint)TreeMath.LeavesUnder(node))];
    }

    private static int LowerBound(ReadOnlySpan<uint> leaves, uint value)
    {
        var at = leaves.BinarySearch(value);
        return at < 0 ? ~at : at;
    }

    private byte[] HashNode(int node, ReadOnlySpan<uint> without)
    {
        if (TreeMath.IsLeaf(node))
        {
            var leaf = without.IsEmpty ? _leaves[node >> 1] : null;
            var leafWriter = new TlsWriter(6 + (leaf?.Encoded.Length ?? 0));
            leafWriter.WriteByte(1);
            leafWriter.WriteUInt32((uint)(node >> 1));
            leafWriter.WriteOptional(leaf);
            return _suite.Hash(leafWriter.Written);
        }
        var writer = new TlsWriter(256);
        writer.WriteByte(2);
        if (_parents[node >> 1] is { } parent)
        {
            writer.WriteByte(1);
            if (without.IsEmpty)
            {
                parent.Write(writer);
            }
            else
            {
                var kept = new List<uint>();
                foreach (var leaf in parent.UnmergedLeaves)
                {
                    if (without.BinarySearch(leaf) < 0) kept.Add(leaf);
                }
                parent.Write(writer, kept.ToArray());
            }
        }
        else
        {
            writer.WriteByte(0);
        }
        writer.WriteOpaque(TreeHashWithout(TreeMath.Left(node), without));
        writer.WriteOpaque(TreeHashWithout(TreeMath.Right(node), without));
        return _suite.Hash(writer.Written);
    }

    /// <summary>The parent hash a child of <paramref name="parent"/> carries when <paramref name="sibling"/> is the child on the other side.</summary>
    public byte[] ParentHash(ParentNode parent, int sibling)
    {
        var writer = new TlsWriter(256);
        writer.WriteOpaque(parent.EncryptionKey);
        writer.WriteOpaque(parent.ParentHash);
        writer.WriteOpaque(TreeHashWithout(sibling, parent.UnmergedLeaves));
        return _suite.Hash(writer.Written);
    }

    /// <summary>RFC 9420, 7.9.2: every non-blank parent has a descendant that was set by the same path.</summary>
    public bool HasValidParentHashes()
    {
        foreach (var (index, parent) in _parents.Present())
        {
            if (!HasValidParentHash((2 * index) + 1, parent)) return false;
        }
        return true;
    }

    /// <summary>Of one parent; only reads, once the tree hashes are there.</summary>
    private bool HasValidParentHash(int node, ParentNode parent)
    {
        int left = TreeMath.Left(node), right = TreeMath.Right(node);
        return IsCovered(parent, left, right) || IsCovered(parent, right, left);
    }

    private bool IsCovered(ParentNode parent, int child, int sibling)
    {
        var resolution = Resolution(child);
        byte[]? expected = null;
        foreach (var node in resolution)
        {
            var hash = TreeMath.IsLeaf(node) ? _leaves[node >> 1]!.ParentHash : _parents[node >> 1]!.ParentHash;
            if (hash.Length == 0 || !hash.AsSpan().SequenceEqual(expected ??= ParentHash(parent, sibling))) continue;
            // What else the child resolves to must be exactly the parent's unmerged leaves on this side.
            var others = resolution.Where(n => n != node).Order();
            var unmerged = parent.UnmergedLeaves.Where(l => TreeMath.IsLeafUnder((int)l, child)).Select(l => 2 * (int)l);
            if (others.SequenceEqual(unmerged)) return true;
        }
        return false;
    }
}
