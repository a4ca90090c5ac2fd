using System.Security.Cryptography;
using System.Text;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>What goes out: sealed in the state the group stands in, stored before it leaves.</summary>
internal sealed partial class AdoptedGroup
{
    /// <summary>Application plaintext is padded to a multiple of this: lengths tell less.</summary>
    private const int PadTo = 256;

    /// <summary>Changes that may wait.</summary>
    private const int MaxQueue = 256;

    /// <summary>Seals a rumor. Only while the group is quiet: what is sent during a pass might be sent into a branch that loses.</summary>
    /// <returns>The event, which goes to the relays of the state it was made in, and the message's place.</returns>
    public (NostrEvent Event, int Index) CreateMessage(Rumor rumor)
    {
        RequireSending();
        byte[] json = rumor.ToJson();
        SenderLimits.CheckInnerEvent(json.Length);
        byte[] message = Mls.Protect(json, padTo: PadTo, evenWithPendingProposals: true).ToBytes();
        _changed.Add(_record.Tip);
        var evt = AdoptedGroupEvent.CreateMessage(Tip.EnvelopeKey, State.Routing!.NostrGroupId, message, rumor.CreatedAt, State.Retention);
        var step = new Step(isComplete: false);
        _seen.Add(evt.Id);
        _seen.Add(DigestOf(message));
        Witness(step.Batch, _record.Tip, _account);
        int index = _record.Messages;
        Keep(step, new AdoptedMessage(Encoding.UTF8.GetString(json), rumor.Id, _record.Tip, Epoch, evt.Id, IsOwn: true, Mls.OwnLeaf), rumor, State,
            isOnLine: true);
        CryptographicOperations.ZeroMemory(json);
        PutOutbox(step.Batch, evt, index);
        Commit(step.Batch, durable: false);
        return (evt, index);
    }

    /// <summary>
    /// Asks to be taken out: a SelfRemove in the state the group stands in. From now on nothing else is sent, and it is uttered again in each new state
    /// until a branch without the own leaf is selected.
    /// </summary>
    public NostrEvent CreateLeave()
    {
        RequireActive();
        if (IsAdmin)
        {
            throw new ClientException("an admin must step down before leaving");
        }

        if (!IsQuiet)
        {
            throw new ClientException("the group is being decided about; try again in a few seconds");
        }

        byte[] message = Mls.Propose(new SelfRemoveProposal()).ToBytes();
        _changed.Add(_record.Tip);
        _record.IsLeaving = true;
        _record.LeftIn.Add(_record.Tip);
        var batch = new StoreBatch();
        var evt = AdoptedGroupEvent.CreateHandshake(Tip.EnvelopeKey, State.Routing!.NostrGroupId, message, Now);
        _seen.Add(evt.Id);
        _seen.Add(DigestOf(message));
        PutOutbox(batch, evt, null);
        Commit(batch);
        return evt;
    }

    /// <summary>True when the wish to leave must be uttered in the state the group has come to.</summary>
    public bool MustRepeatLeave => IsLeaving && IsActive && IsQuiet && !IsAdmin && !_record.LeftIn.Contains(_record.Tip);

    /// <summary>True when others ask to be taken out and this client may do it.</summary>
    public bool HasLeavesToCommit => IsActive && IsQuiet && !IsLeaving && LeavesToCommit().Count > 0;

    /// <summary>Makes the commit that takes out all who asked for it in this state.</summary>
    public NostrEvent StageLeaves() => Stage(new CommitRequest { Format = WireFormat.PublicMessage, IncludeReferences = LeavesToCommit() }, null);

    /// <summary>Makes a commit that renews the own keys. It takes no pending proposal with it.</summary>
    public NostrEvent StageSelfUpdate() => Stage(new CommitRequest { Format = WireFormat.PublicMessage, ForcePath = true, IncludeReferences = [] }, null);

    /// <summary>Makes the commit of a change; null when the group is already so.</summary>
    /// <exception cref="ClientException">It is not allowed or not possible.</exception>
    public NostrEvent? StageChange(AdoptedChange change)
    {
        RequireActive();
        if (!IsAdmin)
        {
            throw new ClientException("only an admin can do this");
        }

        var proposals = Proposals(change);
        return proposals.Count == 0
            ? null
            : Stage(new CommitRequest
            {
                Format = WireFormat.PublicMessage,
                Proposals = proposals,
                ForcePath = change.Add.Count > 0,
                IncludeReferences = [],
                Now = _time.GetUtcNow()
            }, change);
    }

    /// <summary>Queues a change that cannot be made now.</summary>
    public void Enqueue(AdoptedChange change)
    {
        if (_record.Queue.Count >= MaxQueue)
        {
            throw new ClientException($"at most {MaxQueue} changes of a group may wait");
        }

        if (change.Disband)
        {
            _record.Queue.Clear(); // nothing else matters any more
        }

        _record.Queue.Add(change);
        Commit(new StoreBatch());
    }

