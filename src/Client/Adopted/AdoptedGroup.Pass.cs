using Marmot.Client.Convergence;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Adopted;

/// <summary>Where the group stands: passes, what follows from them, and what is shown.</summary>
internal sealed partial class AdoptedGroup
{
    /// <summary>Does what is due: a pass whose time is over, messages that must be gone, states of a removal that is no longer provisional.</summary>
    public GroupReport Tick()
    {
        var step = new Step(isComplete: false);
        bool moved = false;
        while (!IsDisbanded && !_pass.IsHeld && _pass.TryFreeze())
        {
            moved = true;
            Resolve(step);
            Work(step); // the states of new epochs open what no key opened before
        }

        Purge(step);
        if (_record.RemovedAt > 0 && _record.RemovedAt + (long)RemovalGrace.TotalSeconds <= Now)
        {
            ForgetStates(step.Batch);
        }

        if (moved || !step.Batch.IsEmpty || _changed.Count > 0)
        {
            Commit(step.Batch);
        }

        return step.Report;
    }

    // One pass, from freezing to its end.
    private void Resolve(Step step)
    {
        var tree = _states.Tree(_record.Tip);
        Bytes32 before;
        do
        {
            before = tree.Tip;
            tree.Resolve(_states.Witnesses);
        }
        while (tree.Tip != before);
        MoveTo(step, tree.Tip, [.. tree.States]);
        if (_pass.Phase == PassPhase.Collecting)
        {
            _pass.Freeze();
        }

        if (_pass.Phase == PassPhase.Frozen)
        {
            _pass.Close();
        }
    }

    // The group stands in another state: what is on its line is shown, what is not is taken back, what fell out of the window is gone.
    private void MoveTo(Step step, in Bytes32 tip, HashSet<Bytes32> kept)
    {
        var lineBefore = _states.OwnLine(_record.Tip);
        var line = _states.OwnLine(tip);
        bool wasActive = IsActive;
        var last = wasActive ? Describe() : null;
        if (tip != _record.Tip)
        {
            bool isRewind = !line.Contains(_record.Tip);
            _record.Tip = tip;
            _state = null;
            step.Report.Incidents.Add(new GroupIncident(default, isRewind ? GroupOutcome.RolledBack : GroupOutcome.Commit));
        }

        ShowAndWithdraw(step, lineBefore, line);
        SettleOwn(step, line);
        if (Tip.IsDisbanded)
        {
            End(step, last);
            return;
        }

        if (!IsActive && wasActive)
        {
            _record.LastState = last! with { IsActive = false };
            _record.RemovedAt = Now;
            step.Report.Incidents.Add(new GroupIncident(default, GroupOutcome.Removed));
        }
        else if (IsActive)
        {
            (_record.LastState, _record.RemovedAt) = (null, 0);
        }

        foreach (var state in _states.Entries.Keys.Where(state => !kept.Contains(state)).ToList())
        {
            _states.Drop(step.Batch, state);
        }

        _states.Forget(step.Batch, tip);
        CloseForgotten(step.Batch);
        Look();
    }

    private void CloseForgotten(StoreBatch batch)
    {
        foreach (var state in _open.Keys.Where(state => !_states.Entries.ContainsKey(state)).ToList())
        {
            _open.Remove(state, out var closed);
            closed!.Dispose();
        }

        _changed.RemoveWhere(state => !_states.Entries.ContainsKey(state));
        foreach (var state in _messagesOf.Keys.Where(state => !_states.Entries.ContainsKey(state)).ToList())
        {
            _messagesOf.Remove(state, out var indexes);
            indexes!.ForEach(index => _recent.Remove(index));
        }

        foreach (var (digest, _) in _parked.Where(pair => !_states.Entries.ContainsKey(pair.Value.State)).ToList())
        {
            _parked.Remove(digest);
            batch.Delete(ParkedKey(digest));
        }

        _record.LeftIn.RemoveAll(state => !_states.Entries.ContainsKey(state));
    }

    private void ShowAndWithdraw(Step step, HashSet<Bytes32> lineBefore, HashSet<Bytes32> line)
    {
        foreach (int index in lineBefore.Except(line).SelectMany(MessagesOf).Order().ToList())
        {
            if (Stored(index) is { IsShown: true } message)
            {
                Put(step.Batch, index, message with { IsShown = false, IsWithdrawn = true });
                _shown.Remove(message.RumorId);
                Report(step.Report.Withdrawn, message);
            }
        }

        foreach (int index in line.SelectMany(MessagesOf).Order().ToList())
        {
            if (Stored(index) is { IsShown: false } message && _shown.Add(message.RumorId))
            {
                Put(step.Batch, index, message with { IsShown = true, IsWithdrawn = false });
                if (!message.IsOwn)
                {
                    Report(step.Report.Messages, message);
                }
            }
        }
    }

    // Ended for everybody: what is left is a tombstone.
    private void End(Step step, GroupState? last)
    {
        var tip = Tip;
        _record.Tombstone = new Tombstone(tip.Epoch, tip.Committer, tip.Commit ?? default, last?.Members ?? []);
        _record.LastState = last is null ? _record.LastState : last with { IsActive = false };
        _record.Queue.Clear();
        step.Report.Incidents.Add(new GroupIncident(default, GroupOutcome.Removed, "the group was ended"));
        ForgetStates(step.Batch);
    }

