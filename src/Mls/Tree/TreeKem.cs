using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>The private keys one member holds: its leaf and the parents it was told. Copies share the keys.</summary>
internal sealed class TreeKeys
{
    public required int Leaf { get; init; }
    public Dictionary<int, SecretBytes> ByNode { get; init; } = [];

    public TreeKeys Clone() => new() { Leaf = Leaf, ByNode = new(ByNode) };

    /// <summary>Drops keys of nodes that became blank or got another public key. They are not wiped: the epoch before still has them.</summary>
    public void Prune(RatchetTree tree, RatchetTree before)
    {
        foreach (var node in ByNode.Keys.ToArray())
        {
            var key = node < TreeMath.NodeCount(tree.LeafCount) ? tree.PublicKey(node) : null;
            if (key is null || !key.AsSpan().SequenceEqual(before.PublicKey(node))) ByNode.Remove(node);
        }
    }

    /// <summary>
    /// Adds the keys from a path secret upward from <paramref name="node"/> and refuses when a derived key is not the tree's. Gives the commit secret. The path
    /// secret is wiped.
    /// </summary>
    public SecretBytes AddFrom(RatchetTree tree, int node, int pathLeaf, SecretBytes pathSecret)
    {
        var suite = tree.Suite;
        var path = tree.FilteredDirectPath(pathLeaf);
        var at = path.FindIndex(p => p.Node == node);
        MlsException.ThrowIf(at < 0, MlsError.BadPath);
        for (var secret = pathSecret; ; at++)
        {
            if (at == path.Count) return secret;
            using var used = secret;
            var pair = TreeKem.NodeKey(suite, used);
            ByNode[path[at].Node] = pair.PrivateKey;
            MlsException.ThrowIf(!pair.PublicKey.AsSpan().SequenceEqual(tree.PublicKey(path[at].Node)), MlsError.BadPath);
            secret = suite.DeriveSecret(used, "path"u8);
        }
    }

    /// <summary>Wipes the keys that <paramref name="others"/> do not share.</summary>
    public void WipeBut(TreeKeys? others)
    {
        foreach (var (node, key) in ByNode)
        {
            if (others is null || !others.ByNode.TryGetValue(node, out var kept) || !ReferenceEquals(kept, key)) key.Dispose();
        }
        ByNode.Clear();
    }
}

/// <summary>What making a path yields: the path, the secrets of its nodes (for Welcomes), the commit secret, all of which this value owns, and the keys, which
/// the next epoch takes over.</summary>
internal sealed record CreatedPath(UpdatePath Path, Dictionary<int, SecretBytes> PathSecrets, SecretBytes CommitSecret, TreeKeys Keys) : IDisposable
{
    public void Dispose()
    {
        foreach (var secret in PathSecrets.Values) secret.Dispose();
        CommitSecret.Dispose();
    }
}

/// <summary>Making and applying update paths (RFC 9420, 7.4 to 7.6).</summary>
internal static class TreeKem
{
    public static SecretKeyPair NodeKey(CipherSuite suite, ReadOnlySpan<byte> pathSecret)
    {
        using var nodeSecret = suite.DeriveSecret(pathSecret, "node"u8);
        return suite.Kem.Derive(nodeSecret);
    }