    /// <summary>
    /// Tries the oldest change that waits; null when none waits, or none can be made now. What is already true is done, what is no longer allowed is
    /// dropped.
    /// </summary>
    public NostrEvent? StageQueued(out string? dropped)
    {
        dropped = null;
        while (IsActive && IsQuiet && !IsLeaving && _record.Queue.Count > 0)
        {
            var change = _record.Queue[0];
            _record.Queue.RemoveAt(0);
            try
            {
                if (StageChange(change) is { } evt)
                {
                    return evt;
                }
            }
            catch (ClientException refused)
            {
                dropped = refused.Message;
            }

            Commit(new StoreBatch());
        }

        return null;
    }

    /// <summary>A relay has taken the own commit: it is in force here, and a candidate like any other.</summary>
    public void ConfirmCommit()
    {
        var batch = new StoreBatch();
        Confirm(batch, new GroupReport());
        Commit(batch);
    }

    /// <summary>
    /// The own commit was reported failed. It is remembered: a relay that refused it may have it all the same, and then it comes back as a candidate.
    /// </summary>
    public void AbandonCommit()
    {
        var own = _record.Pending ?? throw new InvalidOperationException("no commit is pending");
        own.Fate = OwnCommitFate.Failed;
        _record.Own.Add(own);
        _record.Pending = null;
        _pass.Release();
        Commit(new StoreBatch());
    }

    /// <summary>
    /// The Welcomes of own commits that stand on the selected branch and are not under way: MLSMessage, and who is to get it with the event of his key
    /// package.
    /// </summary>
    public IReadOnlyList<(byte[] Welcome, IReadOnlyList<AdoptedInvitee> Invitees, ulong Epoch, IReadOnlyList<string> Relays)> WelcomesOwed()
    {
        var line = IsDisbanded ? [] : _states.OwnLine(_record.Tip);
        return [.. _record.Own.Where(own => own is { Welcome: not null, Change: not null } && line.Contains(own.Entry.State))
            .Select(own => (own.Welcome!, (IReadOnlyList<AdoptedInvitee>)own.Change!.Add, own.Entry.Epoch, own.Entry.Relays))];
    }

    /// <summary>The Welcomes that <see cref="WelcomesOwed"/> gave are in the outbox, in this batch.</summary>
    public void MarkWelcomed(StoreBatch batch)
    {
        foreach (var own in _record.Own.Where(own => own.Welcome is not null && _states.OwnLine(_record.Tip).Contains(own.Entry.State)))
        {
            own.Welcome = null;
        }

        Commit(batch);
    }

    private NostrEvent Stage(CommitRequest request, AdoptedChange? change)
    {
        RequireActive();
        if (!IsQuiet)
        {
            throw new ClientException("the group is being decided about; try again in a few seconds");
        }

        var rule = new AdoptedLeafRule();
        var copy = Copy(_record.Tip, rule);
        try
        {
            var (members, state, parent) = (copy.Members, State, Tip);
            StagedCommit staged;
            try
            {
                staged = copy.Commit(request);
            }
            catch (MlsException refusal)
            {
                throw new ClientException($"the commit is not possible: {rule.Fault ?? refusal.Error.ToString()}", refusal);
            }

            if (AdoptedPolicy.Refusal(state, members, staged) is { } reason)
            {
                throw new ClientException($"the commit would be refused: {reason}");
            }

            byte[] message = staged.Message!.ToBytes();
            var digest = DigestOf(message);
            byte[]? welcome = staged.Welcome?.ToBytes();
            bool isPrivileged = AdoptedPolicy.IsPrivileged(staged);
            bool disbands = change?.Disband == true;
            bool isFresh = parent.IsFresh || staged.HasPath;
            copy.Merge(staged);
            copy.ForgetPastEpochs(DateTimeOffset.MaxValue);
            var entry = EntryOf(copy, AdoptedState.Commitment(copy), parent.State, digest) with
            {
                Committer = _account,
                IsPrivileged = isPrivileged,
                IsFresh = isFresh,
                IsDisbanded = disbands
            };
            var evt = AdoptedGroupEvent.CreateHandshake(parent.EnvelopeKey, state.Routing!.NostrGroupId, message, Now);
            var batch = new StoreBatch();
            batch.Put(OwnKey(digest), copy.Serialize());
            _record.Pending = new OwnCommit(entry, evt.Id, Encoding.UTF8.GetString(evt.Json.Span), evt.CreatedAt, [.. state.Routing.Relays])
            {
                Change =
                change,
                Welcome = welcome
            };
            _pass.Hold();
            Commit(batch);
            return evt;
        }
        finally
        {
            copy.Dispose();
        }
    }

