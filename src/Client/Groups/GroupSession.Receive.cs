using System.Security.Cryptography;
using System.Text;
using Marmot.Client.Profiles;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

internal sealed partial class GroupSession
{
    /// <summary>Undecryptable events are tried again for this long; MDK reads as far back.</summary>
    private static readonly TimeSpan ParkFor = TimeSpan.FromDays(45);

    /// <summary>Most events that wait; a flood of garbage under the group's public id must not fill the disk.</summary>
    private const int MaxParked = 5000;

    /// <summary>
    /// Lets verified kind 445 events take effect, in whatever order and however often they come: the best commit of an epoch wins by created_at, then id; one that comes late takes the epoch
    /// back; what cannot be read yet is kept. All of it is stored in one batch at the end.
    /// </summary>
    /// <param name="events">Events of this group's routing ids; ids and signatures are verified.</param>
    /// <param name="owe">Makes the outbox entries of Welcomes when an own commit turns out to be accepted.</param>
    public GroupReport Receive(IEnumerable<NostrEvent> events, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> owe)
    {
        var report = new GroupReport();
        var batch = new StoreBatch();
        var turn = new Turn(Gather(events, report), report, batch, owe);

        // Parked events are as closed as they were while the ground is the same; a flood of garbage must not be tried again with every message.
        bool withParked = _mls is null || _parkedTriedOn != Ground();
        if (withParked)
        {
            turn.Add(Parked());
        }

        if (turn.Work.Any())
        {
            TakeAll(turn);
            if (!withParked && (_parkedTriedOn != Ground() || turn.Work.Any(one => one.Message is not null)))
            {
                turn.Add(Parked());
                TakeAll(turn);
            }

            ParkTheRest(turn);
            _parkedTriedOn = Ground();
            Commit(batch);
        }
        else
        {
            batch.PutJson(Prefix + "record", _record); // how far the relays were read: worth no flush of its own
            _store.Commit(batch, durable: false);
        }

        return report;
    }

    // What decides whether a parked event can take effect: the keys, the proposals and the own commit at hand. A removed member tries the keys of the epochs before, which this does not tell.
    private (Bytes32 Authenticator, int Proposals, Bytes32? Pending)? Ground() =>
        _mls is null ? null : (HashOf(_mls.EpochAuthenticator), _mls.PendingProposals.Count, _record.Pending?.EventId);

    private void TakeAll(Turn turn)
    {
        while (Step(turn))
        {
            // Until nothing more changes: a commit opens the next epoch's messages, a rollback those of the better branch.
        }
    }

    private List<Candidate> Parked()
    {
        var work = new List<Candidate>();
        foreach (var parked in _parked.Values)
        {
            if (NostrEvent.TryParse(Encoding.UTF8.GetBytes(parked.EventJson), out var evt, out _) && GroupEvent.TryParse(evt, out var envelope, out _))
            {
                work.Add(new Candidate(evt, envelope) { IsParked = true });
            }
        }

        return work;
    }

    private List<Candidate> Gather(IEnumerable<NostrEvent> events, GroupReport report)
    {
        var work = new List<Candidate>();
        var known = new HashSet<Bytes32>(_parked.Keys);
        foreach (var evt in events)
        {
            if (_seen.Contains(evt.Id) || !known.Add(evt.Id))
            {
                continue;
            }

            if (GroupEvent.TryParse(evt, out var envelope, out var reason) && _record.RoutingIds.Contains(envelope.NostrGroupId))
            {
                work.Add(new Candidate(evt, envelope));
            }
            else if (envelope is null)
            {
                MarkSeen(evt.Id, evt.Id);
                report.Incidents.Add(new GroupIncident(evt.Id, GroupOutcome.Refused, reason.ToString() ?? string.Empty));
            }
        }

        return work;
    }

    // One pass; true when something changed that may let another pass find more.
    private bool Step(Turn turn)
    {
        bool changed = TakeOwnEcho(turn);
        if (_mls is not null)
        {
            Open(turn);
            changed |= TakeMessages(turn);
        }

        // A rival of a past epoch first: what follows is to be judged on the branch that stays. A removed member may learn that the removal lost.
        return TakeRival(turn) || (_mls is not null && TakeCommit(turn)) || changed;
    }