    /// <summary>
    /// Makes a path for <paramref name="sender"/> in a tree to which the proposals were applied, and changes that tree. Order: keys, parent hashes, leaf,
    /// signature, tree hash, provisional context, encryption. Leaves in <paramref name="newLeaves"/> get nothing: they have their Welcome.
    /// </summary>
    public static CreatedPath Create(RatchetTree tree, int sender, LeafNode template, SecretBytes signatureKey, byte[] groupId, TreeKeys keys,
        ISet<int> newLeaves, Func<byte[], byte[]> contextForTreeHash)
    {
        var suite = tree.Suite;
        var filtered = tree.FilteredDirectPath(sender);
        var created = new TreeKeys { Leaf = sender, ByNode = new(keys.ByNode) };

        var leafKey = suite.Kem.Generate();
        var secrets = new Dictionary<int, SecretBytes>();
        var publicKeys = new byte[filtered.Count][];
        var secret = SecretBytes.Random(suite.HashLength);
        foreach (var node in TreeMath.DirectPath(sender, tree.LeafCount)) created.ByNode.Remove(node);
        for (var i = 0; i < filtered.Count; i++)
        {
            var pair = NodeKey(suite, secret);
            publicKeys[i] = pair.PublicKey;
            created.ByNode[filtered[i].Node] = pair.PrivateKey;
            secrets[filtered[i].Node] = secret;
            secret = suite.DeriveSecret(secret, "path"u8);
        }
        created.ByNode[2 * sender] = leafKey.PrivateKey;

        var parentHash = SetParents(tree, sender, filtered, publicKeys);
        var leaf = new LeafNode
        {
            EncryptionKey = leafKey.PublicKey,
            SignatureKey = template.SignatureKey,
            Credential = template.Credential,
            Capabilities = template.Capabilities,
            Source = LeafNodeSource.Commit,
            ParentHash = parentHash,
            Extensions = template.Extensions,
        }.Signed(suite, signatureKey, groupId, sender);
        tree.SetLeaf(sender, leaf);

        var infoHash = suite.EncryptContext("UpdatePathNode"u8, contextForTreeHash(tree.TreeHash()));
        // All nodes together, so that a path of many short resolutions is shared out too.
        var nodes = new UpdatePathNode[filtered.Count];
        var seals = new List<(UpdatePathNode Node, int At, int Target, SecretBytes PathSecret)>();
        for (var i = 0; i < nodes.Length; i++)
        {
            var targets = Targets(tree, filtered[i].Copath, newLeaves);
            nodes[i] = new UpdatePathNode(publicKeys[i], new HpkeCiphertext[targets.Count]);
            for (var t = 0; t < targets.Count; t++) seals.Add((nodes[i], t, targets[t], secrets[filtered[i].Node]));
        }
        Each.Do(seals.Count, i =>
        {
            var (node, at, target, pathSecret) = seals[i];
            node.EncryptedPathSecret[at] = SealTo(tree, target, infoHash, pathSecret);
        });
        return new CreatedPath(new UpdatePath(leaf, nodes), secrets, secret, created);
    }

    /// <summary>
    /// A leaf whose key is none (a tree stored before such keys were refused) does not stop the others: its member, who has no private key, gets a ciphertext
    /// for a key that nobody holds, because the number of ciphertexts is fixed (RFC 9420, 7.6). A parent without a key would cut off honest members below it:
    /// such a commit is refused, naming a leaf whose removal blanks the parent.
    /// </summary>
    private static HpkeCiphertext SealTo(RatchetTree tree, int target, byte[] infoHash, SecretBytes pathSecret)
    {
        try
        {
            var (enc, ciphertext) = tree.Suite.HpkeSeal(tree.PublicKey(target)!, infoHash, default, pathSecret);
            return new HpkeCiphertext(enc, ciphertext);
        }
        catch (MlsException refusal) when (refusal.Error == MlsError.InvalidKey)
        {
            if (!TreeMath.IsLeaf(target)) throw new MlsException(new MlsRefusal(MlsError.InvalidKey, tree.FirstMemberUnder(target)));
        }
        using var nobody = tree.Suite.Kem.Generate();
        using var nothing = SecretBytes.Random(pathSecret.Length);
        var (forNobody, sealedNothing) = tree.Suite.HpkeSeal(nobody.PublicKey, infoHash, default, nothing);
        return new HpkeCiphertext(forNobody, sealedNothing);
    }

    /// <summary>Refuses what <see cref="Create"/> would refuse: a parent to encrypt to whose key is none.</summary>
    public static void CheckTargets(RatchetTree tree, int sender, ISet<int> newLeaves)
    {
        foreach (var (_, copath) in tree.FilteredDirectPath(sender))
        {
            foreach (var target in Targets(tree, copath, newLeaves))
            {
                if (TreeMath.IsLeaf(target) || tree.Suite.Kem.IsPublicKey(tree.PublicKey(target))) continue;
                throw new MlsException(new MlsRefusal(MlsError.InvalidKey, tree.FirstMemberUnder(target)));
            }
        }
    }

    private static List<int> Targets(RatchetTree tree, int copath, ISet<int> newLeaves)
    {
        var targets = tree.Resolution(copath);
        if (newLeaves.Count > 0) targets.RemoveAll(n => TreeMath.IsLeaf(n) && newLeaves.Contains(n >> 1));
        return targets;
    }