    // All secrets of the group's states.
    private void ForgetStates(StoreBatch batch)
    {
        foreach (var state in _states.Entries.Keys.Where(state => IsDisbanded || state != _record.Tip).ToList())
        {
            _states.Drop(batch, state);
        }

        foreach (var (id, _) in _deferred)
        {
            batch.Delete(DeferredKey(id));
        }

        foreach (var own in _record.Own)
        {
            batch.Delete(OwnKey(own.Entry.Commit!.Value));
        }

        _deferred.Clear();
        _record.Own.Clear();
        _record.Pending = null;
        _record.RemovedAt = 0;
        CloseForgotten(batch);
        Look();
    }

    // ---- messages

    private void Keep(Step step, AdoptedMessage message, Rumor rumor, AdoptedState state, bool isOnLine)
    {
        message = message with { DueAt = state.Retention.DueAt(rumor.CreatedAt), HasMedia = rumor.Tags.Any(tag => tag[0] == "imeta") };
        if (IsDue(message))
        {
            return; // it counts as a witness and is never shown
        }

        int index = _record.Messages++;
        message = message with { IsShown = isOnLine && _shown.Add(message.RumorId) };
        MessagesOf(message.State).Add(index);
        Put(step.Batch, index, message);
        if (message.HasMedia)
        {
            step.Batch.Put(MediaKey(message.State), AdoptedState.MediaSecret(Open(message.State)));
        }

        if (message is { IsShown: true, IsOwn: false })
        {
            Report(step.Report.Messages, message);
        }
    }

    // What is due goes, and with the last message of a state that has an attachment its media secret.
    private void Purge(Step step)
    {
        var gone = new Dictionary<int, AdoptedMessage>();
        foreach (int index in _due.Where(pair => pair.Value <= (ulong)Math.Max(0, Now)).Select(pair => pair.Key).ToList())
        {
            _due.Remove(index);
            if (Stored(index) is { } message)
            {
                gone[index] = message;
            }
        }

        foreach (var (index, message) in gone)
        {
            step.Batch.Delete(MessageKey(index));
            _shown.Remove(message.RumorId);
            _recent.Remove(index);
            if (_messagesOf.TryGetValue(message.State, out var indexes))
            {
                indexes.Remove(index);
            }
        }

        var mediaOf = gone.Values.Where(message => message.HasMedia).Select(message => message.State).ToHashSet();
        if (mediaOf.Count > 0)
        {
            mediaOf.ExceptWith(AllStored().Where(one => one.Message.HasMedia && !gone.ContainsKey(one.Index)).Select(one => one.Message.State));
            foreach (var state in mediaOf)
            {
                step.Batch.Delete(MediaKey(state));
            }
        }
    }

    private bool IsDue(AdoptedMessage message) => message.DueAt is { } due && due <= (ulong)Math.Max(0, Now);

    private void LoadMessages()
    {
        foreach (var state in _states.Entries.Keys)
        {
            _messagesOf[state] = [];
        }

        foreach (var (index, message) in AllStored())
        {
            if (message.IsShown)
            {
                _shown.Add(message.RumorId);
            }

            if (_messagesOf.TryGetValue(message.State, out var indexes))
            {
                indexes.Add(index);
            }

            Note(index, message);
        }
    }

    private readonly Dictionary<int, ulong> _due = [];
    private readonly Dictionary<int, AdoptedMessage> _recent = []; // messages of the states that are kept

    private void Put(StoreBatch batch, int index, AdoptedMessage message)
    {
        batch.PutJson(MessageKey(index), message);
        Note(index, message);
    }

    private void Note(int index, AdoptedMessage message)
    {
        if (_messagesOf.ContainsKey(message.State))
        {
            _recent[index] = message;
        }

        if (message.DueAt is { } due)
        {
            _due[index] = due;
        }
    }

    private List<int> MessagesOf(Bytes32 state)
    {
        if (!_messagesOf.TryGetValue(state, out var indexes))
        {
            _messagesOf[state] = indexes = [];
        }

        return indexes;
    }

    private AdoptedMessage? Stored(int index) => _recent.TryGetValue(index, out var recent) ? recent : _store.GetJson<AdoptedMessage>(MessageKey(index));

    private IEnumerable<(int Index, AdoptedMessage Message)> AllStored() =>
        Enumerable.Range(0, _record.Messages).Select(index => (Index: index, Message: Stored(index))).Where(one => one.Message is not null)
            .Select(one => (one.Index, one.Message!));

    private void Report(IList<GroupMessage> list, AdoptedMessage message)
    {
        if (Shown(message) is { } shown)
        {
            list.Add(shown);
        }
    }

    private GroupMessage? Shown(AdoptedMessage message) =>
        TryReadRumor(message.RumorJson, out var rumor) ? new GroupMessage(GroupId, rumor, message.Epoch, message.EventId, message.IsOwn, message.SenderLeaf)
            : null;

    /// <summary>The messages that are shown, own ones and those of others, in the order they came.</summary>
    public IReadOnlyList<GroupMessage> Messages(int skip = 0, int take = int.MaxValue) =>
        [.. AllStored().Where(one => one.Message.IsShown && !IsDue(one.Message)).Skip(skip).Take(take).Select(one => Shown(one.Message))
            .OfType<GroupMessage>()];

    /// <summary>The media secret of the message with this inner event; null when it is not known.</summary>
    public byte[]? MediaSecretOf(Bytes32 rumorId) =>
        AllStored().Select(one => one.Message).FirstOrDefault(one => one.RumorId == rumorId && one.HasMedia) is { } message
            ? _store.Get(MediaKey(message.State)) : null;

    private string MessageKey(int index) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Prefix}m/{index:D10}");

    private string MediaKey(in Bytes32 state) => $"{Prefix}media/{state}";
}
