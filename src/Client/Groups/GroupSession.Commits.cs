using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Groups;

internal sealed partial class GroupSession
{
    /// <summary>Members who have not seen the group move still write to its old relays; a day is enough for everybody who comes online.</summary>
    private static readonly TimeSpan FormerRelayWindow = TimeSpan.FromDays(1);

    /// <summary>Makes a commit, checks it by the rules every member will apply, and stores it before it is published.</summary>
    public NostrEvent StageCommit(CommitRequest request, IReadOnlyList<Invitee> invitees)
    {
        RequireActive();
        if (_record.Pending is not null)
        {
            throw new ClientException("a commit of this group still waits for a relay's answer; sync first");
        }

        if (!request.ForcePath)
        {
            RequireFreshKeys();
        }

        StagedCommit staged;
        try
        {
            staged = Mls.Commit(request);
        }
        catch (MlsException refusal)
        {
            throw new ClientException($"the commit is not possible: {refusal.Error}", refusal);
        }

        if (CommitPolicy.Refusal(staged) is { } reason)
        {
            Mls.Discard(staged);
            throw new ClientException($"the commit would be refused: {reason}");
        }

        byte[] message = staged.Message!.ToBytes();
        var evt = Envelope(message, Dates.TakeNext(isMessage: false));
        _record.Pending = new PendingCommit(Mls.Epoch, evt.Id, evt.CreatedAt, System.Text.Encoding.UTF8.GetString(evt.Json.Span),
            HashOf(message), [.. invitees]);
        _stagedAt = _time.GetTimestamp();
        var batch = new StoreBatch();
        Commit(batch);
        return evt;
    }

    /// <summary>How long the own commit has waited. After a restart only its date tells, and one that lies ahead of a clock that was set counts as
    /// old.</summary>
    public TimeSpan PendingFor => _stagedAt is { } at ? _time.GetElapsedTime(at)
        : _record.Pending is { } pending && EventDates.InReason(pending.CreatedAt, Now) > 0 ? TimeSpan.FromSeconds(Math.Max(0, Now - pending.CreatedAt))
        : TimeSpan.MaxValue;

    /// <summary>Puts the own commit in force after a relay took it. <paramref name="queueWelcomes"/> makes the Welcomes' outbox entries, which are stored in
    /// the same batch.</summary>
    public void ConfirmCommit(Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> queueWelcomes)
    {
        var batch = new StoreBatch();
        Confirm(batch, queueWelcomes);
        Commit(batch);
    }

    /// <summary>
    /// Drops the own commit. It is remembered for some epochs: a relay that refused it may show it all the same, and then everybody else has merged it.
    /// </summary>
    public void AbandonCommit()
    {
        var batch = new StoreBatch();
        Abandon(batch, keep: true);
        Commit(batch);
    }

    /// <summary>A proposal to leave, stored with its outbox entry: self_remove where the group requires every member to know it, else a Remove of the own
    /// leaf.</summary>
    public NostrEvent CreateLeave()
    {
        RequireActive();
        RequireFreshKeys();
        if (IsAdmin)
        {
            throw new ClientException("an admin must step down before leaving");
        }

        var message = RequiresSelfRemove ? Mls.Propose(new SelfRemoveProposal()) : Mls.Propose(new RemoveProposal((uint)Mls.OwnLeaf), padTo: PadTo);
        byte[] bytes = message.ToBytes();
        var evt = Envelope(bytes, Dates.TakeNext(isMessage: false));
        _record.WantsToLeave = true;
        var batch = new StoreBatch();
        PutOutbox(batch, evt, null);
        MarkSeen(evt.Id, HashOf(bytes));
        Commit(batch);
        return evt;
    }

    /// <summary>True when the wish to leave was voided by an epoch change and must be uttered again.</summary>
    public bool MustRepeatLeave => WantsToLeave && !NeedsFreshKeys && _mls is not null && !IsAdmin
        && !_mls.PendingProposals.Any(pending => pending.Sender.Index == (uint)_mls.OwnLeaf && CommitPolicy.IsLeave(pending.Proposal, pending.Sender));

