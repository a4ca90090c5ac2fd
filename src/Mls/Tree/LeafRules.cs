using Marmot.Mls.Codec;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>What every leaf must fulfil (RFC 9420, 7.3), apart from signature and lifetime.</summary>
internal static class LeafRules
{
    /// <summary>Against itself: extensions listed in its own capabilities and not twice, credential type listed.</summary>
    public static void CheckOwn(LeafNode leaf, int? index = null)
    {
        Extension.RefuseDuplicates(leaf.Extensions);
        foreach (var extension in leaf.Extensions) Need(leaf.Capabilities.SupportsExtension(extension.Type), index);
        Need(leaf.Capabilities.SupportsCredential(leaf.Credential.Type), index);
        if (Extension.Find(leaf.Extensions, ExtensionType.AppDataDictionary) is { } dictionary && !AppDataDictionary.TryRead(dictionary.Data, out _))
        {
            throw new MlsException(new MlsRefusal(MlsError.Malformed, index));
        }
    }

    /// <summary>Against the group: required capabilities and every extension of the group context. The suite list is not judged: the official vectors for suite
    /// 7 leave it out.</summary>
    public static void CheckInGroup(LeafNode leaf, ContextRules rules, int? index = null)
    {
        CheckOwn(leaf, index);
        if (rules.Required is { } required) Need(leaf.Capabilities.Covers(required), index);
        foreach (var extension in rules.Extensions) Need(leaf.Capabilities.SupportsExtension(extension.Type), index);
    }

    private static void Need(bool holds, int? index)
    {
        if (!holds) throw new MlsException(new MlsRefusal(MlsError.MissingCapability, index));
    }
}

/// <summary>What the group context asks of every leaf, decoded once.</summary>
internal sealed class ContextRules(Extension[] extensions)
{
    public Extension[] Extensions => extensions;
    public RequiredCapabilities? Required { get; } = RequiredCapabilities.Find(extensions);

    /// <summary>Who may propose from outside; empty without the extension.</summary>
    public ExternalSender[] ExternalSenders { get; } = ExternalSender.Find(extensions);

    /// <summary>The data of application components; null without the extension.</summary>
    public AppDataDictionary? AppData { get; } = AppDataDictionary.Find(extensions);

    /// <summary>True when every member supports AppDataUpdate because the group requires it.</summary>
    public bool RequiresAppDataUpdate => Required is { } required && required.Proposals.AsSpan().Contains(ProposalType.AppDataUpdate);
}

internal sealed partial class RatchetTree
{
    /// <summary>
    /// Keys are unique, and every member supports every credential type in use (RFC 9420, 7.3). Looks at what changed since the last time, no cryptography; a
    /// type that was not in use before is looked for in every leaf.
    /// </summary>
    public void CheckMembersTogether()
    {
        MlsException.ThrowIf(_encryptionKeys.HasDuplicates || _signatureKeys.HasDuplicates, MlsError.DuplicateKey);
        foreach (var type in _newCredentialTypes)
        {
            if (!_credentialTypes.ContainsKey(type)) continue;
            foreach (var (index, leaf) in Members) MlsException.ThrowIf(!leaf.Capabilities.SupportsCredential(type), MlsError.MissingCapability, index);
        }
        foreach (var index in _changedLeaves)
        {
            foreach (var type in _credentialTypes.Keys)
            {
                MlsException.ThrowIf(!_leaves[index]!.Capabilities.SupportsCredential(type), MlsError.MissingCapability, index);
            }
        }
        TrustMembers();
    }

    /// <summary>What is in the tree now needs no check: it passed, or it was stored by this client.</summary>
    private void TrustMembers()
    {
        _newCredentialTypes.Clear();
        _changedLeaves.Clear();
    }

