using Marmot.Mls.Codec;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>A tree stored as what differs from another one that is stored whole: how past epochs and staged commits are kept small. A format of this library,
/// not of RFC 9420.</summary>
internal sealed partial class RatchetTree
{
    /// <summary>Leaf count, then leaves and (on demand) parents that are not the same objects in <paramref name="reference"/>.</summary>
    public void WriteChanges(TlsWriter writer, RatchetTree reference, bool withParents)
    {
        writer.WriteUInt32((uint)LeafCount);
        WriteChanges(writer, _leaves, reference._leaves);
        if (withParents) WriteChanges(writer, _parents, reference._parents);
    }

    private static void WriteChanges<T>(TlsWriter writer, CowArray<T> nodes, CowArray<T> reference) where T : class, IWireValue
    {
        var start = writer.BeginVector();
        foreach (var index in nodes.Differences(reference))
        {
            if (index >= nodes.Length) break;
            writer.WriteUInt32((uint)index);
            writer.WriteOptional(nodes[index]);
        }
        writer.EndVector(start);
    }

    /// <summary>The tree that <see cref="WriteChanges(TlsWriter, RatchetTree, bool)"/> wrote against the same reference.</summary>
    public static RatchetTree ReadChanges(ref TlsReader reader, RatchetTree reference, bool withParents)
    {
        var tree = reference.Clone();
        var leaves = reader.ReadUInt32();
        MlsException.ThrowIf(leaves == 0 || leaves > MaxCount.Leaves || (leaves & (leaves - 1)) != 0, MlsError.BadState);
        if (withParents && leaves != tree.LeafCount) tree.Resize((int)leaves);
        if (!withParents)
        {
            tree._leaves.Resize((int)leaves);
            tree.KeepLeavesOnly();
        }
        for (var body = reader.ReadVector(); body.Remaining > 0;)
        {
            var index = ReadIndex(ref body, tree._leaves.Length);
            var leaf = body.ReadPresence() ? LeafNode.Read(ref body) : null;
            if (withParents) tree.SetLeaf(index, leaf);
            else tree._leaves[index] = leaf;
        }
        for (var body = withParents ? reader.ReadVector() : default; body.Remaining > 0;)
        {
            var index = ReadIndex(ref body, tree._parents.Length);
            tree.SetParent((2 * index) + 1, body.ReadPresence() ? ParentNode.Read(ref body) : null);
        }
        tree.TrustMembers();
        return tree;
    }

    /// <summary>A tree stored whole by this client.</summary>
    public static RatchetTree ReadStored(Crypto.CipherSuite suite, ref TlsReader reader)
    {
        var tree = Read(suite, ref reader);
        tree.TrustMembers();
        return tree;
    }

    private static int ReadIndex(ref TlsReader reader, int length)
    {
        var index = reader.ReadUInt32();
        MlsException.ThrowIf(index >= length, MlsError.BadState);
        return (int)index;
    }
}
