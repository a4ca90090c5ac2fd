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
    public static void CheckInGroup(LeafNode leaf, Extension[] contextExtensions)
    {
        CheckOwn(leaf);
        if (RequiredCapabilities.Find(contextExtensions) is { } required) MlsException.ThrowIf(!leaf.Capabilities.Covers(required), MlsError.MissingCapability);
        foreach (var extension in contextExtensions) MlsException.ThrowIf(!leaf.Capabilities.SupportsExtension(extension.Type), MlsError.MissingCapability);
    }
}

internal sealed partial class RatchetTree
{
    /// <summary>Keys are unique, and every member supports every credential type in use (RFC 9420, 7.3). Linear, no cryptography.</summary>
    public void CheckMembersTogether()
    {
        var seen = new HashSet<byte[]>(KeyComparer.Instance);
        var credentials = new HashSet<ushort>();
        foreach (var (_, leaf) in Members)
        {
            MlsException.ThrowIf(!seen.Add(leaf.EncryptionKey) || !seen.Add(leaf.SignatureKey), MlsError.DuplicateKey);
            credentials.Add(leaf.Credential.Type);
        }
        foreach (var parent in _parents)
        {
            MlsException.ThrowIf(parent is not null && !seen.Add(parent.EncryptionKey), MlsError.DuplicateKey);
        }
        foreach (var (_, leaf) in Members)
        {
            foreach (var type in credentials) MlsException.ThrowIf(!leaf.Capabilities.SupportsCredential(type), MlsError.MissingCapability);
        }
    }

    /// <summary>Everything a joiner checks of a tree (RFC 9420, 12.4.3.1): shape, unmerged leaves, parent hashes, every leaf.</summary>
    public void Validate(ReadOnlySpan<byte> groupId, Extension[] contextExtensions, DateTimeOffset? now)
    {
        for (var node = 1; node < TreeMath.NodeCount(LeafCount); node += 2)
        {
            if (_parents[node >> 1] is { } parent) CheckUnmerged(node, parent);
        }
        CheckMembersTogether();
        MlsException.ThrowIf(!HasValidParentHashes(), MlsError.BadParentHash);
        foreach (var (_, leaf) in Members)
        {
            LeafRules.CheckInGroup(leaf, contextExtensions);
            MlsException.ThrowIf(now is { } time && leaf.Source == LeafNodeSource.KeyPackage && !leaf.Lifetime.Contains(time), MlsError.LifetimeExpired);
        }
        var id = groupId.ToArray();
        var bad = Members.Count() < 32
            ? Members.Any(m => !m.Leaf.HasValidSignature(_suite, id, m.Index))
            : Members.AsParallel().Any(m => !m.Leaf.HasValidSignature(_suite, id, m.Index));
        MlsException.ThrowIf(bad, MlsError.BadSignature);
    }

    /// <summary>Unmerged leaves are sorted, exist below the node, and stand in every non-blank node between.</summary>
    private void CheckUnmerged(int node, ParentNode parent)
    {
        long last = -1;
        foreach (var leaf in parent.UnmergedLeaves)
        {
            MlsException.ThrowIf(leaf <= last || leaf >= LeafCount || _leaves[leaf] is null || !TreeMath.IsLeafUnder((int)leaf, node), MlsError.BadTree);
            last = leaf;
            for (var between = TreeMath.Parent(2 * (int)leaf); between != node; between = TreeMath.Parent(between))
            {
                MlsException.ThrowIf(_parents[between >> 1] is { } inner && !inner.UnmergedLeaves.AsSpan().Contains(leaf), MlsError.BadTree);
            }
        }
    }
}

/// <summary>Compares public keys by content.</summary>
internal sealed class KeyComparer : IEqualityComparer<byte[]>
{
    public static readonly KeyComparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(byte[] obj)
    {
        var hash = new HashCode();
        hash.AddBytes(obj);
        return hash.ToHashCode();
    }
}