    /// <summary>Proposals that the rules let wait for a commit.</summary>
    public IReadOnlyList<(Sender Sender, Proposal Proposal)> WaitingProposals()
    {
        if (_mls is null || _mls.PendingProposals is not { Count: > 0 } pending)
        {
            return [];
        }

        var members = _mls.Members.ToDictionary(member => member.Index, member => member.Leaf);
        var data = Data;
        return [.. pending.Where(one => CommitPolicy.Refusal(one.Proposal, one.Sender, members, data) is null)];
    }

    /// <summary>Which waiting proposals this client may and should commit: those of members who leave; an admin also adds and removes.</summary>
    public IReadOnlyList<(Sender Sender, Proposal Proposal)> CommittableProposals() =>
        [
            .. WaitingProposals()
                .Where(one => !(one.Sender.Type == SenderType.Member && one.Sender.Index == (uint)Mls.OwnLeaf)
                    && (IsAdmin || one.Proposal is SelfRemoveProposal)
            && !(one.Proposal is RemoveProposal remove && remove.Removed == (uint)Mls.OwnLeaf))];

    internal void Confirm(StoreBatch batch, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> queueWelcomes)
    {
        var pending = _record.Pending ?? throw new InvalidOperationException("no commit is pending");
        var staged = Mls.PendingCommit ?? throw new InvalidDataException("the pending commit's state is missing");
        _record.Pending = null;
        Merge(batch, staged, pending.EventId, pending.CreatedAt, pending.MessageHash);
        MarkSeen(pending.EventId, pending.MessageHash);

        // Until it was seen on a relay, it may have to be sent again: an OK is a promise, not a proof.
        batch.PutJson(OutboxKey(pending.EventId),
            new OutboxEntry(pending.EventJson, Protocol.Groups.GroupEvent.Kind, pending.CreatedAt, [.. Relays], GroupId, pending.Epoch, null)
            {
                AckedAt = Now,
            });
        if (staged.Welcome is { } welcome)
        {
            queueWelcomes(batch, welcome, pending.Invitees);
        }

        if (staged.HasPath)
        {
            (_record.NeedsSelfUpdate, _record.NeedsFreshKeys) = (false, false);
        }
    }

    internal void Abandon(StoreBatch batch, bool keep)
    {
        if (_record.Pending is not { } pending)
        {
            return;
        }

        if (Mls.PendingCommit is { } staged)
        {
            if (keep)
            {
                Race.KeepAbandoned(batch, pending, Mls.Serialize());
            }

            Mls.Discard(staged);
        }

        _record.Pending = null;
    }

    /// <summary>Puts a commit in force; the state before is kept for a better commit that comes late.</summary>
    internal void Merge(StoreBatch batch, StagedCommit staged, in Bytes32 eventId, long createdAt, in Bytes32 messageHash)
    {
        var mls = Mls;
        ulong epoch = staged.Epoch;
        byte[] before = mls.Serialize();
        if (staged.RemovesSelf)
        {
            _record.LastState = State() with { IsActive = false };
        }

        bool isOwn = staged.IsOwn;
        var relays = Relays;
        mls.Merge(staged, _time.GetUtcNow());
        (_record.EpochBeganAt, _record.ProposalsAt) = (createdAt, 0);
        Race.Keep(batch, new MergedCommit(epoch, eventId, createdAt, messageHash, Now, isOwn), before);
        _record.IsActive = !staged.RemovesSelf;
        if (staged.RemovesSelf)
        {
            mls.Dispose();
            _mls = null;
            return;
        }

        _record.LastState = null;
        mls.ForgetRollback(); // the snapshot stands for it
        var routing = Data.NostrGroupId;
        _record.RoutingIds.Remove(routing);
        _record.RoutingIds.Insert(0, routing);
        if (_record.RoutingIds.Count > MaxRoutingIds)
        {
            _record.RoutingIds.RemoveRange(MaxRoutingIds, _record.RoutingIds.Count - MaxRoutingIds);
        }

        foreach (string left in relays.Except(Relays))
        {
            _record.FormerRelays.RemoveAll(one => one.Url == left);
            _record.FormerRelays.Add(new FormerRelay(left, Epoch, Now));
        }

        Race.Forget(batch, Epoch, Now);
        _record.FormerRelays.RemoveAll(one => one.LeftInEpoch + CommitRace.Epochs < Epoch || one.LeftAt < Now - (long)FormerRelayWindow.TotalSeconds);
    }
}