    private bool TakeOwnEcho(Turn turn)
    {
        if (_record.Pending is not { } pending || turn.Work.FirstOrDefault(one => one.Event.Id == pending.EventId) is not { } echo)
        {
            return false;
        }

        echo.IsDone = true;

        // A better rival in the same hand wins all the same; it is found below, against the merged own commit.
        Confirm(turn.Batch, turn.Owe);
        turn.Report.Incidents.Add(new GroupIncident(echo.Event.Id, GroupOutcome.OwnCommit));
        return true;
    }

    /// <summary>Tries the keys of the known epochs on every envelope that is still closed.</summary>
    private void Open(Turn turn)
    {
        var keys = Mls.KnownEpochs.Select(epoch => MipGroup.EnvelopeKey(Mls, epoch)).ToList();
        foreach (var candidate in turn.Work.Where(one => one.Message is null).ToList())
        {
            byte[]? bytes = null;
            foreach (byte[] key in keys)
            {
                if (candidate.Envelope.TryOpen(key, out bytes))
                {
                    break;
                }
            }

            bytes ??= OpenLegacy(candidate.Envelope);
            if (bytes is null)
            {
                continue;
            }

            candidate.Hash = HashOf(bytes);
            if (_seen.Contains(candidate.Hash))
            {
                turn.Drop(this, candidate); // the same message in another envelope
            }
            else if (!MlsMessage.TryRead(bytes, out var message, out var error) || !message!.GroupId.Span.SequenceEqual(Mls.GroupId.Span))
            {
                turn.Finish(this, candidate, GroupOutcome.Refused, error == MlsError.None ? "a message of another group" : error.ToString());
            }
            else
            {
                candidate.Message = message;
            }
        }

        keys.ForEach(key => CryptographicOperations.ZeroMemory(key));
    }

    private byte[]? OpenLegacy(GroupEvent envelope)
    {
        if (!ProfileDetector.MayBeLegacyEnvelope(envelope))
        {
            return null;
        }

        foreach (ulong epoch in Mls.KnownEpochs)
        {
            byte[] secret = MipGroup.LegacyEnvelopeKey(Mls, epoch);
            using var key = SecretKey.TryCreate(secret, out var created) ? created : null;
            CryptographicOperations.ZeroMemory(secret);
            if (key is not null && envelope.TryOpenLegacy(key, out byte[]? message))
            {
                return message;
            }
        }

        return null;
    }

    /// <summary>Application messages of the current and the past epochs, proposals of the current one.</summary>
    private bool TakeMessages(Turn turn)
    {
        bool changed = false;
        foreach (var candidate in turn.Work.Where(one => one.Message is { ContentType: not ContentType.Commit }).ToList())
        {
            var message = candidate.Message!;
            if (message.Epoch > Mls.Epoch || (message.ContentType == ContentType.Proposal && message.Epoch < Mls.Epoch && _record.Merged.Exists(one => one.Epoch == message.Epoch)))
            {
                continue; // later, or for a commit that may yet take its epoch back
            }

            changed = true;
            if (_seen.Contains(candidate.Hash))
            {
                turn.Drop(this, candidate); // the same message came twice in one turn
                continue;
            }

            if (!Mls.TryProcess(message, out var received, out var error))
            {
                turn.Finish(this, candidate, error == MlsError.WrongEpoch ? GroupOutcome.Stale : GroupOutcome.Refused, error.ToString());
                continue;
            }

            if (received is ReceivedProposal proposal)
            {
                var members = Mls.Members.ToDictionary(member => member.Index, member => member.Leaf);
                string? refusal = CommitPolicy.Refusal(proposal.Proposal, proposal.Sender, members, Data);
                turn.Finish(this, candidate, refusal is null ? GroupOutcome.Proposal : GroupOutcome.Refused, refusal ?? string.Empty);
                Hear(candidate);
            }
            else if (received is ReceivedApplication application)
            {
                TakeApplication(turn, candidate, application);
            }
        }

        return changed;
    }