    private void Confirm(StoreBatch batch, GroupReport report)
    {
        var own = _record.Pending ?? throw new InvalidOperationException("no commit is pending");
        _record.Pending = null;
        own.Fate = OwnCommitFate.Taken;
        _record.Own.Add(own);
        PutOwn(batch, own);
        var step = new Step(isComplete: false);
        if (!own.Entry.IsDisbanded)
        {
            // In force at once; a pass judges it against what came meanwhile. The end of a group is always decided by a pass.
            var tree = _states.Tree(_record.Tip);
            tree.Stand(own.Entry.State);
            MoveTo(step, own.Entry.State, [.. tree.States]);
        }

        Append(batch, report, step);
        _pass.Release();
        if (own.Entry.IsDisbanded)
        {
            _pass.Take(own.Entry.Commit!.Value, opens: true, matters: true);
        }

        if (own.Change is null && !own.Entry.IsPrivileged)
        {
            _record.NeedsSelfUpdate = false;
        }
    }

    private static void Append(StoreBatch batch, GroupReport report, Step step)
    {
        batch.Changes.AddRange(step.Batch.Changes);
        foreach (var one in step.Report.Incidents) report.Incidents.Add(one);
        foreach (var one in step.Report.Messages) report.Messages.Add(one);
        foreach (var one in step.Report.Withdrawn) report.Withdrawn.Add(one);
    }

    // An own commit that a relay shows.
    private GroupIncident TakeOwn(Step step, OwnCommit own)
    {
        if (own.Fate == OwnCommitFate.Failed && own.Entry.Parent is { } parent && _states.Entries.ContainsKey(parent))
        {
            own.Fate = OwnCommitFate.Taken;
            PutOwn(step.Batch, own);
            _pass.Take(own.Entry.Commit!.Value, opens: true, matters: true);
        }

        return new GroupIncident(default, GroupOutcome.OwnCommit);
    }

    private void PutOwn(StoreBatch batch, OwnCommit own)
    {
        var digest = own.Entry.Commit!.Value;
        byte[] bytes = _store.Get(OwnKey(digest)) ?? throw new InvalidDataException("the pending commit's state is missing");
        _seen.Add(digest);
        _seen.Add(own.EventId);
        _states.Put(batch, own.Entry, bytes);
        OrderOf(own.Entry.State);
        if (MlsGroup.TryRestore(bytes, new AdoptedLeafRule().Rules, out var group))
        {
            Replace(own.Entry.State, group!);
        }

        batch.Delete(OwnKey(digest));
    }

    // Own commits after a pass: a change whose commit lost is made anew, one that is far behind is forgotten.
    private void SettleOwn(Step step, HashSet<Bytes32> line)
    {
        foreach (var own in _record.Own.ToList())
        {
            bool isOnLine = line.Contains(own.Entry.State);
            if (own is { Fate: OwnCommitFate.Taken, IsMadeAnew: false, Change: { } change } && !isOnLine)
            {
                own.IsMadeAnew = true;
                step.Report.Incidents.Add(new GroupIncident(own.EventId, GroupOutcome.LostRace));
                if (_record.Queue.Count < MaxQueue)
                {
                    _record.Queue.Insert(0, change);
                }
            }

            if (own.Entry.Epoch + _policy.MaxRewindCommits < Tip.Epoch && own.Welcome is null)
            {
                _record.Own.Remove(own);
                step.Batch.Delete(OwnKey(own.Entry.Commit!.Value));
            }
        }
    }

    // Of several SelfRemoves of one leaf the one with the smallest digest; never the own one.
    private List<byte[]> LeavesToCommit() =>
        [.. Tip.Leaves.Where(leave => leave.Leaf != Mls.OwnLeaf).GroupBy(leave => leave.Leaf).Select(same => same.MinBy(leave => leave.Digest)!.Reference)];

    private void PutOutbox(StoreBatch batch, NostrEvent evt, int? message) =>
        batch.PutJson(GroupSession.OutboxKey(evt.Id),
            new OutboxEntry(Encoding.UTF8.GetString(evt.Json.Span), evt.Kind, evt.CreatedAt, [.. Relays], GroupId, Epoch, message) { KeepsDate = true });

    private void RequireActive()
    {
        if (!IsActive)
        {
            throw new ClientException(IsDisbanded ? "the group was ended" : "you are no longer a member of this group");
        }
    }

    private void RequireSending()
    {
        RequireActive();
        if (IsLeaving)
        {
            throw new ClientException("you are leaving this group");
        }

        if (!IsQuiet)
        {
            throw new ClientException("the group is being decided about; try again in a few seconds");
        }

        if (NeedsFreshKeys)
        {
            throw new ClientException("the store may be a copy that was put back; the group's keys must be renewed before anything is sent");
        }
    }

    private string OwnKey(in Bytes32 digest) => $"{Prefix}own/{digest}";
}
