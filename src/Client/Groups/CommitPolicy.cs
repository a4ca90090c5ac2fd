using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>Who may commit what (MIP-03), decided from the parent epoch's state and nothing else.</summary>
internal static class CommitPolicy
{
    /// <summary>Null when the commit may be merged, else the rule it breaks.</summary>
    internal static string? Refusal(StagedCommit commit)
    {
        // 1. Only members commit.
        if (commit.CommitterBefore is not { } committer)
        {
            return "an external commit";
        }

        // 2. The group's data must stay readable.
        if (MipGroup.DataOf(commit.ExtensionsBefore) is not { } before || MipGroup.DataOf(commit.ExtensionsAfter) is not { } after)
        {
            return "the group data is missing or malformed";
        }

        // 3. What kind of commit it is.
        bool isAdmin = before.Admins.Contains(MarmotIdentity.Of(committer));
        foreach (var (proposal, sender) in commit.Proposals)
        {
            switch (proposal)
            {
                case SelfRemoveProposal when IsAdmin(commit, sender, before):
                    return "an admin leaves without stepping down";
                case ReInitProposal or ExternalInitProposal or PreSharedKeyProposal or AppDataUpdateProposal or AppEphemeralProposal or CustomProposal:
                    return "a proposal the profile does not have";
                case GroupContextExtensionsProposal when !isAdmin:
                    return "a change of the group by a non-admin";
                case AddProposal or RemoveProposal when !isAdmin:
                    return "a change of the members by a non-admin";
                case UpdateProposal when !isAdmin:
                    return "another's update committed by a non-admin";
            }
        }

        // A non-admin's commit renews his own keys, or takes out those who leave.
        if (commit.RemovesSelf)
        {
            return null; // the state after is not ours to see
        }

        // 4. The group must stay in somebody's hands.
        var members = commit.Members.Select(member => MarmotIdentity.Of(member.Leaf)).ToHashSet();
        return after.Admins.Any(members.Contains) ? null : "no active admin would be left";
    }

    /// <summary>Null when a received proposal may wait for a commit, else why it is ignored.</summary>
    internal static string? Refusal(Proposal proposal, Sender sender, IReadOnlyDictionary<int, LeafNode> members, GroupData data)
    {
        if (sender.Type != SenderType.Member || !members.TryGetValue((int)sender.Index, out var leaf))
        {
            return "a proposal from outside";
        }

        bool isAdmin = data.Admins.Contains(MarmotIdentity.Of(leaf));
        return proposal switch
        {
            SelfRemoveProposal when isAdmin => "an admin leaves without stepping down",
            SelfRemoveProposal => null,
            RemoveProposal remove when remove.Removed == sender.Index => isAdmin ? "an admin leaves without stepping down" : null,
            AddProposal or RemoveProposal => null,
            _ => "not a proposal the profile lets wait",
        };
    }

    /// <summary>True for a proposal by which its sender leaves.</summary>
    internal static bool IsLeave(Proposal proposal, Sender sender) =>
        proposal is SelfRemoveProposal || (proposal is RemoveProposal remove && sender.Type == SenderType.Member && remove.Removed == sender.Index);

    private static bool IsAdmin(StagedCommit commit, Sender sender, GroupData before) =>
        commit.Removed.FirstOrDefault(member => member.Index == (int)sender.Index) is { } leaver && before.Admins.Contains(MarmotIdentity.Of(leaver.Leaf));
}
