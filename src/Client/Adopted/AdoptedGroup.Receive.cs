using System.Text;
using System.Text.Json;
using Marmot.Client.Convergence;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Adopted;

/// <summary>What comes in: opened by the key of the state it was made in, judged there and nowhere else.</summary>
internal sealed partial class AdoptedGroup
{
    /// <summary>Commits that wait for a proposal.</summary>
    private const int MaxParked = 64;

    private readonly Dictionary<Bytes32, int> _keyOrder = []; // states in the order in which their keys became known
    private int _keysKnown;

    /// <summary>Lets verified kind 445 events take effect, in any order.</summary>
    /// <param name="events">The events; their ids and signatures are checked.</param>
    /// <param name="isComplete">True when this is all that the relays have: a pass need not wait for what is stored behind it.</param>
    public GroupReport Receive(IEnumerable<NostrEvent> events, bool isComplete = false)
    {
        var step = new Step(isComplete);
        foreach (var evt in events)
        {
            if (IsDisbanded || _seen.Contains(evt.Id) || _deferred.ContainsKey(evt.Id) || !step.Ids.Add(evt.Id))
            {
                continue;
            }

            if (AdoptedGroupEvent.TryParse(evt, out var envelope, out var reason))
            {
                step.Waiting.Add(new Incoming(evt, envelope));
            }
            else
            {
                Refuse(step, evt.Id, reason.Text);
            }
        }

        HasOverflow = false;
        Work(step);
        Commit(step.Batch);
        return step.Report;
    }

    /// <summary>True when the last events given could not all be kept: relays must be asked for them again.</summary>
    public bool HasOverflow { get; private set; }

    // Until nothing moves: each commit may be the parent of another, each state opens what no key opened before.
    private void Work(Step step)
    {
        step.Waiting.AddRange(_deferred.Values);
        bool again;
        do
        {
            again = Pass1(step);
            if (!again && step is { IsComplete: true, IsAhead: true } && !_pass.IsHeld && _pass.Phase == PassPhase.Collecting)
            {
                // More is stored than a pass may look ahead: nothing is waited for, the next one goes on.
                Resolve(step);
                again = true;
            }
        }
        while (again);

        foreach (var one in step.Waiting)
        {
            Defer(step, one);
        }
    }

    private bool Pass1(Step step)
    {
        // 1. Commits and proposals as they come; messages are put aside.
        var waiting = step.Waiting.ToList();
        step.Waiting.Clear();
        step.IsAhead = false;
        var messages = new List<(Bytes32 State, MlsMessage Message, Bytes32 Digest, Incoming From)>();
        bool moved = false;
        foreach (var one in waiting)
        {
            if (!TryUnseal(one, out var state, out byte[] bytes))
            {
                step.Waiting.Add(one);
                continue;
            }

            var digest = DigestOf(bytes);
            if (_seen.Contains(digest))
            {
                Done(step, one);
            }
            else if (!MlsMessage.TryRead(bytes, out var message, out var error) || message!.ContentType == ContentType.None)
            {
                Done(step, one);
                step.Report.Incidents.Add(new GroupIncident(one.Event.Id, GroupOutcome.Refused, $"not an MLS message of a group ({error})"));
            }
            else if (message.ContentType == ContentType.Application)
            {
                messages.Add((state, message, digest, one));
            }
            else if (message.ContentType == ContentType.Commit && _states.Entries[state].Epoch >= Tip.Epoch + _policy.MaxRewindCommits)
            {
                step.IsAhead = true; // beyond what a pass looks at
                step.Waiting.Add(one);
            }
            else
            {
                moved = true;
                Done(step, one);
                _seen.Add(digest);
                var outcome = message.ContentType == ContentType.Commit ? TakeCommit(step, state, message, digest) : TakeProposal(step, state, message, digest);
                NoteOutcome(step, one, outcome);
            }
        }

        // 2. Messages of a sender in the order of their generations: only so many skipped keys are kept.
        foreach (var one in messages.OrderBy(one => Open(one.State).TryReadSender(one.Message, out var sender) ? sender.Generation : 0))
        {
            moved = true;
            Done(step, one.From);
            _seen.Add(one.Digest);
            NoteOutcome(step, one.From, TakeMessage(step, one.State, one.Message, one.Digest, one.From.Event));
        }

        return moved;
    }

    // Whoever is read is on a branch of ours.
    private void NoteOutcome(Step step, Incoming from, GroupIncident outcome)
    {
        if (outcome.Outcome is GroupOutcome.Message or GroupOutcome.Commit or GroupOutcome.Proposal)
        {
            _record.HeardAt = Math.Max(_record.HeardAt, Math.Min(from.Event.CreatedAt, Now));
        }

        step.Report.Incidents.Add(outcome with { EventId = from.Event.Id });
    }

