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

/// <summary>The order in which events of a group take effect (MIP-03): opens envelopes, reads messages, lets the best commit of an epoch win. One caller at a
/// time, as its session.</summary>
internal sealed partial class GroupReceiver
{
    private readonly GroupSession _session;
    private readonly HashSet<Bytes32> _held = []; // parked, though a key opens them
    private (Bytes32, int, Bytes32?)? _parkedTriedOn;

    public GroupReceiver(GroupSession session) => _session = session;

    /// <summary>
    /// Lets verified kind 445 events take effect, in whatever order and however often they come: the best commit of an epoch wins by created_at, then id; one
    /// that comes late takes the epoch back; what cannot be read yet is kept. All of it is stored in one batch at the end.
    /// </summary>
    /// <param name="events">Events of this group's routing ids; ids and signatures are verified.</param>
    /// <param name="queueWelcomes">Makes the outbox entries of Welcomes when an own commit turns out to be accepted.</param>
    /// <param name="isComplete">True when the relays have given all they have: then a message is not held back any longer for those before it.</param>
    public GroupReport Receive(IEnumerable<NostrEvent> events, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> queueWelcomes, bool isComplete)
    {
        var report = new GroupReport();
        var batch = new StoreBatch();
        var turn = new ReceiveTurn(Gather(events, report), report, batch, queueWelcomes) { IsComplete = isComplete };

        // Parked events cannot be read while the group's state is the same; a flood of garbage must not be tried again with every message.
        bool withParked = !_session.HasState || _parkedTriedOn != Ground();
        if (withParked)
        {
            turn.Add(_session.Parked.Candidates());
        }
        else if (_held.Count > 0)
        {
            turn.Add(_session.Parked.Candidates(_held)); // what they wait for may have come
        }

        if (turn.Work.Any())
        {
            TakeAll(turn);
            if (!withParked && _held.Count == 0 && (_parkedTriedOn != Ground() || turn.Work.Any(one => one.Message is not null)))
            {
                turn.Add(_session.Parked.Candidates());
                TakeAll(turn);
            }

            ParkTheRest(turn);
            _held.Clear();
            _held.UnionWith(turn.Work.Where(one => one.IsHeld).Select(one => one.Event.Id));
            _parkedTriedOn = Ground();
            _session.Commit(batch);
        }
        else
        {
            _session.SaveRecord(); // how far the relays were read: worth no flush of its own
        }

        return report;
    }

    /// <summary>True when messages wait that could be read at the price of those before them: ask relays for all they have.</summary>
    public bool IsHolding => _held.Count > 0;

    // What decides whether a parked event can take effect: the keys, the proposals and the own commit at hand. A removed member tries the keys of the epochs
    // before, which this does not tell.
    private (Bytes32 Authenticator, int Proposals, Bytes32? Pending)? Ground() =>
        !_session.HasState
            ? null
            : (GroupSession.HashOf(_session.Mls.EpochAuthenticator), _session.Mls.PendingProposals.Count, _session.Record.Pending?.EventId);

    private void TakeAll(ReceiveTurn turn)
    {
        while (Step(turn))
        {
            // Until nothing more changes: a commit opens the next epoch's messages, a rollback those of the better branch.
        }
    }

    private List<Candidate> Gather(IEnumerable<NostrEvent> events, GroupReport report)
    {
        var work = new List<Candidate>();
        var known = new HashSet<Bytes32>(_session.Parked.Ids);
        foreach (var evt in events)
        {
            if (_session.Seen.Contains(evt.Id) || !known.Add(evt.Id))
            {
                continue;
            }

            if (GroupEvent.TryParse(evt, out var envelope, out var reason) && _session.Record.RoutingIds.Contains(envelope.NostrGroupId))
            {
                work.Add(new Candidate(evt, envelope));
            }
            else if (envelope is null)
            {
                _session.MarkSeen(evt.Id, evt.Id);
                report.Incidents.Add(new GroupIncident(evt.Id, GroupOutcome.Refused, reason.ToString() ?? string.Empty));
            }
        }

        return work;
    }