    // MIP-03: the payload is an unsigned event by the sender of the MLS message, with the id that is its hash.
    private void TakeApplication(Turn turn, Candidate candidate, ReceivedApplication application)
    {
        Hear(candidate);
        var sender = MarmotIdentity.Of(application.Sender);
        string? fault = null;
        if (!Rumor.TryParse(application.Data, out var rumor, out var reason))
        {
            fault = $"the inner event: {reason}";
        }
        else if (rumor.PublicKey != sender)
        {
            fault = "the inner event is not by the sender";
        }
        else if (rumor.Tags.Any(tag => tag[0] == "h"))
        {
            fault = "the inner event carries an h tag";
        }
        else if (!HasId(application.Data))
        {
            fault = "the inner event has no id";
        }

        turn.Finish(this, candidate, fault is null ? GroupOutcome.Message : GroupOutcome.Refused, fault ?? string.Empty);
        if (fault is null && !_seen.Contains(rumor!.Id))
        {
            PutMessage(turn.Batch, null, rumor, new StoredMessage(Encoding.UTF8.GetString(application.Data), application.Epoch, candidate.Event.Id, IsOwn: false, application.SenderLeaf, null));
            turn.Report.Messages.Add(new GroupMessage(GroupId, rumor, application.Epoch, candidate.Event.Id, IsOwn: false, application.SenderLeaf));
        }
    }

    private void Hear(Candidate candidate)
    {
        _record.HasHeard = true;
        _record.HeardAt = Math.Max(_record.HeardAt, candidate.Event.CreatedAt);
    }

    // The reader computes a missing id; the profile wants it there.
    private static bool HasId(byte[] json)
    {
        using var document = System.Text.Json.JsonDocument.Parse(json);
        return document.RootElement.TryGetProperty("id", out _);
    }

    /// <summary>A commit for an epoch that another commit has ended: it takes the epoch back when it is better (MIP-03).</summary>
    private bool TakeRival(Turn turn)
    {
        foreach (var candidate in turn.Work.Where(one => one.Message is null or { ContentType: ContentType.Commit }).ToList())
        {
            // A removed member has no group to open envelopes with: the snapshots' keys do it.
            var merged = candidate.Message is { } known ? _record.Merged.Find(one => one.Epoch == known.Epoch) : _mls is null ? FindOpening(turn, candidate) : null;
            if (merged is null || candidate.Message is not { ContentType: ContentType.Commit } message)
            {
                if (candidate.Message is { } old && old.Epoch < Epoch)
                {
                    turn.Finish(this, candidate, GroupOutcome.Stale, "the commit's epoch is too long ago");
                }

                continue;
            }

            if (candidate.Hash == merged.MessageHash)
            {
                turn.Drop(this, candidate); // the same commit in another envelope, whatever its date
                continue;
            }

            if (Compare(candidate.Event.CreatedAt, candidate.Event.Id, merged.CreatedAt, merged.EventId) > 0)
            {
                turn.Finish(this, candidate, GroupOutcome.LostRace);
                continue;
            }

            if (TryStageOn(turn, merged.Epoch, candidate, message, out var state, out var staged, out string? reason))
            {
                RollBack(turn, candidate, merged.Epoch, state, staged);
                return true;
            }

            if (reason is not null)
            {
                turn.Finish(this, candidate, GroupOutcome.Refused, reason);
            }
        }

        return false;
    }

    private MergedCommit? FindOpening(Turn turn, Candidate candidate)
    {
        foreach (var merged in _record.Merged)
        {
            if (Restore(turn, SnapshotKey(merged.Epoch)) is not { } past)
            {
                continue;
            }

            using (past)
            {
                byte[] key = MipGroup.EnvelopeKey(past, past.Epoch);
                if (candidate.Envelope.TryOpen(key, out byte[]? bytes) && MlsMessage.TryRead(bytes, out var message, out _))
                {
                    (candidate.Message, candidate.Hash) = (message, HashOf(bytes));
                    return merged;
                }
            }
        }

        return null;
    }

