using System.Numerics;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>
/// The public ratchet tree (RFC 9420, 7): nodes in an array, always full. Nodes are immutable and shared by clones, so a staged commit costs two array copies;
/// tree hashes are kept and only recomputed from a changed leaf to the root. Not thread-safe.
/// </summary>
internal sealed partial class RatchetTree : IWireValue
{
    private readonly CipherSuite _suite;
    private LeafNode?[] _leaves;
    private ParentNode?[] _parents; // the parent node n is at n / 2
    private byte[]?[] _hashes;

    private RatchetTree(CipherSuite suite, LeafNode?[] leaves, ParentNode?[] parents)
        => (_suite, _leaves, _parents, _hashes) = (suite, leaves, parents, new byte[]?[TreeMath.NodeCount(leaves.Length)]);

    public RatchetTree(CipherSuite suite, LeafNode first) : this(suite, [first], []) { }

    public CipherSuite Suite => _suite;
    public int LeafCount => _leaves.Length;
    public int Root => TreeMath.Root(_leaves.Length);

    public LeafNode? Leaf(int index) => (uint)index < (uint)_leaves.Length ? _leaves[index] : null;
    public ParentNode? Parent(int node) => _parents[node >> 1];
    public bool IsBlank(int node) => TreeMath.IsLeaf(node) ? _leaves[node >> 1] is null : _parents[node >> 1] is null;
    public byte[]? PublicKey(int node) => TreeMath.IsLeaf(node) ? _leaves[node >> 1]?.EncryptionKey : _parents[node >> 1]?.EncryptionKey;

    public IEnumerable<(int Index, LeafNode Leaf)> Members
    {
        get
        {
            for (var i = 0; i < _leaves.Length; i++)
            {
                if (_leaves[i] is { } leaf) yield return (i, leaf);
            }
        }
    }

    public RatchetTree Clone() => new(_suite, [.. _leaves], [.. _parents]) { _hashes = [.. _hashes] };