    // One pass; true when something changed that may let another pass find more.
    private bool Step(ReceiveTurn turn)
    {
        bool changed = TakeOwnEcho(turn);
        if (_session.HasState)
        {
            Open(turn);
            changed |= TakeBranch(turn);
            changed |= TakeMessages(turn);
        }

        // A rival of a past epoch first: what follows is to be judged on the branch that stays. A removed member may learn that the removal lost.
        return TakeRival(turn) || (_session.HasState && TakeCommit(turn)) || changed;
    }

    private bool TakeOwnEcho(ReceiveTurn turn)
    {
        if (_session.Record.Pending is not { } pending || turn.Work.FirstOrDefault(one => one.Event.Id == pending.EventId) is not { } echo)
        {
            return false;
        }

        echo.IsDone = true;

        // A better rival in the same hand wins all the same; it is found below, against the merged own commit.
        _session.Confirm(turn.Batch, turn.QueueWelcomes);
        turn.Report.Incidents.Add(new GroupIncident(echo.Event.Id, GroupOutcome.OwnCommit));
        return true;
    }

    /// <summary>Tries the keys of the known epochs on every envelope that is still closed.</summary>
    private void Open(ReceiveTurn turn)
    {
        var keys = _session.Mls.KnownEpochs.Select(epoch => MipGroup.EnvelopeKey(_session.Mls, epoch)).ToList();
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

            candidate.Hash = GroupSession.HashOf(bytes);
            if (_session.Seen.Contains(candidate.Hash))
            {
                Drop(turn, candidate); // the same message in another envelope
            }
            else if (!MlsMessage.TryRead(bytes, out var message, out var error) || !message!.GroupId.Span.SequenceEqual(_session.Mls.GroupId.Span))
            {
                Finish(turn, candidate, GroupOutcome.Refused, error == MlsError.None ? "a message of another group" : error.ToString());
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

        foreach (ulong epoch in _session.Mls.KnownEpochs)
        {
            byte[] secret = MipGroup.LegacyEnvelopeKey(_session.Mls, epoch);
            using var key = SecretKey.TryCreate(secret, out var created) ? created : null;
            CryptographicOperations.ZeroMemory(secret);
            if (key is not null && envelope.TryOpenLegacy(key, out byte[]? message))
            {
                return message;
            }
        }

        return null;
    }

    // Two Welcomes into one epoch, and somebody is heard on the branch that was not followed.
    private bool TakeBranch(ReceiveTurn turn)
    {
        if (_session.Record is { HasHeard: true } or { OtherBranches: 0 })
        {
            return false;
        }

        foreach (var candidate in turn.Work.Where(one => one.Message is null).ToList())
        {
            if (_session.FindBranch(candidate.Envelope) is var (state, welcomedAt))
            {
                ulong epoch = state.Epoch;
                _session.TakeBranch(state, welcomedAt, turn.Batch);
                foreach (var opened in turn.Work.Where(one => one.Message is not null))
                {
                    opened.Message = null; // by a key of the other branch
                }

                Open(turn);
                SendAgain(turn, epoch - 1);
                return true;
            }
        }

        return false;
    }

    /// <summary>Application messages of the current and the past epochs, proposals of the current one.</summary>
    private bool TakeMessages(ReceiveTurn turn)
    {
        bool changed = false;
        foreach (var candidate in InSenderOrder([.. turn.Work.Where(one => one.Message is { ContentType: not ContentType.Commit })]))
        {
            var message = candidate.Message!;
            candidate.IsHeld = false;
            if (message.Epoch > _session.Mls.Epoch
                || (message.ContentType == ContentType.Proposal && message.Epoch < _session.Mls.Epoch && _session.Race.Merged(message.Epoch) is not null))
            {
                continue; // later, or for a commit that may yet take its epoch back
            }

            // 1,300 missed, and a relay gives the last 200 first: reading those would burn the keys of the others.
            if (_session.Mls.TryLocate(message, out var position)
                && (position.Ahead > MlsGroup.MaxForwardGenerations || (position.Ahead > MlsGroup.MaxSkippedKeys && !(turn.IsComplete && candidate.IsParked))))
            {
                candidate.IsHeld = true;
                continue;
            }

            changed = true;
            if (_session.Seen.Contains(candidate.Hash))
            {
                Drop(turn, candidate); // the same message came twice in one turn
                continue;
            }

            if (!_session.Mls.TryProcess(message, out var received, out var error))
            {
                if (error == MlsError.OwnMessage && message.Epoch == _session.Epoch)
                {
                    _session.NoteUnknownOwnMessage();
                }

                Finish(turn, candidate, error == MlsError.WrongEpoch ? GroupOutcome.Stale : GroupOutcome.Refused, error.ToString());
                continue;
            }

            if (received is ReceivedProposal proposal)
            {
                var members = _session.Mls.Members.ToDictionary(member => member.Index, member => member.Leaf);
                string? refusal = CommitPolicy.Refusal(proposal.Proposal, proposal.Sender, members, _session.Data);
                _session.Record.ProposalsAt = Math.Max(_session.Record.ProposalsAt, candidate.Event.CreatedAt);
                Finish(turn, candidate, refusal is null ? GroupOutcome.Proposal : GroupOutcome.Refused, refusal ?? string.Empty);
                Hear(turn, candidate);
            }
            else if (received is ReceivedApplication application)
            {
                TakeApplication(turn, candidate, application);
            }
        }

        return changed;
    }

    // The order of dates, but those of one sender and epoch among themselves in the order they were sent: within a second dates say nothing, and few skipped
    // keys are kept.
    private List<Candidate> InSenderOrder(List<Candidate> candidates)
    {
        var places = new Dictionary<(ulong Epoch, int Leaf), List<(int Place, uint Generation)>>();
        for (int i = 0; i < candidates.Count; i++)
        {
            if (_session.Mls.TryLocate(candidates[i].Message!, out var position))
            {
                var sender = (candidates[i].Message!.Epoch, position.Leaf);
                if (!places.TryGetValue(sender, out var own))
                {
                    places[sender] = own = [];
                }

                own.Add((i, position.Generation));
            }
        }

        List<Candidate> ordered = [.. candidates];
        foreach (var own in places.Values.Where(own => own.Count > 1))
        {
            var sorted = own.OrderBy(one => one.Generation).ToList();
            for (int i = 0; i < own.Count; i++)
            {
                ordered[own[i].Place] = candidates[sorted[i].Place];
            }
        }

        return ordered;
    }

    // MIP-03: the payload is an unsigned event by the sender of the MLS message, with the id that is its hash.
    private void TakeApplication(ReceiveTurn turn, Candidate candidate, ReceivedApplication application)
    {
        Hear(turn, candidate);
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

        Finish(turn, candidate, fault is null ? GroupOutcome.Message : GroupOutcome.Refused, fault ?? string.Empty);
        if (fault is null && !_session.Seen.Contains(rumor!.Id))
        {
            _session.PutMessage(turn.Batch, null, rumor,
                new StoredMessage(Encoding.UTF8.GetString(application.Data), application.Epoch, candidate.Event.Id, IsOwn: false,
                    application.SenderLeaf, null));
            turn.Report.Messages.Add(new GroupMessage(_session.GroupId, rumor, application.Epoch, candidate.Event.Id, IsOwn: false, application.SenderLeaf));
        }
    }

    private void Hear(ReceiveTurn turn, Candidate candidate)
    {
        if (!_session.Record.HasHeard)
        {
            _session.ForgetBranches(turn.Batch);
        }

        ulong epoch = candidate.Message is { } message ? message.Epoch + (message.ContentType == ContentType.Commit ? 1UL : 0) : 0;
        _session.Record.HeardEpoch = Math.Max(_session.Record.HeardEpoch, epoch);
        _session.Record.HasHeard = true;
        // A date ahead would hide that the group goes on.
        _session.Record.HeardAt = Math.Max(_session.Record.HeardAt, Math.Min(candidate.Event.CreatedAt, _session.Now));
    }

    // The reader computes a missing id; the profile wants it there.
    private static bool HasId(byte[] json)
    {
        using var document = System.Text.Json.JsonDocument.Parse(json);
        return document.RootElement.TryGetProperty("id", out _);
    }

    /// <summary>The best commit of the current epoch.</summary>
    private bool TakeCommit(ReceiveTurn turn)
    {
        foreach (var candidate in turn.Work.Where(one => one.Message is { ContentType: ContentType.Commit } message && message.Epoch == _session.Epoch)
            .ToList())
        {
            if (_session.Race.Abandoned(candidate.Event.Id) is not null
                && _session.Race.TryStage(turn, _session.Epoch, candidate, candidate.Message!, out var own, out var ownStaged, out _))
            {
                MergeOwnLate(turn, candidate, own, ownStaged);
                return true;
            }

            if (_session.Record.Pending is { } pending
                && CommitRace.Compare(pending.CreatedAt, pending.EventId, candidate.Event.CreatedAt, candidate.Event.Id) < 0)
            {
                continue; // ours is better; whether a relay has it is still open
            }

            if (!_session.Mls.TryProcess(candidate.Message!, out var received, out var error))
            {
                if (error != MlsError.UnknownProposal)
                {
                    Finish(turn, candidate, GroupOutcome.Refused, error.ToString());
                }

                continue;
            }

            var staged = ((ReceivedCommit)received!).Commit;
            if (CommitPolicy.Refusal(staged) is { } refusal)
            {
                _session.Mls.Discard(staged);
                Finish(turn, candidate, GroupOutcome.Refused, refusal);
                continue;
            }

            if (_session.Record.Pending is not null)
            {
                // Processed against a state that held our own commit: give that up, then take the better one.
                _session.Mls.Discard(staged);
                _session.Abandon(turn.Batch, keep: false);
                staged = ((ReceivedCommit)_session.Mls.Process(candidate.Message!)).Commit;
            }

            bool removed = staged.RemovesSelf;
            _session.Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
            Hear(turn, candidate);
            Finish(turn, candidate, removed ? GroupOutcome.Removed : GroupOutcome.Commit);
            return true;
        }

        return false;
    }

    private void MergeOwnLate(ReceiveTurn turn, Candidate candidate, MlsGroup state, StagedCommit staged)
    {
        _session.Abandon(turn.Batch, keep: false);
        _session.Replace(state);
        _session.Merge(turn.Batch, staged, candidate.Event.Id, candidate.Event.CreatedAt, candidate.Hash);
        OweWelcomes(turn, candidate, staged);
        Finish(turn, candidate, GroupOutcome.OwnCommit);
    }

    private void ParkTheRest(ReceiveTurn turn)
    {
        long now = _session.Now;
        foreach (var candidate in turn.Work)
        {
            if (candidate.IsParked)
            {
                continue;
            }

            // Events that no key of ours ever opens are of before our time, of a lost branch, or garbage.
            if (_session.Parked.TryAdd(turn.Batch, candidate.Event, now, _session.Epoch))
            {
                turn.Report.Incidents.Add(new GroupIncident(candidate.Event.Id, GroupOutcome.Parked));
            }
        }

        foreach (var id in _session.Parked.Expire(turn.Batch, now, _session.Epoch))
        {
            _session.MarkSeen(id, id);
        }
    }

    /// <summary>Done with it for good.</summary>
    private void Finish(ReceiveTurn turn, Candidate candidate, GroupOutcome outcome, string reason = "")
    {
        turn.Report.Incidents.Add(new GroupIncident(candidate.Event.Id, outcome, reason));
        Drop(turn, candidate);
    }

    private void Drop(ReceiveTurn turn, Candidate candidate)
    {
        candidate.IsDone = true;
        _session.MarkSeen(candidate.Event.Id, candidate.Message is null ? candidate.Event.Id : candidate.Hash);
        if (candidate.IsParked)
        {
            _session.Parked.Remove(turn.Batch, candidate.Event.Id);
        }
    }
}