    // With the keys that have come since the last try.
    private bool TryUnseal(Incoming one, out Bytes32 state, out byte[] bytes)
    {
        (state, bytes) = (default, []);
        if (one.Tried == _keysKnown)
        {
            return false;
        }

        foreach (var entry in _states.Entries.Values)
        {
            if (entry.EnvelopeKey is { } key && OrderOf(entry.State) > one.Tried && one.Envelope.TryOpen(key, out byte[]? opened))
            {
                (state, bytes) = (entry.State, opened);
                return true;
            }
        }

        one.Tried = _keysKnown;
        one.Tries++;
        return false;
    }

    private int OrderOf(in Bytes32 state)
    {
        if (!_keyOrder.TryGetValue(state, out int order))
        {
            _keyOrder[state] = order = ++_keysKnown;
        }

        return order;
    }

    private GroupIncident TakeCommit(Step step, in Bytes32 parent, MlsMessage message, in Bytes32 digest)
    {
        // An own one comes back: in force already, or reported failed and a candidate after all.
        Bytes32 named = digest;
        if (_record.Own.Find(one => one.Entry.Commit == named) is { } own)
        {
            return TakeOwn(step, own);
        }

        if (_record.Pending is { } pending && pending.Entry.Commit == digest)
        {
            Confirm(step.Batch, step.Report);
            return new GroupIncident(default, GroupOutcome.OwnCommit);
        }

        if (message.WireFormat != WireFormat.PublicMessage)
        {
            return Refused("a commit as a private message");
        }

        var rule = new AdoptedLeafRule();
        var copy = Copy(parent, rule);
        var outcome = Judge(step, parent, copy, rule, message, digest);
        if (!_open.ContainsValue(copy))
        {
            copy.Dispose();
        }

        return outcome;
    }

    // By the rules of its parent.
    private GroupIncident Judge(Step step, in Bytes32 parent, Mls.Groups.Group copy, AdoptedLeafRule rule, MlsMessage message, in Bytes32 digest)
    {
        var members = copy.Members;
        var state = AdoptedState.Of(copy);
        if (!copy.TryProcess(message, out var received, out var refusal))
        {
            if (refusal == MlsError.UnknownProposal && _parked.Count < MaxParked)
            {
                _parked[digest] = new ParkedCommit(parent, message.ToBytes());
                step.Batch.PutJson(ParkedKey(digest), _parked[digest]);
                return new GroupIncident(default, GroupOutcome.Parked);
            }

            if (refusal == MlsError.OwnMessage)
            {
                NoteCopy(step.Batch); // an own commit that the store does not know
            }

            return Refused(rule.Fault ?? WordsOf(refusal));
        }

        if (received is not ReceivedCommit { Commit: var commit })
        {
            return Refused("not a commit");
        }

        if (AdoptedPolicy.Refusal(state, members, commit) is { } broken)
        {
            return Refused(broken);
        }

        Follow(step, parent, copy, commit, digest);
        return new GroupIncident(default, GroupOutcome.Commit);
    }

    private static string WordsOf(MlsRefusal refusal) => refusal.Error switch
    {
        MlsError.AppDataByExtensions => "the dictionary is changed by GroupContextExtensions",
        MlsError.BadAppDataUpdate => "a component is updated and removed, or removed where it has no data",
        MlsError.UnsupportedProposal => "a proposal the profile does not have",
        _ => refusal.ToString(),
    };

    // A valid commit: the state after it is kept, and a pass decides about it.
    private void Follow(Step step, in Bytes32 parent, Mls.Groups.Group copy, StagedCommit commit, in Bytes32 digest)
    {
        var before = _states.Entries[parent];
        var committer = AdoptedLeaf.AccountOf(commit.CommitterBefore!);
        bool isPrivileged = AdoptedPolicy.IsPrivileged(commit);
        bool disbands = commit.Proposals.Any(one => one.Proposal is AppDataUpdateProposal { ComponentId: ComponentType.Lifecycle, Update: [1] });
        SnapshotEntry entry;
        if (commit.RemovesSelf)
        {
            // Its exporter is not ours to know: the commit names it.
            var state = DigestOf((byte[])[.. "removed"u8, .. digest.Span]);
            entry = new SnapshotEntry(state, before.Epoch + 1, parent, digest, 0);
        }
        else
        {
            copy.Merge(commit);
            copy.ForgetPastEpochs(DateTimeOffset.MaxValue);
            entry = EntryOf(copy, AdoptedState.Commitment(copy), parent, digest) with { Bytes = 1 }; // until it is written at the end of the step
            Replace(entry.State, copy);
        }

        _states.Note(step.Batch, entry with { Committer = committer, IsPrivileged = isPrivileged, IsFresh = before.IsFresh, IsDisbanded = disbands });
        OrderOf(entry.State);
        _pass.Take(digest, opens: true, matters: true);
    }

