using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Marmot.Client.Convergence;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Groups;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>
/// One group of the adopted profile for one account: the states of its window, what was read in each, and where the group stands. No sockets: it makes
/// events and takes events. Each method writes all it
/// changed in one batch before it returns. One caller at a time.
/// </summary>
/// <remarks>
/// Every state has an MLS group of its own, stored as its epoch begins and after every message sent or read in it. A rewind therefore finds the ratchets of
/// a state as they were left, and no generation is
/// used twice, whichever way the branches go. Which state the group stands in is decided by <see cref="Convergence"/>.
/// </remarks>
internal sealed partial class AdoptedGroup : IDisposable
{
    /// <summary>MLS groups held open; others are read from the store when they are needed.</summary>
    private const int MaxOpenStates = 8;

    /// <summary>A removal is as provisional as its branch; the states before it are kept so long. Decision 29.</summary>
    internal static readonly TimeSpan RemovalGrace = TimeSpan.FromDays(1);

    private readonly ClientStore _store;
    private readonly TimeProvider _time;
    private readonly Bytes32 _account;
    private readonly ConvergencePolicy _policy = ConvergencePolicy.Adopted;
    private readonly AdoptedRecord _record;
    private readonly SeenIds _seen;
    private readonly StateSnapshots _states;
    private readonly ConvergencePass _pass;
    private readonly Dictionary<Bytes32, MlsGroup> _open = [];
    private readonly HashSet<Bytes32> _changed = []; // states whose group is ahead of the store
    private readonly Dictionary<Bytes32, List<int>> _messagesOf = []; // of the states that are kept
    private readonly HashSet<Bytes32> _shown = []; // inner events
    private AdoptedState? _state;

    private AdoptedGroup(ClientStore store, TimeProvider time, in Bytes32 account, AdoptedRecord record, SeenIds seen)
    {
        (_store, _time, _account, _record, _seen) = (store, time, account, record, seen);
        _states = StateSnapshots.Load(store, _policy, Prefix);
        _pass = record.Pass is { } pass ? ConvergencePass.Resume(_policy, time, pass) : new ConvergencePass(_policy, time);
        if (record.Pending is not null)
        {
            _pass.Hold();
        }
    }

    public string GroupId => _record.GroupId;

    /// <summary>False once this client was removed or the group was ended.</summary>
    public bool IsActive => _record.Tombstone is null && Tip.Bytes > 0;

    public bool IsDisbanded => _record.Tombstone is not null;

    public bool IsLeaving => _record.IsLeaving;

    public bool NeedsSelfUpdate => _record.NeedsSelfUpdate && IsActive && !IsLeaving;

    public bool NeedsFreshKeys => _record.IsCopy && IsActive && !Tip.IsFresh;

    public long JoinedAt => _record.JoinedAt;

    public ulong Epoch => _record.Tombstone?.Epoch ?? Tip.Epoch;

    public OwnCommit? Pending => _record.Pending;

    public Tombstone? Tombstone => _record.Tombstone;

    public int MessageCount => _record.Messages;

    /// <summary>True when something may be sealed now: no pass is open and no own commit waits.</summary>
    public bool IsQuiet => _pass.Phase == PassPhase.Idle && !_pass.IsHeld;

    /// <summary>How long until <see cref="Tick"/> has something to do; null when nothing is open.</summary>
    public TimeSpan? Remaining => _pass.Phase == PassPhase.Frozen ? TimeSpan.Zero : _pass.Remaining;

    /// <summary>Public ids of the states that are kept, the current one first.</summary>
    public IReadOnlyList<Bytes32> RoutingIds { get; private set; } = [];

    /// <summary>Relays of the current state.</summary>
    public IReadOnlyList<string> Relays => IsActive ? State.Routing?.Relays ?? [] : _record.LastState?.Relays ?? [];

    /// <summary>Relays of the other states that are kept: members who stand there write to them.</summary>
    public IReadOnlyList<string> OtherRelays { get; private set; } = [];

    /// <summary>What the group context of the current state says.</summary>
    public AdoptedState State => _state ??= AdoptedState.Of(Mls);

    public bool IsAdmin => IsActive && State.Admins.Contains(_account);

    /// <summary>The commitment of the current state.</summary>
    internal Bytes32 TipState => _record.Tip;

    internal IReadOnlyDictionary<Bytes32, SnapshotEntry> States => _states.Entries;

    internal AdoptedRecord Record => _record;

    internal MlsGroup Mls => IsActive ? Open(_record.Tip) : throw new ClientException("you are no longer a member of this group");

