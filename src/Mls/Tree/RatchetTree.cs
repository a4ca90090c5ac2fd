using System.Numerics;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>
/// The public ratchet tree (RFC 9420, 7): nodes in an array, always full. Nodes are immutable; clones share them, their places and their hashes until one side
/// changes, so that a staged commit costs what it changes. Tree hashes are recomputed from a changed leaf to the root only, uniqueness is kept in an index. Not
/// thread-safe.
/// </summary>
internal sealed partial class RatchetTree : IWireValue
{
    private readonly CipherSuite _suite;
    private readonly CowArray<LeafNode> _leaves;
    private CowArray<ParentNode> _parents; // the parent node n is at n / 2
    private CowArray<byte[]> _hashes;
    private KeyIndex _encryptionKeys;
    private KeyIndex _signatureKeys;
    private readonly Dictionary<ushort, int> _credentialTypes; // how many members use each

    // What CheckMembersTogether has not seen yet.
    private readonly HashSet<int> _changedLeaves;
    private readonly HashSet<ushort> _newCredentialTypes;

    private int _firstFree; // no blank leaf before it
    private int _lastUsed = -1; // no member behind it

    private RatchetTree(CipherSuite suite, int leaves)
    {
        _suite = suite;
        _leaves = new CowArray<LeafNode>(leaves);
        _parents = new CowArray<ParentNode>(leaves - 1);
        _hashes = new CowArray<byte[]>(TreeMath.NodeCount(leaves));
        (_encryptionKeys, _signatureKeys) = (new KeyIndex(), new KeyIndex());
        (_credentialTypes, _changedLeaves, _newCredentialTypes) = ([], [], []);
    }

    private RatchetTree(RatchetTree from)
    {
        _suite = from._suite;
        (_leaves, _parents, _hashes) = (from._leaves.Clone(), from._parents.Clone(), from._hashes.Clone());
        (_encryptionKeys, _signatureKeys) = (from._encryptionKeys.Clone(), from._signatureKeys.Clone());
        (_credentialTypes, _changedLeaves, _newCredentialTypes) = (new(from._credentialTypes), [.. from._changedLeaves], [.. from._newCredentialTypes]);
        (_firstFree, _lastUsed) = (from._firstFree, from._lastUsed);
    }

    public RatchetTree(CipherSuite suite, LeafNode first) : this(suite, 1) => PutLeaf(0, first);

    public CipherSuite Suite => _suite;
    public int LeafCount => _leaves.Length;
    public int Root => TreeMath.Root(_leaves.Length);

    public LeafNode? Leaf(int index) => (uint)index < (uint)_leaves.Length ? _leaves[index] : null;
    public ParentNode? Parent(int node) => _parents[node >> 1];
    public bool IsBlank(int node) => TreeMath.IsLeaf(node) ? _leaves[node >> 1] is null : _parents[node >> 1] is null;
    public byte[]? PublicKey(int node) => TreeMath.IsLeaf(node) ? _leaves[node >> 1]?.EncryptionKey : _parents[node >> 1]?.EncryptionKey;
    public bool HasEncryptionKey(ReadOnlySpan<byte> key) => _encryptionKeys.Contains(key);
    public bool HasSignatureKey(ReadOnlySpan<byte> key) => _signatureKeys.Contains(key);

    public IEnumerable<(int Index, LeafNode Leaf)> Members => _leaves.Present();

    public RatchetTree Clone() => new(this);

    /// <summary>Lets everything go but the leaves, which tell who sent a late message.</summary>
    public void KeepLeavesOnly()
    {
        _parents = new CowArray<ParentNode>(LeafCount - 1);
        _hashes = new CowArray<byte[]>(TreeMath.NodeCount(LeafCount));
        (_encryptionKeys, _signatureKeys) = (new KeyIndex(), new KeyIndex());
    }

    /// <summary>Reads the ratchet_tree extension (RFC 9420, 12.4.3.3): nodes at their right kind of place, the last one not blank.</summary>
    public static RatchetTree Read(CipherSuite suite, ReadOnlySpan<byte> bytes)
    {
        var reader = new TlsReader(bytes);
        var tree = Read(suite, ref reader);
        reader.ExpectEnd();
        return tree;
    }

