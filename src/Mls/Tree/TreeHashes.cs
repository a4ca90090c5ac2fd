using Marmot.Mls.Codec;

namespace Marmot.Mls.Tree;

/// <summary>Tree hashes and parent hashes (RFC 9420, 7.8 and 7.9).</summary>
internal sealed partial class RatchetTree
{
    public byte[] TreeHash() => TreeHash(Root);

    public byte[] TreeHash(int node) => _hashes[node] ??= HashNode(node, default);

    /// <summary>The hash of a subtree as if these leaves had not been added: the original sibling tree hash of 7.9. Without such leaves below it is the kept hash.</summary>
    private byte[] TreeHashWithout(int node, ReadOnlySpan<uint> leaves)
    {
        foreach (var leaf in leaves)
        {
            if (TreeMath.IsLeafUnder((int)leaf, node)) return HashNode(node, leaves);
        }
        return TreeHash(node);
    }

    private byte[] HashNode(int node, ReadOnlySpan<uint> without)
    {
        var writer = new TlsWriter(512);
        if (TreeMath.IsLeaf(node))
        {
            var index = (uint)(node >> 1);
            writer.WriteByte(1);
            writer.WriteUInt32(index);
            writer.WriteOptional(without.Contains(index) ? null : _leaves[index]);
            return _suite.Hash(writer.Written);
        }
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
                    if (!without.Contains(leaf)) kept.Add(leaf);
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
        for (var node = 1; node < TreeMath.NodeCount(LeafCount); node += 2)
        {
            if (_parents[node >> 1] is not { } parent) continue;
            int left = TreeMath.Left(node), right = TreeMath.Right(node);
            if (!IsCovered(parent, left, right) && !IsCovered(parent, right, left)) return false;
        }
        return true;
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
