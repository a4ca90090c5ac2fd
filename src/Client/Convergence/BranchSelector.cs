using Marmot.Protocol.Encoding;

namespace Marmot.Client.Convergence;

/// <summary>Selects among the branches of a pass. Pure: the same branches and messages give the same decision on every device.
/// docs/conformance/adopted-convergence.md holds the order with a test for each rule.</summary>
internal static class BranchSelector
{
    /// <summary>Selects a branch.</summary>
    /// <param name="forkEpoch">The epoch all candidates start from; one for all.</param>
    /// <param name="ownTip">Epoch of the own tip before the pass.</param>
    /// <param name="branches">The candidates, the own branch among them; at least one, no two with one tip.</param>
    /// <param name="messages">All messages held, in any order, repeated or not.</param>
    /// <param name="policy">The constants.</param>
    /// <param name="own">The own branch, which stays when the fork lies outside the window; null when the own tip is the fork itself.</param>
    public static BranchDecision Select(ulong forkEpoch, ulong ownTip, IReadOnlyList<Branch> branches, IEnumerable<HeldMessage> messages,
        ConvergencePolicy policy, Branch? own = null)
    {
        ArgumentOutOfRangeException.ThrowIfZero(branches.Count);
        var senders = SendersByState(messages);
        if (ownTip > forkEpoch + policy.MaxRewindCommits && own is not null)
        {
            return new BranchDecision(own, BranchRule.OutsideWindow, ScoreOf(own, forkEpoch, senders, policy));
        }

        var best = branches[0];
        var bestScore = ScoreOf(best, forkEpoch, senders, policy);
        var rule = BranchRule.OnlyCandidate;
        foreach (var branch in branches.Skip(1))
        {
            var score = ScoreOf(branch, forkEpoch, senders, policy);
            var (order, by) = Compare(branch, score, best, bestScore);
            if (order < 0)
            {
                (best, bestScore, rule) = (branch, score, by); // what was best comes second now
            }
            else if (rule == BranchRule.OnlyCandidate || by > rule)
            {
                rule = by; // closer to the best than any before
            }
        }

        return new BranchDecision(best, rule, bestScore);
    }

    // Less than zero when the first wins; the first difference decides.
    private static (int Order, BranchRule By) Compare(Branch a, BranchScore scoreA, Branch b, BranchScore scoreB)
    {
        if (scoreA.EffectiveDepth != scoreB.EffectiveDepth)
        {
            return (scoreB.EffectiveDepth.CompareTo(scoreA.EffectiveDepth), BranchRule.EffectiveDepth);
        }

        if (scoreA.HasQuorum != scoreB.HasQuorum)
        {
            return (scoreA.HasQuorum ? -1 : 1, BranchRule.WitnessQuorum);
        }

        if (scoreA.WitnessScore != scoreB.WitnessScore)
        {
            return (scoreB.WitnessScore.CompareTo(scoreA.WitnessScore), BranchRule.WitnessScore);
        }

        if (a.Tip.IsPrivileged != b.Tip.IsPrivileged)
        {
            return (a.Tip.IsPrivileged ? -1 : 1, BranchRule.Priority);
        }

        return a.Tip.Committer != b.Tip.Committer
            ? (a.Tip.Committer.CompareTo(b.Tip.Committer), BranchRule.Committer)
            : (a.Tip.Digest.CompareTo(b.Tip.Digest), BranchRule.Digest);
    }

    private static BranchScore ScoreOf(Branch branch, ulong forkEpoch, Dictionary<Bytes32, HashSet<Bytes32>> senders, ConvergencePolicy policy)
    {
        ulong depth = branch.Tip.Epoch - forkEpoch;
        int score = 0;
        int quorums = 0;
        foreach (var commit in branch.Commits)
        {
            // Witnesses of the branch's own last epochs: an account counts once an epoch.
            if (commit.Epoch > forkEpoch && branch.Tip.Epoch - commit.Epoch <= policy.MaxRewindCommits && senders.TryGetValue(commit.State, out var heard))
            {
                score += Math.Min(heard.Count, policy.WitnessQuorumSenders);
                quorums += heard.Count >= policy.WitnessQuorumSenders ? 1 : 0;
            }
        }

        bool hasQuorum = quorums >= policy.WitnessQuorumEpochs;
        return new BranchScore(depth, depth + (hasQuorum ? policy.MaxWitnessOverrideDepth : 0), hasQuorum, score);
    }

    private static Dictionary<Bytes32, HashSet<Bytes32>> SendersByState(IEnumerable<HeldMessage> messages)
    {
        var senders = new Dictionary<Bytes32, HashSet<Bytes32>>();
        foreach (var message in messages)
        {
            if (!senders.TryGetValue(message.State, out var heard))
            {
                senders[message.State] = heard = [];
            }

            heard.Add(message.Sender);
        }

        return senders;
    }
}
