using Marmot.Mls.Codec;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tree;

/// <summary>What every leaf must fulfil (RFC 9420, 7.3), apart from signature and lifetime.</summary>
internal static class LeafRules
{
    /// <summary>Against itself: extensions listed in its own capabilities and not twice, credential type listed.</summary>
    public static void CheckOwn(LeafNode leaf)
    {
        Extension.RefuseDuplicates(leaf.Extensions);
        foreach (var extension in leaf.Extensions) MlsException.ThrowIf(!leaf.Capabilities.SupportsExtension(extension.Type), MlsError.MissingCapability);
        MlsException.ThrowIf(!leaf.Capabilities.SupportsCredential(leaf.Credential.Type), MlsError.MissingCapability);
    }

    /// <summary>Against the group: required capabilities and every extension of the group context. The suite list is not judged: the official vectors for suite 7 leave it out.</summary>
    public static void CheckInGroup(LeafNode leaf, ContextRules rules)
    {
        CheckOwn(leaf);
        if (rules.Required is { } required) MlsException.ThrowIf(!leaf.Capabilities.Covers(required), MlsError.MissingCapability);
        foreach (var extension in rules.Extensions) MlsException.ThrowIf(!leaf.Capabilities.SupportsExtension(extension.Type), MlsError.MissingCapability);
    }
}

/// <summary>What the group context asks of every leaf, decoded once.</summary>
internal sealed class ContextRules(Extension[] extensions)
{
    public Extension[] Extensions => extensions;
    public RequiredCapabilities? Required { get; } = RequiredCapabilities.Find(extensions);
}

internal sealed partial class RatchetTree
{
    /// <summary>
    /// Keys are unique, and every member supports every credential type in use (RFC 9420, 7.3). Looks at what changed since the last time, no cryptography; a type that was not in use
    /// before is looked for in every leaf.
    /// </summary>
    public void CheckMembersTogether()
    {
        MlsException.ThrowIf(_encryptionKeys.HasDuplicates || _signatureKeys.HasDuplicates, MlsError.DuplicateKey);
        foreach (var type in _newCredentialTypes)
        {
            if (!_credentialTypes.ContainsKey(type)) continue;
            foreach (var (_, leaf) in Members) MlsException.ThrowIf(!leaf.Capabilities.SupportsCredential(type), MlsError.MissingCapability);
        }
        foreach (var index in _changedLeaves)
        {
            foreach (var type in _credentialTypes.Keys) MlsException.ThrowIf(!_leaves[index]!.Capabilities.SupportsCredential(type), MlsError.MissingCapability);
        }
        TrustMembers();
    }

    /// <summary>What is in the tree now needs no check: it passed, or it was stored by this client.</summary>
    private void TrustMembers()
    {
        _newCredentialTypes.Clear();
        _changedLeaves.Clear();
    }

    /// <summary>Everything a joiner checks of a tree (RFC 9420, 12.4.3.1): shape, unmerged leaves, parent hashes, every leaf.</summary>
    public void Validate(ReadOnlySpan<byte> groupId, Extension[] contextExtensions, DateTimeOffset? now)
    {
        foreach (var (index, parent) in _parents.Present()) CheckUnmergedOrder(index, parent);
        foreach (var (index, parent) in _parents.Present()) CheckUnmerged((2 * index) + 1, parent);
        CheckMembersTogether();
        MlsException.ThrowIf(!HasValidParentHashes(), MlsError.BadParentHash);
        var rules = new ContextRules(contextExtensions);
        var members = new List<(int Index, LeafNode Leaf)>(LeafCount);
        foreach (var (index, leaf) in Members)
        {
            LeafRules.CheckInGroup(leaf, rules);
            MlsException.ThrowIf(now is { } time && leaf.Source == LeafNodeSource.KeyPackage && !leaf.Lifetime.Contains(time), MlsError.LifetimeExpired);
            members.Add((index, leaf));
        }
        var id = groupId.ToArray();
        MlsException.ThrowIf(!Each.AllHold(members.Count, i => members[i].Leaf.HasValidSignature(_suite, id, members[i].Index)), MlsError.BadSignature);
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
