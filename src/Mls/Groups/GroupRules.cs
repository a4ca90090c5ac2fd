using Marmot.Mls.Messages;

namespace Marmot.Mls.Groups;

/// <summary>What the application decides: which leaves it accepts, which external PSKs it knows, how long past epochs are kept. Not stored with the
/// group.</summary>
public sealed class GroupRules
{
    /// <summary>Past epochs kept for late application messages and exports; 5, as in the Marmot profile. At least one is always kept, to roll back
    /// to.</summary>
    public int MaxPastEpochs { get; init; } = 5;

    /// <summary>Proposals that may be pending in one epoch, of all senders together; 1,000. The bound is ours: RFC 9420 has none.</summary>
    public int MaxPendingProposals { get; init; } = 1000;

    /// <summary>
    /// Proposals of one sender that may be pending in one epoch; 50. The bound is ours. Far more than a client sends by itself, because a commit may refer to a
    /// proposal that was refused here, and cannot be followed then.
    /// </summary>
    public int MaxPendingProposalsPerSender { get; init; } = 50;

    /// <summary>Accepts a leaf: the old leaf (null for a new member) and the new one. Null accepts every credential (RFC 9420, 5.3.1).</summary>
    public Func<LeafNode?, LeafNode, bool>? AcceptLeaf { get; init; }

    /// <summary>
    /// What an AppDataUpdate makes of a component's state (draft-ietf-mls-extensions, 4.7): the component, its state so far (null for none), the update; gives
    /// the new state, or null when the component does not accept it. Several updates of one component come in the commit's order, each on what the one before
    /// made. Every member must come to the same bytes. Null takes the update as the new state.
    /// </summary>
    public Func<ushort, byte[]?, byte[], byte[]?>? UpdateComponent { get; init; }

    /// <summary>Finds an external PSK by its name (RFC 9420, 8.4), or null. The array stays the caller's.</summary>
    public Func<byte[], byte[]?>? ExternalPsk { get; init; }

    internal bool Accepts(LeafNode? old, LeafNode leaf) => AcceptLeaf is null || AcceptLeaf(old, leaf);

    internal byte[]? Update(ushort component, byte[]? state, byte[] update) => UpdateComponent is null ? update : UpdateComponent(component, state, update);
}