    /// <summary>Blanks the direct path, sets the filtered nodes with parent hashes from the root down, gives the leaf's parent hash.</summary>
    private static byte[] SetParents(RatchetTree tree, int sender, List<(int Node, int Copath)> filtered, byte[][] publicKeys)
    {
        foreach (var node in TreeMath.DirectPath(sender, tree.LeafCount)) tree.SetParent(node, null);
        byte[] parentHash = [];
        for (var i = filtered.Count - 1; i >= 0; i--)
        {
            var parent = new ParentNode { EncryptionKey = publicKeys[i], ParentHash = parentHash, UnmergedLeaves = [] };
            tree.SetParent(filtered[i].Node, parent);
            parentHash = tree.ParentHash(parent, filtered[i].Copath);
        }
        return parentHash;
    }

    /// <summary>Puts a received path into the tree (RFC 9420, 7.5): right number of nodes and ciphertexts, new keys, parent hash, leaf signature.</summary>
    public static void ApplyPublic(RatchetTree tree, int sender, UpdatePath path, byte[] groupId, ContextRules rules, ISet<int> newLeaves)
    {
        var suite = tree.Suite;
        var filtered = tree.FilteredDirectPath(sender);
        MlsException.ThrowIf(path.Nodes.Length != filtered.Count, MlsError.BadPath);
        for (var i = 0; i < filtered.Count; i++)
        {
            MlsException.ThrowIf(path.Nodes[i].EncryptedPathSecret.Length != Targets(tree, filtered[i].Copath, newLeaves).Count, MlsError.BadPath);
            suite.Kem.CheckPublicKey(path.Nodes[i].EncryptionKey, sender);
        }
        MlsException.ThrowIf(path.Leaf.Source != LeafNodeSource.Commit, MlsError.WrongLeafSource);
        suite.Kem.CheckPublicKey(path.Leaf.EncryptionKey, sender);
        LeafRules.CheckInGroup(path.Leaf, rules, sender);
        path.Leaf.CheckSignature(suite, groupId, sender);
        // No key of the path may be in the tree already, not even in the nodes it replaces.
        MlsException.ThrowIf(tree.HasEncryptionKey(path.Leaf.EncryptionKey), MlsError.EncryptionKeyReused);
        foreach (var node in path.Nodes) MlsException.ThrowIf(tree.HasEncryptionKey(node.EncryptionKey), MlsError.EncryptionKeyReused);

        var parentHash = SetParents(tree, sender, filtered, [.. path.Nodes.Select(n => n.EncryptionKey)]);
        MlsException.ThrowIf(!parentHash.AsSpan().SequenceEqual(path.Leaf.ParentHash), MlsError.BadParentHash);
        tree.SetLeaf(sender, path.Leaf);
        tree.CheckMembersTogether();
    }

    /// <summary>Opens the path secret meant for us, adds the keys above and gives the commit secret.</summary>
    public static SecretBytes Decrypt(RatchetTree tree, int sender, UpdatePath path, TreeKeys keys, ISet<int> newLeaves, ReadOnlySpan<byte> context)
    {
        var suite = tree.Suite;
        var filtered = tree.FilteredDirectPath(sender);
        var at = filtered.FindIndex(p => TreeMath.IsLeafUnder(keys.Leaf, p.Copath));
        MlsException.ThrowIf(at < 0, MlsError.BadPath);
        var targets = Targets(tree, filtered[at].Copath, newLeaves);
        var mine = targets.FindIndex(keys.ByNode.ContainsKey);
        MlsException.ThrowIf(mine < 0, MlsError.BadPath);
        var sealedSecret = path.Nodes[at].EncryptedPathSecret[mine];
        suite.Kem.CheckPublicKey(sealedSecret.KemOutput, sender);
        var secret = suite.DecryptWithLabel(keys.ByNode[targets[mine]], tree.PublicKey(targets[mine])!, "UpdatePathNode"u8, context, sealedSecret.KemOutput,
            sealedSecret.Ciphertext);
        foreach (var node in TreeMath.DirectPath(sender, tree.LeafCount)) keys.ByNode.Remove(node);
        return keys.AddFrom(tree, filtered[at].Node, sender, secret);
    }
}
