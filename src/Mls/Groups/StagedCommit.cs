using Marmot.Mls.Codec;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Groups;

/// <summary>A member by place and leaf.</summary>
/// <param name="Index">Leaf index.</param>
/// <param name="Leaf">The leaf.</param>
public sealed record Member(int Index, LeafNode Leaf);

/// <summary>
/// A commit that has passed every check of RFC 9420, 12.4, and is not in force: the last ticket. Look at what it changes, then give it to
/// <see cref="Group.Merge"/> or <see cref="Group.Discard"/>. Holds secrets of the next epoch until then. Not thread-safe, as the group it belongs to. The lists
/// are made anew each time.
/// </summary>
public sealed class StagedCommit
{
    internal EpochState Before { get; }
    internal EpochState? Next { get; }

    internal StagedCommit(EpochState before, EpochState? next, Sender sender, int committer, bool hasPath, int[] added, int[] removed, int[] updated)
    {
        (Before, Next, Sender, Committer, HasPath) = (before, next, sender, committer, hasPath);
        (AddedLeaves, RemovedLeaves, UpdatedLeaves) = (added, removed, updated);
    }

    /// <summary>Generation of the received private message; null for public and own commits.</summary>
    internal uint? Generation { get; set; }

    internal int[] AddedLeaves { get; }
    internal int[] RemovedLeaves { get; }
    internal int[] UpdatedLeaves { get; }

    /// <summary>The commit as sent; only for own commits.</summary>
    public MlsMessage? Message { get; internal init; }

    /// <summary>One Welcome for all new members; only for own commits that add someone. Send it after the commit was accepted.</summary>
    public MlsMessage? Welcome { get; internal init; }

    /// <summary>The proposals, with their senders, in the commit's order.</summary>
    public IReadOnlyList<(Proposal Proposal, Sender Sender)> Proposals { get; internal init; } = [];

    /// <summary>Who committed.</summary>
    public Sender Sender { get; }

    /// <summary>The committer's leaf index in the new tree.</summary>
    public int Committer { get; }

    /// <summary>True when the commit renews the committer's keys.</summary>
    public bool HasPath { get; }

    /// <summary>True for a commit made by this client.</summary>
    public bool IsOwn => Message is not null;

    /// <summary>The epoch the commit ends.</summary>
    public ulong Epoch => Before.Context.Epoch;

    /// <summary>True when this client is removed: merging closes the group.</summary>
    public bool RemovesSelf => Next is null;

    /// <summary>The new members.</summary>
    public IReadOnlyList<Member> Added => Next is null ? [] : [.. AddedLeaves.Select(i => new Member(i, Next.Tree.Leaf(i)!))];

    /// <summary>The removed members as they were.</summary>
    public IReadOnlyList<Member> Removed => [.. RemovedLeaves.Select(i => new Member(i, Before.Tree.Leaf(i)!))];

    /// <summary>The members who changed their leaf by an Update proposal, as they were.</summary>
    public IReadOnlyList<Member> Updated => [.. UpdatedLeaves.Select(i => new Member(i, Before.Tree.Leaf(i)!))];

    /// <summary>All members after the commit; empty when it removes this client.</summary>
    public IReadOnlyList<Member> Members => Next is null ? [] : [.. Next.Tree.Members.Select(m => new Member(m.Index, m.Leaf))];

    /// <summary>The committer's leaf before, or null for an external commit.</summary>
    public LeafNode? CommitterBefore => Sender.Type == SenderType.Member ? Before.Tree.Leaf(Committer) : null;

    /// <summary>The group context's extensions before.</summary>
    public IReadOnlyList<Extension> ExtensionsBefore => Before.Context.Extensions;

    /// <summary>The group context's extensions after; those before when it removes this client.</summary>
    public IReadOnlyList<Extension> ExtensionsAfter => (Next ?? Before).Context.Extensions;

    /// <summary>The ReInit, if the commit closes the group in favour of another.</summary>
    public ReInitProposal? ReInit => Next?.ReInit;

    internal void Write(TlsWriter writer)
    {
        Next!.Write(writer, Before);
        Message!.Write(writer);
        writer.WriteOptional(Welcome);
        writer.WriteByte(HasPath ? (byte)1 : (byte)0);
        foreach (var list in (int[][])[AddedLeaves, RemovedLeaves, UpdatedLeaves]) writer.WriteUInt32Vector([.. list.Select(i => (uint)i)]);
        var start = writer.BeginVector();
        foreach (var (proposal, sender) in Proposals)
        {
            proposal.Write(writer);
            sender.Write(writer);
        }
        writer.EndVector(start);
    }
}
