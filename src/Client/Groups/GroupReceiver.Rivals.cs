using System.Text;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Events;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

internal sealed partial class GroupReceiver
{
    /// <summary>A commit for an epoch that another commit has ended: it takes the epoch back when it is better (MIP-03).</summary>
    private bool TakeRival(ReceiveTurn turn)
    {
        foreach (var candidate in turn.Work.Where(one => one.Message is null or { ContentType: ContentType.Commit }).ToList())
        {
            // A removed member has no group to open envelopes with: the snapshots' keys do it.
            var merged = candidate.Message is { } known
                ? _session.Race.Merged(known.Epoch)
                : _session.HasState
                ? null
                : _session.Race.FindOpening(turn.Batch, candidate);
            if (merged is null || candidate.Message is not { ContentType: ContentType.Commit } message)
            {
                if (candidate.Message is { } old && old.Epoch < _session.Epoch)
                {
                    Finish(turn, candidate, GroupOutcome.Stale, "the commit's epoch is too long ago");
                }

                continue;
            }

            if (candidate.Hash == merged.MessageHash)
            {
                Drop(turn, candidate); // the same commit in another envelope, whatever its date
                continue;
            }

            if (CommitRace.Compare(candidate.Event.CreatedAt, candidate.Event.Id, merged.CreatedAt, merged.EventId) > 0)
            {
                Finish(turn, candidate, GroupOutcome.LostRace);
                continue;
            }

            if (_session.Race.TryStage(turn, merged.Epoch, candidate, message, out var state, out var staged, out string? reason))
            {
                RollBack(turn, candidate, merged.Epoch, state, staged);
                return true;
            }

            if (reason is not null)
            {
                Finish(turn, candidate, GroupOutcome.Refused, reason);
            }
        }

        return false;
    }

    private void RollBack(ReceiveTurn turn, Candidate candidate, ulong epoch, MlsGroup state, StagedCommit staged)
    {
        _session.Abandon(turn.Batch, keep: false);
        _session.Race.TakeBack(turn.Batch, epoch);

        // What was opened on the branch that lost says nothing about this one.

        foreach (var opened in turn.Work.Where(one => one.Message is { } read && read.Epoch > epoch))
        {
            opened.Message = null;
        }

        bool removed = staged.RemovesSelf;
        _session.Replace(state);
        _session.Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
        OweWelcomes(turn, candidate, staged);
        if (!staged.IsOwn)
        {
            Hear(turn, candidate);
        }

        Finish(turn, candidate, removed ? GroupOutcome.Removed : GroupOutcome.RolledBack);
        if (_session.HasState)
        {
            SendAgain(turn, epoch);
        }
    }

    // An own commit that was given up and is in force after all: those it added still wait.
    private void OweWelcomes(ReceiveTurn turn, Candidate candidate, StagedCommit staged)
    {
        if (staged.Welcome is { } welcome && _session.Race.Abandoned(candidate.Event.Id) is { } kept)
        {
            turn.QueueWelcomes(turn.Batch, welcome, kept.Invitees);
        }
    }

    /// <summary>Own messages of epochs that no longer are: nobody on the better branch can read them, so they are sealed anew under the same inner
    /// id.</summary>
    private void SendAgain(ReceiveTurn turn, ulong epoch)
    {
        for (int index = _session.Record.Messages - 1; index >= 0; index--)
        {
            if (_session.History.Get(index, turn.Batch) is not { } stored)
            {
                continue; // damaged on disk
            }

            // Late messages of older epochs lie between newer ones, but not further back than epochs are known.
            if (stored.Epoch + (2 * CommitRace.Epochs) < epoch)
            {
                return;
            }

            if (!stored.IsOwn || stored.Epoch <= epoch || !Rumor.TryParse(Encoding.UTF8.GetBytes(stored.RumorJson), out var rumor, out _))
            {
                continue;
            }

            turn.Batch.Delete(GroupSession.OutboxKey(stored.EventId));
            _session.SealAgain(rumor, index, stored, turn.Batch);
            turn.Report.Resent++;
        }
    }
}
