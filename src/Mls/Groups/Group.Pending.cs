using System.Runtime.InteropServices;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>Which of the proposals that wait a commit takes (RFC 9420, 12.4).</summary>
public sealed partial class Group
{
    /// <summary>
    /// What the caller wants, as it is; or, when the caller leaves it to the group, all that can be committed together with the proposals by value. Others,
    /// which any member may have sent, do not stop a commit. In the order in which they came.
    /// </summary>
    private List<PendingProposal> Choose(List<Proposal> values, CommitRequest request, ResumptionUsage usage)
    {
        if (_epoch.Proposals.Count == 0) return [];
        if (request.IncludeReferences is { } references) return [.. _epoch.Proposals.Where(p => references.Any(r => r.AsSpan().SequenceEqual(p.Reference)))];
        if (request.IncludePending is { } wanted) return [.. _epoch.Proposals.Where(p => wanted(p.Sender, p.Proposal))];
        var taken = new List<PendingProposal>();
        var own = Sender.Member(OwnLeaf);
        List<PendingProposal> waiting = [.. _epoch.Proposals.Where(p => p.Proposal is not UpdateProposal || p.Sender != own)];
        // The last Update of a leaf comes first among them, the others keep their order.
        List<PendingProposal> preferred = [
            .. Enumerable.Reverse(waiting).Where(p => p.Proposal is UpdateProposal), .. waiting.Where(p => p.Proposal is not UpdateProposal)
        ];
        Take(CollectionsMarshal.AsSpan([.. preferred.OrderBy(p => Precedence(p.Proposal))]));
        return [.. waiting.Where(taken.Contains)];

        // All of them, or, if they do not fit, what of each half does: few bad ones cost few attempts.
        void Take(ReadOnlySpan<PendingProposal> some)
        {
            if (CanCommit(Together([.. taken, .. some], values), request, usage))
            {
                taken.AddRange(some);
            }
            else if (some.Length > 1)
            {
                Take(some[..(some.Length / 2)]);
                Take(some[(some.Length / 2)..]);
            }
        }
    }

    /// <summary>What others depend on or yield to comes first; a ReInit tolerates nothing beside it.</summary>
    private static int Precedence(Proposal proposal) => proposal switch
    {
        RemoveProposal or SelfRemoveProposal => 0,
        GroupContextExtensionsProposal => 1,
        UpdateProposal => 2,
        ReInitProposal => 4,
        _ => 3,
    };

    private List<CommittedProposal> Together(IEnumerable<PendingProposal> pending, List<Proposal> values)
        =>
            [
                .. pending.Select(p => new CommittedProposal(p.Proposal, p.Sender, true, p.OwnUpdateKey)),
                .. values.Select(p => new CommittedProposal(p, Sender.Member(OwnLeaf), false))
            ];

    /// <summary>Everything that a commit of these can be refused for.</summary>
    private bool CanCommit(List<CommittedProposal> proposals, CommitRequest request, ResumptionUsage usage)
    {
        try
        {
            var list = ProposalList.Apply(_epoch, OwnLeaf, proposals, _rules, request.Now, usage);
            PskSecretOf(list.Psks, _epoch, request.Predecessor).Dispose();
            if (list.NeedsPath || request.ForcePath) TreeKem.CheckTargets(list.Tree, OwnLeaf, list.NewLeaves);
            return true;
        }
        catch (MlsException)
        {
            return false;
        }
    }

    /// <summary>Refuses one more proposal than the rules allow, naming the sender; a group of proposals costs who commits them work that their sender does not
    /// have.</summary>
    private void CheckRoom(EpochState state, Sender sender)
    {
        var own = 0;
        foreach (var pending in state.Proposals)
        {
            if (pending.Sender == sender) own++;
        }
        if (own < _rules.MaxPendingProposalsPerSender && state.Proposals.Count < _rules.MaxPendingProposals) return;
        throw new MlsException(new MlsRefusal(MlsError.TooManyProposals, sender.Type == SenderType.Member ? (int)sender.Index : null));
    }

    /// <summary>Leaves whose public keys are none, lowest first: only in a state stored before such keys were refused. Their members can read nothing that
    /// others commit; remove them. O(n).</summary>
    public IReadOnlyList<int> InvalidLeaves
        =>
            [
                .. _epoch.Tree.Members.Where(m => !Suite.Kem.IsPublicKey(m.Leaf.EncryptionKey) || !Suite.Signature.IsPublicKey(m.Leaf.SignatureKey))
                    .Select(m => m.Index)
            ];
}