    private SnapshotEntry Tip => _states.Entries[_record.Tip];

    private long Now => _time.GetUtcNow().ToUnixTimeSeconds();

    private string Prefix => PrefixOf(_record.GroupId);

    internal static string PrefixOf(string groupId) => $"ag/{groupId}/";

    private static string SeenKey(string groupId) => $"ag/{groupId}";

    /// <summary>A new group in its first state: what the creator made alone, or what a Welcome led to.</summary>
    /// <param name="store">The store.</param>
    /// <param name="time">The clock.</param>
    /// <param name="account">The own account.</param>
    /// <param name="mls">The MLS group; owned from now on.</param>
    /// <param name="joinedAt">Unix seconds.</param>
    /// <param name="isJoined">True after a Welcome: the keys are to be renewed.</param>
    /// <param name="batch">What is written.</param>
    public static AdoptedGroup Begin(ClientStore store, TimeProvider time, in Bytes32 account, MlsGroup mls, long joinedAt, bool isJoined, StoreBatch batch)
    {
        string id = Convert.ToHexStringLower(mls.GroupId.Span);
        var state = AdoptedState.Commitment(mls);
        var old = store.GetJson<AdoptedRecord>(PrefixOf(id) + "record");
        foreach (var (key, _) in store.Scan(PrefixOf(id)).Where(pair => !pair.Key.StartsWith(PrefixOf(id) + "m/", StringComparison.Ordinal)))
        {
            batch.Delete(key); // joined anew: the states go, the messages and what was seen stay
        }

        var record = new AdoptedRecord
        {
            GroupId = id,
            JoinedAt = joinedAt,
            JoinEpoch = mls.Epoch,
            Tip = state,
            NeedsSelfUpdate = isJoined,
            HeardAt =
            joinedAt,
            Messages =
            old?.Messages ?? 0
        };
        var group = new AdoptedGroup(store, time, account, record, SeenIds.Load(store, SeenKey(id)));
        foreach (var known in group._states.Entries.Keys.ToList())
        {
            group._states.Drop(batch, known);
        }

        group._open[state] = mls;
        group._states.Put(batch, EntryOf(mls, state, null, null) with { IsFresh = true }, mls.Serialize());
        group.OrderOf(state);
        group.LoadMessages();
        group.Look();
        group.Save(batch);
        return group;
    }

    /// <summary>All groups of the profile in a store.</summary>
    public static IEnumerable<AdoptedGroup> LoadAll(ClientStore store, TimeProvider time, Bytes32 account) =>
        store.Scan("ag/").Where(pair => pair.Key.EndsWith("/record", StringComparison.Ordinal))
            .Select(pair => Load(store, time, account, pair.Key.Split('/')[1]));

    public static AdoptedGroup Load(ClientStore store, TimeProvider time, in Bytes32 account, string groupId)
    {
        var record = store.GetJson<AdoptedRecord>(PrefixOf(groupId) + "record") ?? throw new InvalidDataException("the store lacks a group's record");
        var group = new AdoptedGroup(store, time, account, record, SeenIds.Load(store, SeenKey(groupId)));
        if (!group.IsDisbanded && !group._states.Entries.ContainsKey(record.Tip))
        {
            throw new InvalidDataException("the store lacks a group's state");
        }

        group.LoadMessages();
        group.LoadWaiting();
        group.Look();
        return group;
    }

    /// <summary>The group as it is.</summary>
    public GroupState Describe()
    {
        if (!IsActive)
        {
            return _record.LastState ?? throw new ClientException("the group's state is not known");
        }

        var (mls, state) = (Mls, State);
        return new GroupState
        {
            GroupId = GroupId,
            Profile = Profiles.MarmotProfile.Adopted,
            NostrGroupId = state.Routing?.NostrGroupId ?? default,
            Epoch = mls.Epoch,
            Leaves = [.. mls.Members.Select(member => new GroupLeaf(member.Index, AdoptedLeaf.AccountOf(member.Leaf)))],
            OwnLeaf = mls.OwnLeaf,
            IsActive = true,
            Name = state.Profile.Name,
            Description = state.Profile.Description,
            Admins = state.Admins.Admins,
            Relays = state.Routing?.Relays ?? [],
            PendingProposals = mls.PendingProposals.Count,
            Check = Convert.ToHexStringLower(mls.Export("interop-check", "epoch"u8, 16)),
            EpochAuthenticator = Convert.ToHexStringLower(mls.EpochAuthenticator),
            TreeHash = Convert.ToHexStringLower(mls.TreeHash),
            ConfirmedTranscriptHash = GroupSession.ConfirmedTranscriptHash(mls),
            DisappearingSeconds = state.Retention.Seconds == 0 ? null : state.Retention.Seconds,
            HasImage = state.Picture is not null || state.Avatar.Url.Length > 0,
            NeedsSelfUpdate = NeedsSelfUpdate,
            NeedsFreshKeys = NeedsFreshKeys,
            NeedsInvitation = IsLeftBehind,
            ConvergenceCommitment = _record.Tip,
        };
    }