    // Stages a commit on the state before its epoch's end; the caller owns the state when true. No reason means: a proposal it names may still come.
    private bool TryStageOn(Turn turn, ulong epoch, Candidate candidate, MlsMessage message, out MlsGroup state, out StagedCommit staged, out string? reason)
    {
        (state, staged, reason) = (null!, null!, "the state of its epoch is gone");

        // An own commit that was given up cannot be processed as a stranger's; its own state was kept.
        bool isOwn = _record.Abandoned.Exists(one => one.EventId == candidate.Event.Id);
        if (Restore(turn, isOwn ? OwnCommitKey(candidate.Event.Id) : SnapshotKey(epoch)) is not { } restored)
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

    // What this turn wrote counts before what the store holds.
    private MlsGroup? Restore(Turn turn, string key) => turn.Batch.Get(key, _store) is { } bytes && MlsGroup.TryRestore(bytes, MipGroup.Rules, out var group) ? group : null;

    private void RollBack(Turn turn, Candidate candidate, ulong epoch, MlsGroup state, StagedCommit staged)
    {
        Abandon(turn.Batch, keep: false);
        foreach (var undone in _record.Merged.Where(one => one.Epoch >= epoch).ToList())
        {
            _record.Merged.Remove(undone);
            turn.Batch.Delete(SnapshotKey(undone.Epoch));
        }

        // What was made or opened on the branch that lost says nothing about this one.
        foreach (var lost in _record.Abandoned.Where(one => one.Epoch > epoch).ToList())
        {
            _record.Abandoned.Remove(lost);
            turn.Batch.Delete(OwnCommitKey(lost.EventId));
        }

        foreach (var opened in turn.Work.Where(one => one.Message is { } read && read.Epoch > epoch))
        {
            opened.Message = null;
        }

        bool removed = staged.RemovesSelf;
        Replace(state);
        Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
        OweWelcomes(turn, candidate, staged);
        if (!staged.IsOwn)
        {
            Hear(candidate);
        }

        turn.Finish(this, candidate, removed ? GroupOutcome.Removed : GroupOutcome.RolledBack);
        if (_mls is not null)
        {
            SendAgain(turn, epoch);
        }
    }

    private void Replace(MlsGroup state)
    {
        _mls?.Dispose();
        _mls = state;
    }

    // An own commit that was given up and is in force after all: those it added still wait.
    private void OweWelcomes(Turn turn, Candidate candidate, StagedCommit staged)
    {
        if (staged.Welcome is { } welcome && _record.Abandoned.Find(one => one.EventId == candidate.Event.Id) is { } kept)
        {
            turn.Owe(turn.Batch, welcome, kept.Invitees);
        }
    }

    /// <summary>Own messages of epochs that no longer are: nobody on the better branch can read them, so they are sealed anew under the same inner id.</summary>
    private void SendAgain(Turn turn, ulong epoch)
    {
        for (int index = _record.Messages - 1; index >= 0 && _history.Get(index, turn.Batch) is { } stored; index--)
        {
            // Late messages of older epochs lie between newer ones, but not further back than epochs are known.
            if (stored.Epoch + (2 * RaceEpochs) < epoch)
            {
                return;
            }

            if (!stored.IsOwn || stored.Epoch <= epoch || !Rumor.TryParse(Encoding.UTF8.GetBytes(stored.RumorJson), out var rumor, out _))
            {
                continue;
            }

            turn.Batch.Delete(OutboxKey(stored.EventId));
            Seal(rumor, index, turn.Batch);
            turn.Report.Resent++;
        }
    }

    /// <summary>The best commit of the current epoch.</summary>
    private bool TakeCommit(Turn turn)
    {
        foreach (var candidate in turn.Work.Where(one => one.Message is { ContentType: ContentType.Commit } message && message.Epoch == Epoch).ToList())
        {
            if (_record.Abandoned.Exists(one => one.EventId == candidate.Event.Id) && TryStageOn(turn, Epoch, candidate, candidate.Message!, out var own, out var ownStaged, out _))
            {
                MergeOwnLate(turn, candidate, own, ownStaged);
                return true;
            }

            if (_record.Pending is { } pending && Compare(pending.CreatedAt, pending.EventId, candidate.Event.CreatedAt, candidate.Event.Id) < 0)
            {
                continue; // ours is better; whether a relay has it is still open
            }

            if (!Mls.TryProcess(candidate.Message!, out var received, out var error))
            {
                if (error != MlsError.UnknownProposal)
                {
                    turn.Finish(this, candidate, GroupOutcome.Refused, error.ToString());
                }

                continue;
            }

            var staged = ((ReceivedCommit)received!).Commit;
            if (CommitPolicy.Refusal(staged) is { } refusal)
            {
                Mls.Discard(staged);
                turn.Finish(this, candidate, GroupOutcome.Refused, refusal);
                continue;
            }

            if (_record.Pending is not null)
            {
                // Processed against a state that held our own commit: give that up, then take the better one.
                Mls.Discard(staged);
                Abandon(turn.Batch, keep: false);
                staged = ((ReceivedCommit)Mls.Process(candidate.Message!)).Commit;
            }

            bool removed = staged.RemovesSelf;
            Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
            Hear(candidate);
            turn.Finish(this, candidate, removed ? GroupOutcome.Removed : GroupOutcome.Commit);
            return true;
        }

        return false;
    }

    private void MergeOwnLate(Turn turn, Candidate candidate, MlsGroup state, StagedCommit staged)
    {
        Abandon(turn.Batch, keep: false);
        Replace(state);
        Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
        OweWelcomes(turn, candidate, staged);
        turn.Finish(this, candidate, GroupOutcome.OwnCommit);
    }

    private void ParkTheRest(Turn turn)
    {
        long now = Now;
        foreach (var candidate in turn.Work)
        {
            if (candidate.IsParked)
            {
                continue;
            }

            // Events that no key of ours ever opens are of before our time, of a lost branch, or garbage.
            if (_parked.Count < MaxParked)
            {
                var parked = new ParkedEvent(Encoding.UTF8.GetString(candidate.Event.Json.Span), candidate.Event.CreatedAt, now, Epoch);
                _parked[candidate.Event.Id] = parked;
                turn.Batch.PutJson(ParkKey(candidate.Event.Id), parked);
                turn.Report.Incidents.Add(new GroupIncident(candidate.Event.Id, GroupOutcome.Parked));
            }
        }

        foreach (var (id, parked) in _parked.Where(pair => pair.Value.ParkedAt < now - (long)ParkFor.TotalSeconds || pair.Value.ParkedInEpoch + RaceEpochs < Epoch).ToList())
        {
            _parked.Remove(id);
            turn.Batch.Delete(ParkKey(id));
            MarkSeen(id, id);
        }
    }

    private string ParkKey(in Bytes32 id) => $"{Prefix}park/{id}";

    private static int Compare(long createdAt, in Bytes32 id, long otherCreatedAt, in Bytes32 otherId) =>
        createdAt != otherCreatedAt ? createdAt.CompareTo(otherCreatedAt) : id.CompareTo(otherId);

    /// <summary>An event on its way through a turn.</summary>
    private sealed class Candidate(NostrEvent evt, GroupEvent envelope)
    {
        public NostrEvent Event { get; } = evt;

        public GroupEvent Envelope { get; } = envelope;

        public bool IsParked { get; init; }

        public bool IsDone { get; set; }

        /// <summary>Set once an epoch's key opened the envelope.</summary>
        public MlsMessage? Message { get; set; }

        public Bytes32 Hash { get; set; }
    }

    /// <summary>One call of <see cref="Receive"/>.</summary>
    private sealed class Turn
    {
        private readonly List<Candidate> _candidates = [];

        public Turn(List<Candidate> work, GroupReport report, StoreBatch batch, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> owe)
        {
            (Report, Batch, Owe) = (report, batch, owe);
            Add(work);
        }

        /// <summary>What is still to be done, oldest first.</summary>
        public IEnumerable<Candidate> Work => _candidates.Where(one => !one.IsDone);

        public GroupReport Report { get; }

        public StoreBatch Batch { get; }

        public Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> Owe { get; }

        public void Add(List<Candidate> more)
        {
            _candidates.RemoveAll(one => one.IsDone);
            _candidates.AddRange(more);
            _candidates.Sort((a, b) => Compare(a.Event.CreatedAt, a.Event.Id, b.Event.CreatedAt, b.Event.Id));
        }

        /// <summary>Done with it for good.</summary>
        public void Finish(GroupSession session, Candidate candidate, GroupOutcome outcome, string reason = "")
        {
            Report.Incidents.Add(new GroupIncident(candidate.Event.Id, outcome, reason));
            Drop(session, candidate);
        }

        public void Drop(GroupSession session, Candidate candidate)
        {
            candidate.IsDone = true;
            session.MarkSeen(candidate.Event.Id, candidate.Message is null ? candidate.Event.Id : candidate.Hash);
            if (candidate.IsParked && session._parked.Remove(candidate.Event.Id))
            {
                Batch.Delete(session.ParkKey(candidate.Event.Id));
            }
        }
    }
}
