using Marmot.Protocol.Encoding;

namespace Marmot.Client.Convergence;

/// <summary>A commit on a branch and the state it leads to.</summary>
/// <param name="Epoch">The epoch it begins.</param>
/// <param name="State">The state after it, by its convergence commitment.</param>
/// <param name="Committer">The committer's account.</param>
/// <param name="IsPrivileged">True when it needs admin rights. A commit without proposals, or with SelfRemoves alone, is ordinary, whoever makes it.</param>
/// <param name="Digest">SHA-256 of the serialised MLSMessage.</param>
internal sealed record BranchCommit(ulong Epoch, Bytes32 State, Bytes32 Committer, bool IsPrivileged, Bytes32 Digest);

/// <summary>A candidate: the commits from the fork epoch to a commit without a valid child, in the order of their epochs; at least one.</summary>
internal sealed record Branch(IReadOnlyList<BranchCommit> Commits)
{
    /// <summary>Its last commit.</summary>
    public BranchCommit Tip => Commits[^1];
}

/// <summary>A message that is held: an application message with a valid inner event, whether it is shown or was withdrawn.</summary>
/// <param name="State">The state it was made in.</param>
/// <param name="Sender">The sender's account.</param>
internal readonly record struct HeldMessage(Bytes32 State, Bytes32 Sender);

/// <summary>What decided between the branch selected and the next best.</summary>
internal enum BranchRule
{
    /// <summary>There was one candidate.</summary>
    OnlyCandidate,

    /// <summary>The fork lies further back than may be rewound: the own branch stays.</summary>
    OutsideWindow,

    /// <summary>More commits, a quorum counting for one.</summary>
    EffectiveDepth,

    /// <summary>As deep, with a quorum of witnesses.</summary>
    WitnessQuorum,

    /// <summary>More witnesses.</summary>
    WitnessScore,

    /// <summary>Its last commit needs admin rights.</summary>
    Priority,

    /// <summary>The account of its last committer is smaller.</summary>
    Committer,

    /// <summary>The digest of its last commit is smaller.</summary>
    Digest,
}

/// <summary>How a branch stands in the comparison.</summary>
/// <param name="Depth">Commits since the fork.</param>
/// <param name="EffectiveDepth">The same with what a quorum is worth.</param>
/// <param name="HasQuorum">True when enough epochs have enough witnesses.</param>
/// <param name="WitnessScore">Witnesses of all epochs, in each at most as many as a quorum needs.</param>
internal readonly record struct BranchScore(ulong Depth, ulong EffectiveDepth, bool HasQuorum, int WitnessScore);

/// <summary>The branch selected and why.</summary>
internal sealed record BranchDecision(Branch Selected, BranchRule Rule, BranchScore Score);