    private GroupIncident TakeProposal(Step step, in Bytes32 state, MlsMessage message, in Bytes32 digest)
    {
        if (message.WireFormat != WireFormat.PublicMessage)
        {
            return Refused("a proposal as a private message");
        }

        var rule = new AdoptedLeafRule();
        var copy = Copy(state, rule);
        if (!copy.TryProcess(message, out var received, out var refusal) || received is not ReceivedProposal proposal)
        {
            copy.Dispose();
            return refusal == MlsError.OwnMessage ? new GroupIncident(default, GroupOutcome.Proposal) : Refused(rule.Fault ?? refusal.ToString());
        }

        if (AdoptedPolicy.Refusal(AdoptedState.Of(copy), copy.Members, proposal.Sender, proposal.Proposal) is { } broken)
        {
            copy.Dispose();
            return Refused(broken);
        }

        Replace(state, copy);
        var entry = _states.Entries[state];
        if (proposal.Proposal is SelfRemoveProposal)
        {
            _states.Note(step.Batch, entry with { Leaves = [.. entry.Leaves, new WaitingLeave((int)proposal.Sender.Index, digest, proposal.Reference)] });
        }

        var at = state;
        if (_pass.Phase == PassPhase.Collecting)
        {
            _pass.Take(digest, opens: false, matters: _states.Entries.Values.Any(one => one.Parent == at));
        }

        foreach (var (parked, commit) in _parked.Where(pair => pair.Value.State == at).ToList())
        {
            _parked.Remove(parked);
            step.Batch.Delete(ParkedKey(parked));
            if (MlsMessage.TryRead(commit.Message, out var again, out _))
            {
                TakeCommit(step, at, again!, parked);
            }
        }

        return new GroupIncident(default, GroupOutcome.Proposal);
    }

    private GroupIncident TakeMessage(Step step, in Bytes32 state, MlsMessage message, in Bytes32 digest, NostrEvent evt)
    {
        var group = Open(state);
        if (!group.TryProcess(message, out var received, out var refusal))
        {
            if (refusal == MlsError.OwnMessage)
            {
                NoteCopy(step.Batch); // this client sealed it and the store does not know
            }

            return Refused(refusal.ToString());
        }

        _changed.Add(state);
        if (received is not ReceivedApplication application)
        {
            return Refused("not an application message");
        }

        var sender = AdoptedLeaf.AccountOf(application.Sender);
        if (!TryReadInner(application.Data, sender, out var rumor, out string fault))
        {
            return Refused(fault);
        }

        Witness(step.Batch, state, sender);
        bool isOnLine = _states.OwnLine(_record.Tip).Contains(state);
        var stored = new AdoptedMessage(Encoding.UTF8.GetString(application.Data), rumor.Id, state, application.Epoch, evt.Id, IsOwn: false,
            application.SenderLeaf);
        Keep(step, stored, rumor, AdoptedState.Of(group), isOnLine);
        if (!isOnLine || (_pass.Phase == PassPhase.Collecting && HasRivals))
        {
            _pass.Take(digest, opens: !isOnLine, matters: true);
        }

        return new GroupIncident(default, GroupOutcome.Message);
    }

    // The store is a copy that was put back: ratchets may have gone on without it, until an own commit begins a state of its own.
    private void NoteCopy(StoreBatch batch)
    {
        _record.IsCopy = true;
        foreach (var entry in _states.Entries.Values.Where(entry => entry.IsFresh).ToList())
        {
            _states.Note(batch, entry with { IsFresh = false });
        }
    }

    private bool HasRivals =>
        _states.Entries.Values.Where(entry => entry.Parent is not null).GroupBy(entry => entry.Parent).Any(children => children.Count() > 1);

    private void Witness(StoreBatch batch, in Bytes32 state, in Bytes32 sender)
    {
        var entry = _states.Entries[state];
        if (!entry.Witnesses.Contains(sender))
        {
            _states.Note(batch, entry with { Witnesses = [.. entry.Witnesses, sender] });
        }
    }

    // Exactly six members, and the account that the leaf proves.
    private static bool TryReadInner(byte[] json, in Bytes32 sender, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Rumor? rumor, out string fault)
    {
        (rumor, fault) = (null, "the inner event is not exactly id, pubkey, created_at, kind, tags and content");
        try
        {
            using var document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.EnumerateObject().Select(one => one.Name).Order(StringComparer.Ordinal).SequenceEqual(InnerMembers))
            {
                return false;
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            fault = "the plaintext is no JSON";
            return false;
        }

        if (!Rumor.TryParse(json, out rumor, out var reason))
        {
            fault = $"the inner event: {reason.Text}";
            return false;
        }

        fault = "the inner event names another author";
        return rumor.PublicKey == sender;
    }

    private static readonly string[] InnerMembers = ["content", "created_at", "id", "kind", "pubkey", "tags"];

    private void Replace(in Bytes32 state, Mls.Groups.Group group)
    {
        if (_open.Remove(state, out var old))
        {
            old.Dispose();
        }

        _open[state] = group;
        _changed.Add(state);
    }

    private void Done(Step step, Incoming one)
    {
        _seen.Add(one.Event.Id);
        if (_deferred.Remove(one.Event.Id))
        {
            step.Batch.Delete(DeferredKey(one.Event.Id));
        }
    }

    private void Refuse(Step step, in Bytes32 eventId, string reason)
    {
        _seen.Add(eventId);
        step.Report.Incidents.Add(new GroupIncident(eventId, GroupOutcome.Refused, reason));
    }

    private static GroupIncident Refused(string reason) => new(default, GroupOutcome.Refused, reason);
}