    /// <summary>
    /// Everything a joiner checks of a tree (RFC 9420, 12.4.3.1): shape, unmerged leaves, every leaf, every public key, parent hashes, signatures. What needs
    /// hashes and public-key operations is shared out over the cores; the refusal is that of the first node that breaks a rule, whatever the order they are
    /// looked at.
    /// </summary>
    /// <param name="groupId">What the leaves' signatures cover.</param>
    /// <param name="rules">What the group context asks.</param>
    /// <param name="now">Time to check lifetimes against, or null.</param>
    /// <param name="own">The joiner's own leaf, which is not verified again.</param>
    public void Validate(byte[] groupId, ContextRules rules, DateTimeOffset? now, LeafNode? own)
    {
        var parents = _parents.Present().ToArray();
        var members = Members.ToArray();
        foreach (var (index, parent) in parents) CheckUnmergedOrder(index, parent);
        foreach (var (index, parent) in parents) CheckUnmerged((2 * index) + 1, parent);
        CheckMembersTogether();
        foreach (var (index, leaf) in members)
        {
            LeafRules.CheckInGroup(leaf, rules, index);
            MlsException.ThrowIf(now is { } time && leaf.Source == LeafNodeSource.KeyPackage && !leaf.Lifetime.Contains(time), MlsError.LifetimeExpired, index);
        }

        // Hashes of the whole tree must be there before several threads read them. Parents are some 20 times cheaper than leaves.
        TreeHash();
        var batches = (parents.Length + ParentsPerItem - 1) / ParentsPerItem;
        Each.Do(batches + members.Length, i =>
        {
            if (i < batches)
            {
                var count = Math.Min(ParentsPerItem, parents.Length - (i * ParentsPerItem));
                foreach (var (index, parent) in parents.AsSpan(i * ParentsPerItem, count)) CheckParent((2 * index) + 1, parent);
                return;
            }
            var (at, leaf) = members[i - batches];
            _suite.Kem.CheckPublicKey(leaf.EncryptionKey, at);
            if (own is null || !leaf.Encoded.AsSpan().SequenceEqual(own.Encoded)) leaf.CheckSignature(_suite, groupId, at);
        });
    }

    private const int ParentsPerItem = 16;

    private void CheckParent(int node, ParentNode parent)
    {
        MlsException.ThrowIf(!HasValidParentHash(node, parent), MlsError.BadParentHash);
        if (!_suite.Kem.IsPublicKey(parent.EncryptionKey)) throw new MlsException(new MlsRefusal(MlsError.InvalidKey, FirstMemberUnder(node)));
    }

    /// <summary>Whose removal blanks the node; null when nobody is below.</summary>
    public int? FirstMemberUnder(int node)
    {
        for (int leaf = TreeMath.FirstLeaf(node), end = leaf + TreeMath.LeavesUnder(node); leaf < end; leaf++)
        {
            if (_leaves[leaf] is not null) return leaf;
        }
        return null;
    }

    /// <summary>Unmerged leaves are sorted and lie below the node.</summary>
    private void CheckUnmergedOrder(int index, ParentNode parent)
    {
        long last = -1;
        foreach (var leaf in parent.UnmergedLeaves)
        {
            MlsException.ThrowIf(leaf <= last || leaf >= LeafCount || !TreeMath.IsLeafUnder((int)leaf, (2 * index) + 1), MlsError.BadTree);
            last = leaf;
        }
    }

    /// <summary>Unmerged leaves exist and stand in every non-blank node between.</summary>
    private void CheckUnmerged(int node, ParentNode parent)
    {
        foreach (var leaf in parent.UnmergedLeaves)
        {
            MlsException.ThrowIf(_leaves[(int)leaf] is null, MlsError.BadTree);
            for (var between = TreeMath.Parent(2 * (int)leaf); between != node; between = TreeMath.Parent(between))
            {
                MlsException.ThrowIf(_parents[between >> 1] is { } inner && inner.UnmergedLeaves.AsSpan().BinarySearch(leaf) < 0, MlsError.BadTree);
            }
        }
    }
}