    /// <summary>The leaves of an account.</summary>
    public IReadOnlyList<int> LeavesOf(Bytes32 account) =>
        [.. Mls.Members.Where(member => AdoptedLeaf.AccountOf(member.Leaf) == account).Select(member => member.Index)];

    public void Dispose()
    {
        foreach (var group in _open.Values)
        {
            group.Dispose();
        }

        _open.Clear();
    }

    internal static Bytes32 DigestOf(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[Bytes32.Size];
        SHA256.HashData(bytes, hash);
        return new Bytes32(hash);
    }

    private static SnapshotEntry EntryOf(MlsGroup mls, in Bytes32 state, Bytes32? parent, Bytes32? commit)
    {
        var routing = AdoptedState.Of(mls).Routing;
        return new SnapshotEntry(state, mls.Epoch, parent, commit, 0)
        {
            EnvelopeKey = AdoptedState.EnvelopeKey(mls),
            RoutingId = routing?.NostrGroupId,
            Relays = routing?.Relays ?? []
        };
    }

    // The live group of a state: what is read and sent in it goes through this one.
    private MlsGroup Open(in Bytes32 state)
    {
        if (_open.TryGetValue(state, out var known))
        {
            return known;
        }

        if (_open.Count >= MaxOpenStates)
        {
            var spare = _open.Keys.FirstOrDefault(one => one != _record.Tip && !_changed.Contains(one));
            if (_open.Remove(spare, out var closed))
            {
                closed.Dispose();
            }
        }

        return _open[state] = Restore(state, new AdoptedLeafRule());
    }

    // A second group of the same state, to try something on. What the live one did since the store was written is in it.
    private MlsGroup Copy(in Bytes32 state, AdoptedLeafRule rule)
    {
        byte[] bytes = Open(state).Serialize();
        bool good = MlsGroup.TryRestore(bytes, rule.Rules, out var copy);
        CryptographicOperations.ZeroMemory(bytes);
        return good ? copy! : throw new InvalidOperationException("a group that was just written cannot be read");
    }

    private MlsGroup Restore(in Bytes32 state, AdoptedLeafRule rule) =>
        _states.Get(new StoreBatch(), state) is { Length: > 0 } bytes && MlsGroup.TryRestore(bytes, rule.Rules, out var group) && group is not null
            ? group
            : throw new InvalidDataException("the store holds a group state that cannot be read");

    // What follows from the states that are kept.
    private void Look()
    {
        _state = null;
        if (!_states.Entries.ContainsKey(_record.Tip))
        {
            return;
        }

        var ids = new List<Bytes32>();
        var relays = new List<string>();
        foreach (var entry in _states.Entries.Values.Where(entry => entry.Bytes > 0).OrderByDescending(entry => entry.State == _record.Tip)
            .ThenByDescending(entry => entry.Epoch))
        {
            if (entry.RoutingId is { } id && !ids.Contains(id))
            {
                ids.Add(id);
            }

            relays.AddRange(entry.Relays.Except(relays));
        }

        (RoutingIds, OtherRelays) = (ids, [.. relays.Except(Relays)]);
    }

    // All that a step changed.
    private void Save(StoreBatch batch)
    {
        foreach (var state in _changed)
        {
            if (_states.Entries.TryGetValue(state, out var entry) && _open.TryGetValue(state, out var group))
            {
                _states.Put(batch, entry, group.Serialize());
            }
        }

        _changed.Clear();
        _seen.Save(batch);
        _record.Pass = _pass.Save();
        batch.PutJson(Prefix + "record", _record);
    }

    /// <summary>Writes the record alone.</summary>
    internal void SaveRecord() => Commit(new StoreBatch());

    private void Commit(StoreBatch batch, bool durable = true)
    {
        Save(batch);
        _store.Commit(batch, durable);
    }

    private static bool TryReadRumor(string json, [NotNullWhen(true)] out Rumor? rumor) => Rumor.TryParse(Encoding.UTF8.GetBytes(json), out rumor, out _);
}