    /// <summary>Reads the ratchet_tree extension (RFC 9420, 12.4.3.3): nodes at their right kind of place, the last one not blank.</summary>
    public static RatchetTree Read(CipherSuite suite, ReadOnlySpan<byte> bytes)
    {
        var reader = new TlsReader(bytes);
        var body = reader.ReadVector();
        reader.ExpectEnd();
        var leaves = new List<LeafNode?>();
        var parents = new List<ParentNode?>();
        var lastIsBlank = true;
        for (var node = 0; body.Remaining > 0; node++)
        {
            lastIsBlank = !body.ReadPresence();
            var isLeaf = TreeMath.IsLeaf(node);
            if (!lastIsBlank) MlsException.ThrowIf(body.ReadByte() != (isLeaf ? 1 : 2), MlsError.BadTree);
            if (isLeaf) leaves.Add(lastIsBlank ? null : LeafNode.Read(ref body));
            else parents.Add(lastIsBlank ? null : ParentNode.Read(ref body));
        }
        MlsException.ThrowIf(lastIsBlank, MlsError.BadTree);
        var width = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(leaves.Count, parents.Count + 1));
        var tree = new RatchetTree(suite, new LeafNode?[width], new ParentNode?[width - 1]);
        leaves.CopyTo(tree._leaves);
        parents.CopyTo(tree._parents);
        return tree;
    }

    /// <summary>Trailing blank nodes are not written.</summary>
    public void Write(TlsWriter writer)
    {
        var last = TreeMath.NodeCount(LeafCount) - 1;
        while (last > 0 && IsBlank(last)) last--;
        var start = writer.BeginVector();
        for (var node = 0; node <= last; node++)
        {
            var isLeaf = TreeMath.IsLeaf(node);
            IWireValue? value = isLeaf ? _leaves[node >> 1] : _parents[node >> 1];
            writer.WriteByte(value is null ? (byte)0 : (byte)1);
            if (value is null) continue;
            writer.WriteByte(isLeaf ? (byte)1 : (byte)2);
            value.Write(writer);
        }
        writer.EndVector(start);
    }

    private void Touch(int node)
    {
        for (var root = Root; ; node = TreeMath.Parent(node))
        {
            _hashes[node] = null;
            if (node == root) return;
        }
    }

    public void SetLeaf(int index, LeafNode? leaf)
    {
        _leaves[index] = leaf;
        Touch(2 * index);
    }

    public void SetParent(int node, ParentNode? parent)
    {
        _parents[node >> 1] = parent;
        Touch(node);
    }

    private void BlankPath(int leaf)
    {
        foreach (var node in TreeMath.DirectPath(leaf, LeafCount)) _parents[node >> 1] = null;
        Touch(2 * leaf);
    }

    private void Resize(int leaves)
    {
        Array.Resize(ref _leaves, leaves);
        Array.Resize(ref _parents, leaves - 1);
        Array.Resize(ref _hashes, TreeMath.NodeCount(leaves));
    }

    /// <summary>Leftmost blank leaf, or the first of the doubled tree.</summary>
    public int FirstFreeLeaf()
    {
        var index = Array.FindIndex(_leaves, l => l is null);
        return index < 0 ? _leaves.Length : index;
    }

    /// <summary>Makes room for one more leaf without filling it: an external joiner's place.</summary>
    public int Reserve()
    {
        var index = FirstFreeLeaf();
        if (index == LeafCount) Resize(LeafCount * 2);
        return index;
    }

    /// <summary>RFC 9420, 7.7: leftmost blank leaf, doubling when full; the leaf is unmerged at every non-blank parent above.</summary>
    public int Add(LeafNode leaf)
    {
        var index = Reserve();
        _leaves[index] = leaf;
        foreach (var node in TreeMath.DirectPath(index, LeafCount))
        {
            if (_parents[node >> 1] is { } parent) _parents[node >> 1] = parent.WithUnmerged((uint)index);
        }
        Touch(2 * index);
        return index;
    }

    /// <summary>RFC 9420, 12.1.2.</summary>
    public void Update(int index, LeafNode leaf)
    {
        _leaves[index] = leaf;
        BlankPath(index);
    }

    /// <summary>RFC 9420, 12.1.3 and 7.7: blank the leaf and its path, halve while the right half has no member.</summary>
    public void Remove(int index)
    {
        _leaves[index] = null;
        BlankPath(index);
        while (LeafCount > 1 && _leaves.AsSpan(LeafCount / 2).IndexOfAnyExcept((LeafNode?)null) < 0) Resize(LeafCount / 2);
    }

    /// <summary>Applies an Add, Update or Remove.</summary>
    public void Apply(Proposal proposal, int sender)
    {
        switch (proposal)
        {
            case AddProposal add: Add(add.KeyPackage.Leaf); break;
            case UpdateProposal update: Update(sender, update.Leaf); break;
            case RemoveProposal remove: Remove((int)remove.Removed); break;
            case SelfRemoveProposal: Remove(sender); break;
        }
    }

    /// <summary>Appends the resolution of a node (RFC 9420, 4.1.1).</summary>
    public void Resolve(int node, List<int> into)
    {
        if (!IsBlank(node))
        {
            into.Add(node);
            if (!TreeMath.IsLeaf(node))
            {
                foreach (var leaf in _parents[node >> 1]!.UnmergedLeaves) into.Add(2 * (int)leaf);
            }
        }
        else if (!TreeMath.IsLeaf(node))
        {
            Resolve(TreeMath.Left(node), into);
            Resolve(TreeMath.Right(node), into);
        }
    }

    public List<int> Resolution(int node)
    {
        var list = new List<int>();
        Resolve(node, list);
        return list;
    }

    public bool HasEmptyResolution(int node)
        => IsBlank(node) && (TreeMath.IsLeaf(node) || (HasEmptyResolution(TreeMath.Left(node)) && HasEmptyResolution(TreeMath.Right(node))));

    /// <summary>Parents above a leaf with the copath child of each, leaving out those whose copath child has an empty resolution (RFC 9420, 4.1.2).</summary>
    public List<(int Node, int Copath)> FilteredDirectPath(int leaf)
    {
        var path = new List<(int, int)>();
        for (int node = 2 * leaf, root = Root; node != root; node = TreeMath.Parent(node))
        {
            var copath = TreeMath.Sibling(node);
            if (!HasEmptyResolution(copath)) path.Add((TreeMath.Parent(node), copath));
        }
        return path;
    }
}