    private static RatchetTree Read(CipherSuite suite, ref TlsReader reader)
    {
        var body = reader.ReadVector();
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
            MlsException.ThrowIf(leaves.Count > MaxCount.Leaves, MlsError.TooLarge);
        }
        MlsException.ThrowIf(lastIsBlank, MlsError.BadTree);
        var width = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(leaves.Count, parents.Count + 1));
        var tree = new RatchetTree(suite, width);
        for (var i = 0; i < leaves.Count; i++) tree.PutLeaf(i, leaves[i]);
        for (var i = 0; i < parents.Count; i++) tree.PutParent(2 * i + 1, parents[i]);
        return tree;
    }

    public byte[] ToBytes()
    {
        var writer = new TlsWriter(LeafCount * 256);
        Write(writer);
        return writer.ToArray();
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

    /// <summary>The only place that changes a leaf: index and counts follow. The hashes above are the caller's.</summary>
    private void PutLeaf(int index, LeafNode? leaf)
    {
        if (_leaves[index] is { } old)
        {
            _encryptionKeys.Remove(old.EncryptionKey);
            _signatureKeys.Remove(old.SignatureKey);
            if (--_credentialTypes[old.Credential.Type] == 0) _credentialTypes.Remove(old.Credential.Type);
        }
        _leaves[index] = leaf;
        if (leaf is null)
        {
            _changedLeaves.Remove(index);
            _firstFree = Math.Min(_firstFree, index);
            return;
        }
        _encryptionKeys.Add(leaf.EncryptionKey);
        _signatureKeys.Add(leaf.SignatureKey);
        if (!_credentialTypes.TryGetValue(leaf.Credential.Type, out var users)) _newCredentialTypes.Add(leaf.Credential.Type);
        _credentialTypes[leaf.Credential.Type] = users + 1;
        _changedLeaves.Add(index);
        _lastUsed = Math.Max(_lastUsed, index);
    }

    /// <summary>The only place that changes a parent.</summary>
    private void PutParent(int node, ParentNode? parent)
    {
        if (_parents[node >> 1] is { } old) _encryptionKeys.Remove(old.EncryptionKey);
        if (parent is not null) _encryptionKeys.Add(parent.EncryptionKey);
        _parents[node >> 1] = parent;
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
        PutLeaf(index, leaf);
        Touch(2 * index);
    }

    public void SetParent(int node, ParentNode? parent)
    {
        PutParent(node, parent);
        Touch(node);
    }

    private void BlankPath(int leaf)
    {
        foreach (var node in TreeMath.DirectPath(leaf, LeafCount)) PutParent(node, null);
        Touch(2 * leaf);
    }

    private void Resize(int leaves)
    {
        for (var i = leaves; i < LeafCount; i++) PutLeaf(i, null);
        for (var node = TreeMath.NodeCount(leaves); node < TreeMath.NodeCount(LeafCount); node += 2) PutParent(node, null);
        _leaves.Resize(leaves);
        _parents.Resize(leaves - 1);
        _hashes.Resize(TreeMath.NodeCount(leaves));
    }

    /// <summary>Leftmost blank leaf, or the first of the doubled tree.</summary>
    public int FirstFreeLeaf()
    {
        while (_firstFree < LeafCount && _leaves[_firstFree] is not null) _firstFree++;
        return _firstFree;
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
        PutLeaf(index, leaf);
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
        PutLeaf(index, leaf);
        BlankPath(index);
    }

    /// <summary>RFC 9420, 12.1.3 and 7.7: blank the leaf and its path, halve while the right half has no member.</summary>
    public void Remove(int index)
    {
        PutLeaf(index, null);
        BlankPath(index);
        while (_lastUsed >= 0 && _leaves[_lastUsed] is null) _lastUsed--;
        while (LeafCount > 1 && _lastUsed < LeafCount / 2) Resize(LeafCount / 2);
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
