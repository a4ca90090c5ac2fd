using System.Security.Cryptography;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

/// <summary>
/// The race of the commits of one epoch (MIP-03): the earliest created_at wins, then the smallest id. Keeps the state before each commit in force, so that a
/// better one that comes late can take its epoch back, and the states of own commits that every relay refused, since a relay may show such a commit all the
/// same. One caller at a time, as its session.
/// </summary>
internal sealed class CommitRace(ClientStore store, GroupRecord record)
{
    /// <summary>Epochs that a late commit can still overturn (MIP-03).</summary>
    public const ulong Epochs = 5;

    /// <summary>Snapshots hold keys of past epochs: they go after this time even when the group stands still.</summary>
    private static readonly TimeSpan Window = TimeSpan.FromDays(7);

    private string Prefix => GroupSession.PrefixOf(record.GroupId);

    /// <summary>Less than zero when the first wins.</summary>
    public static int Compare(long createdAt, in Bytes32 id, long otherCreatedAt, in Bytes32 otherId) =>
        createdAt != otherCreatedAt ? createdAt.CompareTo(otherCreatedAt) : id.CompareTo(otherId);

    /// <summary>The commit that ended an epoch, as long as it can be overturned.</summary>
    public MergedCommit? Merged(ulong epoch) => record.Merged.Find(one => one.Epoch == epoch);

    /// <summary>An own commit that was given up.</summary>
    public PendingCommit? Abandoned(Bytes32 eventId) => record.Abandoned.Find(one => one.EventId == eventId);

    /// <summary>Notes the commit that ended an epoch and keeps the state before it.</summary>
    public void Keep(StoreBatch batch, MergedCommit commit, byte[] before)
    {
        batch.Put(SnapshotKey(commit.Epoch), before);
        record.Merged.RemoveAll(one => one.Epoch >= commit.Epoch);
        record.Merged.Add(commit);
    }

    /// <summary>Keeps an own commit that every relay refused, with the state that holds it.</summary>
    public void KeepAbandoned(StoreBatch batch, PendingCommit commit, byte[] state)
    {
        batch.Put(OwnCommitKey(commit.EventId), state);
        record.Abandoned.Add(commit);
    }

    /// <summary>Takes an epoch back and all that followed. What was made on the branch that lost says nothing about the other.</summary>
    public void TakeBack(StoreBatch batch, ulong epoch)
    {
        foreach (var undone in record.Merged.Where(one => one.Epoch >= epoch).ToList())
        {
            record.Merged.Remove(undone);
            batch.Delete(SnapshotKey(undone.Epoch));
        }

        ForgetAbandoned(batch, one => one.Epoch > epoch);
    }

    /// <summary>Drops what no late commit can overturn any more.</summary>
    public void Forget(StoreBatch batch, ulong epoch, long now)
    {
        long oldest = now - (long)Window.TotalSeconds;
        foreach (var merged in record.Merged.Where(one => one.Epoch + Epochs < epoch || one.MergedAt < oldest).ToList())
        {
            record.Merged.Remove(merged);
            batch.Delete(SnapshotKey(merged.Epoch));
        }

        ForgetAbandoned(batch, one => one.Epoch + Epochs < epoch);
    }

    /// <summary>The past epoch whose key opens an envelope, tried on the kept states: a removed member has no others. The message goes to the
    /// candidate.</summary>
    public MergedCommit? FindOpening(StoreBatch batch, Candidate candidate)
    {
        foreach (var merged in record.Merged)
        {
            if (Restore(batch, SnapshotKey(merged.Epoch)) is not { } past)
            {
                continue;
            }

            using (past)
            {
                byte[] key = MipGroup.EnvelopeKey(past, past.Epoch);
                bool isOpen = candidate.Envelope.TryOpen(key, out byte[]? bytes);
                CryptographicOperations.ZeroMemory(key);
                if (isOpen && MlsMessage.TryRead(bytes!, out var message, out _))
                {
                    (candidate.Message, candidate.Hash) = (message, GroupSession.HashOf(bytes));
                    return merged;
                }
            }
        }

        return null;
    }

    /// <summary>Stages a commit on the state before its epoch's end; the caller owns the state when true. No reason means: a proposal it names may still
    /// come.</summary>
    /// <param name="turn">The turn, for its batch and for proposals of that epoch that came after its end.</param>
    /// <param name="epoch">The commit's epoch.</param>
    /// <param name="candidate">The event of the commit.</param>
    /// <param name="message">The commit.</param>
    /// <param name="state">The state it is staged on.</param>
    /// <param name="staged">The commit, checked.</param>
    /// <param name="reason">The rule it breaks.</param>
    public bool TryStage(ReceiveTurn turn, ulong epoch, Candidate candidate, MlsMessage message, out MlsGroup state, out StagedCommit staged,
        out string? reason)
    {
        (state, staged, reason) = (null!, null!, "the state of its epoch is gone");

        // An own commit that was given up cannot be processed as a stranger's; its own state was kept.
        bool isOwn = Abandoned(candidate.Event.Id) is not null;
        if (Restore(turn.Batch, isOwn ? OwnCommitKey(candidate.Event.Id) : SnapshotKey(epoch)) is not { } restored)
        {
            return false;
        }

        if (isOwn && restored.PendingCommit is { } own)
        {
            (state, staged) = (restored, own);
            return true;
        }

        if (restored.PendingCommit is { } lost)
        {
            restored.Discard(lost);
        }

        // Proposals of that epoch that came after its end are not in the state that was kept.
        foreach (var proposal in turn.Work.Where(one => one.Message is { ContentType: ContentType.Proposal } late && late.Epoch == epoch))
        {
            restored.TryProcess(proposal.Message!, out _, out _);
        }

        if (!restored.TryProcess(message, out var received, out var error))
        {
            reason = error == MlsError.UnknownProposal ? null : error.ToString();
        }
        else if (received is ReceivedCommit { Commit: var commit })
        {
            if (CommitPolicy.Refusal(commit) is not { } refusal)
            {
                (state, staged) = (restored, commit);
                return true;
            }

            restored.Discard(commit);
            reason = refusal;
        }

        restored.Dispose();
        return false;
    }

    private void ForgetAbandoned(StoreBatch batch, Func<PendingCommit, bool> which)
    {
        foreach (var lost in record.Abandoned.Where(which).ToList())
        {
            record.Abandoned.Remove(lost);
            batch.Delete(OwnCommitKey(lost.EventId));
        }
    }

    private string OwnCommitKey(in Bytes32 eventId) => $"{Prefix}own/{eventId}";

    private string SnapshotKey(ulong epoch) => $"{Prefix}snap/{epoch:D20}";

    // What the batch holds counts before what the store holds.
    private MlsGroup? Restore(StoreBatch batch, string key) =>
        batch.Get(key, store) is { } bytes && MlsGroup.TryRestore(bytes, MipGroup.Rules, out var group) ? group : null;
}
