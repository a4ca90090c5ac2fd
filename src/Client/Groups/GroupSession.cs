using System.Security.Cryptography;
using System.Text;
using Marmot.Client.Accounts;
using Marmot.Client.Profiles;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

/// <summary>
/// One group of one account: the MLS state, what is stored beside it, and the order in which events take effect (MIP-03). No sockets: it makes events and takes
/// events. Each method writes all it changed in one batch before it returns, so nothing leaves the process that the disk does not know. One caller at a time.
/// </summary>
internal sealed partial class GroupSession : IDisposable
{
    /// <summary>Application plaintext is padded to a multiple of this, as marmot-ts does: lengths tell less.</summary>
    private const int PadTo = 256;

    private const int MaxRoutingIds = 6;

    /// <summary>Welcomes into one epoch that are kept beside the first.</summary>
    private const int MaxOtherBranches = 4;

    /// <summary>Epochs a message may wait before it is sealed anew; readers keep five.</summary>
    private const ulong MaxMessageLag = 2;

    private readonly ClientStore _store;
    private readonly TimeProvider _time;
    private readonly Bytes32 _account;
    private readonly GroupRecord _record;
    private readonly MessageHistory _history;
    private readonly SeenIds _seen;
    private readonly GroupReceiver _receiver;
    private MlsGroup? _mls;
    private long? _stagedAt; // timestamp of the own commit, when this process made it

    private GroupSession(ClientStore store, TimeProvider time, in Bytes32 account, GroupRecord record, SeenIds seen, ParkedEvents parked, MlsGroup? mls)
    {
        (_store, _time, _account, _record, _history, _seen, _mls) = (store, time, account, record, new MessageHistory(store, record), seen, mls);
        (Parked, Race, Dates, _receiver) = (parked, new CommitRace(store, record), new EventDates(record, time), new GroupReceiver(this));
    }

    public string GroupId => _record.GroupId;

    public bool IsActive => _record.IsActive;

    public bool NeedsSelfUpdate => _record is { NeedsSelfUpdate: true, IsActive: true, Profile: MarmotProfile.Mip };

    public bool NeedsFreshKeys => _record is { NeedsFreshKeys: true, IsActive: true };

    public bool WantsToLeave => _record is { WantsToLeave: true, IsActive: true };

    public long JoinedAt => _record.JoinedAt;

    public ulong Epoch => _mls?.Epoch ?? _record.LastState?.Epoch ?? 0;

    public PendingCommit? Pending => _record.Pending;

    public IReadOnlyList<Bytes32> RoutingIds => _record.RoutingIds;

    public int MessageCount => _history.Count;

    /// <summary>
    /// True when events keep coming that are newer than all we have read and that no key of ours opens: others went on without us, and only a new Welcome
    /// brings us back. Strangers who write garbage under the group's public id raise it too.
    /// </summary>
    public bool NeedsInvitation => _mls is { } mls && mls.Members.Count > 1 && Parked.CountAfter(_record.HeardAt) >= (int)CommitRace.Epochs;

    /// <summary>Relays the group has left not long ago: read, never written.</summary>
    public IReadOnlyList<string> FormerRelays =>
        [
            .. RelayUrls.Distinct(
                _record.FormerRelays.Where(one => one.LeftAt > Now - (long)FormerRelayWindow.TotalSeconds && one.LeftInEpoch + CommitRace.Epochs >= Epoch)
                    .Select(one => one.Url)).Except(Relays)
        ];

    /// <summary>Relays of the group.</summary>
    public IReadOnlyList<string> Relays => RelayUrls.Distinct(_mls is null ? _record.LastState?.Relays ?? [] : Data.Relays);

    /// <summary>The group data of the current epoch.</summary>
    public GroupData Data => MipGroup.DataOf(Mls.Extensions) ?? throw new ClientException("the group has no group data");

    public bool IsAdmin => _mls is not null && Data.Admins.Contains(_account);

    public bool RequiresSelfRemove => MipGroup.RequiresSelfRemove(Mls.Extensions);

    internal GroupRecord Record => _record;

    /// <summary>The messages: own ones and those of others.</summary>
    internal MessageHistory History => _history;

    /// <summary>Ids of events, of sealed messages and of inner events: all are SHA-256 values of different things.</summary>
    internal SeenIds Seen => _seen;

    internal ParkedEvents Parked { get; }

    internal CommitRace Race { get; }

    /// <summary>What own events are dated, and from when on relays are asked.</summary>
    internal EventDates Dates { get; }

    /// <summary>False after a removal: then only the states before it are left.</summary>
    internal bool HasState => _mls is not null;

    internal MlsGroup Mls => _mls ?? throw new ClientException("you are no longer a member of this group");

    internal long Now => _time.GetUtcNow().ToUnixTimeSeconds();

    private string Prefix => PrefixOf(_record.GroupId);

    internal static string PrefixOf(string groupId) => $"g/{groupId}/";

    /// <summary>A new group of one, in epoch 0.</summary>
    public static GroupSession Create(ClientStore store, TimeProvider time, in Bytes32 account, GroupData data, bool requireSelfRemove, StoreBatch batch)
    {
        using var leaf = MipGroup.CreateKeyPackage(account, lastResort: false, time.GetUtcNow());
        byte[] id = RandomNumberGenerator.GetBytes(16);
        var mls = MlsGroup.Create(id, leaf, MipGroup.ContextExtensions(data, requireSelfRemove), MipGroup.Rules);
        long now = time.GetUtcNow().ToUnixTimeSeconds();
        var record = new GroupRecord
        {
            GroupId = Convert.ToHexStringLower(id),
            RoutingIds = [data.NostrGroupId],
            JoinedAt = now,
            HasHeard = true,
            HeardAt = now,
        };
        var session = new GroupSession(store, time, account, record, new SeenIds(store, record.GroupId), new ParkedEvents(record.GroupId), mls);
        session.Save(batch);
        return session;
    }

    /// <summary>A group joined by a Welcome; what this client knew of the same group before is dropped.</summary>
    public static GroupSession Join(ClientStore store, TimeProvider time, in Bytes32 account, MlsGroup mls, GroupData data, long welcomedAt, StoreBatch batch)
    {
        string id = Convert.ToHexStringLower(mls.GroupId.Span);
        var old = store.GetJson<GroupRecord>(PrefixOf(id) + "record");
        foreach (var (key, _) in store.Scan(PrefixOf(id)).Where(pair => !pair.Key.StartsWith(MessageHistory.MessagesOf(id), StringComparison.Ordinal)))
        {
            batch.Delete(key);
        }

        var record = new GroupRecord
        {
            GroupId = id,
            Profile = ProfileDetector.OfGroup(mls.Extensions),
            RoutingIds = [data.NostrGroupId],
            JoinedAt = welcomedAt,
            JoinEpoch = mls.Epoch,
            HeardEpoch = mls.Epoch,
            HeardAt = welcomedAt,
            EpochBeganAt = welcomedAt,
            NeedsSelfUpdate = true,
            Messages = old?.Messages ?? 0,
            PagedMessages = old?.PagedMessages ?? 0,
            Gossip = old?.Gossip ?? [],
        };
        var session = new GroupSession(store, time, account, record, new SeenIds(store, id), new ParkedEvents(id), mls);
        session.RememberRumors();
        session.Save(batch);
        return session;
    }

    /// <summary>All groups of the store.</summary>
    public static IEnumerable<GroupSession> LoadAll(ClientStore store, TimeProvider time, Bytes32 account)
    {
        var ids = store.Scan("g/").Where(pair => pair.Key.EndsWith("/record", StringComparison.Ordinal)).Select(pair => pair.Key.Split('/')[1]);
        foreach (string id in ids)
        {
            yield return Load(store, time, account, id);
        }
    }

    public static GroupSession Load(ClientStore store, TimeProvider time, in Bytes32 account, string groupId)
    {
        string prefix = PrefixOf(groupId);
        var record = store.GetJson<GroupRecord>(prefix + "record") ?? throw new InvalidDataException("the store lacks a group's record");
        MlsGroup? mls = null;
        if (store.Get(prefix + "mls") is { } state && !MlsGroup.TryRestore(state, MipGroup.Rules, out mls))
        {
            throw new InvalidDataException("the store holds a group state that cannot be read");
        }

        return new GroupSession(store, time, account, record, SeenIds.Load(store, groupId), ParkedEvents.Load(store, groupId), mls);
    }

    /// <summary>Lets verified kind 445 events take effect: <see cref="GroupReceiver.Receive"/>.</summary>
    public GroupReport Receive(IEnumerable<NostrEvent> events, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> queueWelcomes, bool isComplete = true) =>
        _receiver.Receive(events, queueWelcomes, isComplete);

    /// <summary>True when messages wait that could be read at the price of those before them.</summary>
    public bool IsHolding => _receiver.IsHolding;

    /// <summary>Seals a rumor as a group event; the message, its outbox entry and the ratchet are stored together. The one step that is not flushed: the
    /// store's flush must be done before the event leaves.</summary>
    public (NostrEvent Event, int Index) CreateMessage(Rumor rumor)
    {
        RequireActive();
        RequireFreshKeys();
        var batch = new StoreBatch();
        var (evt, index) = Seal(rumor, null, batch);
        Commit(batch, durable: false);
        return (evt, index);
    }

    /// <summary>Messages that no relay took while the group moved on: soon nobody would have their epoch's keys, so they are sealed anew under the same inner
    /// id.</summary>
    public void SealOldMessagesAnew(IEnumerable<OutboxEntry> waiting)
    {
        if (_mls is null || NeedsFreshKeys)
        {
            return;
        }

        var batch = new StoreBatch();
        foreach (var entry in waiting.Where(one => one is { Message: not null, AckedAt: 0 } && one.GroupId == GroupId
            && (one.MustSeal || one.Epoch + MaxMessageLag < Epoch)))
        {
            if (_history.Get(entry.Message!.Value) is { IsOwn: true } stored && Rumor.TryParse(Encoding.UTF8.GetBytes(stored.RumorJson), out var rumor, out _))
            {
                batch.Delete(OutboxKey(stored.EventId));
                Seal(rumor, entry.Message, batch);
            }
        }

        if (!batch.IsEmpty)
        {
            Commit(batch);
        }
    }

    /// <summary>The media secret of a message with an attachment; null when there is none or its epoch was gone.</summary>
    public byte[]? MediaSecretOf(in Bytes32 rumorId)
    {
        string id = rumorId.ToString();
        var stored = _history.NewestFirst().Select(one => one.Stored)
            .FirstOrDefault(one => one.RumorJson.Contains(id, StringComparison.Ordinal) && MessageHistory.TryReadRumor(one, out var rumor)
                && rumor.Id.ToString() == id);
        return stored is null ? null
            : stored.MediaSecret ?? (_mls is not null && _mls.KnownEpochs.Contains(stored.Epoch) ? MipGroup.MediaSecret(_mls, stored.Epoch) : null);
    }

    /// <summary>Every media secret at hand, the current epoch's first: for an attachment whose message is not known.</summary>
    public IEnumerable<byte[]> MediaSecrets()
    {
        if (_mls is not null)
        {
            foreach (ulong epoch in _mls.KnownEpochs)
            {
                yield return MipGroup.MediaSecret(_mls, epoch);
            }
        }

        foreach (var (_, stored) in _history.NewestFirst())
        {
            if (stored.MediaSecret is { } secret)
            {
                yield return secret;
            }
        }
    }

    /// <summary>The group as it is.</summary>
    public GroupState State()
    {
        if (_mls is null)
        {
            return _record.LastState ?? throw new ClientException("the group's state is not known");
        }

        var data = Data;
        return new GroupState
        {
            GroupId = GroupId,
            NostrGroupId = data.NostrGroupId,
            Epoch = _mls.Epoch,
            Leaves = [.. _mls.Members.Select(member => new GroupLeaf(member.Index, MarmotIdentity.Of(member.Leaf)))],
            OwnLeaf = _mls.OwnLeaf,
            IsActive = _record.IsActive,
            Name = data.Name,
            Description = data.Description,
            Admins = [.. data.Admins.Distinct().Order()],
            Relays = [.. data.Relays],
            PendingProposals = WaitingProposals().Count,
            Check = Convert.ToHexStringLower(_mls.Export("interop-check", "epoch"u8, 16)),
            EpochAuthenticator = Convert.ToHexStringLower(_mls.EpochAuthenticator),
            TreeHash = Convert.ToHexStringLower(_mls.TreeHash),
            ConfirmedTranscriptHash = ConfirmedTranscriptHash(_mls),
            DisappearingSeconds = data.DisappearingSeconds,
            HasImage = data.ImageHash is not null,
            NeedsSelfUpdate = NeedsSelfUpdate,
            NeedsInvitation = NeedsInvitation,
            NeedsFreshKeys = NeedsFreshKeys,
        };
    }

    /// <summary>The leaves of an account.</summary>
    public IReadOnlyList<int> LeavesOf(Bytes32 account) =>
        [.. Mls.Members.Where(member => MarmotIdentity.Of(member.Leaf) == account).Select(member => member.Index)];

    public void Dispose() => _mls?.Dispose();

    // Before anything is written.
    private void RequireActive()
    {
        if (!_record.IsActive || _mls is null)
        {
            throw new ClientException("you are no longer a member of this group");
        }

        if (_record.Profile == MarmotProfile.Legacy)
        {
            throw new ClientException("this group is of the first generation of Marmot (P1): its members could not read what this client writes");
        }
    }

    /// <summary>An own message of this epoch that we do not know: the store is a copy that was put back.</summary>
    internal void NoteUnknownOwnMessage() => _record.NeedsFreshKeys = true;

    // Before anything is sealed by a ratchet that may have gone on without us.
    private void RequireFreshKeys()
    {
        if (NeedsFreshKeys)
        {
            throw new ClientException("the store may be a copy that was put back; the group's keys must be renewed before anything is sent");
        }
    }

    // Seals under the current epoch. A resent message keeps its index.
    internal (NostrEvent Event, int Index) Seal(Rumor rumor, int? index, StoreBatch batch)
    {
        byte[] json = rumor.ToJson();
        SenderLimits.CheckInnerEvent(json.Length);
        byte[] message = Mls.Protect(json, padTo: PadTo, evenWithPendingProposals: true).ToBytes();
        var evt = Envelope(message, Dates.TakeNext(isMessage: true), Data.DisappearingSeconds is { } seconds
            ? rumor.CreatedAt + (long)Math.Min(seconds, int.MaxValue)
            : null);
        int place = PutMessage(batch, index, rumor, new StoredMessage(Encoding.UTF8.GetString(json), Mls.Epoch, evt.Id, IsOwn: true, Mls.OwnLeaf, null));
        CryptographicOperations.ZeroMemory(json);
        PutOutbox(batch, evt, place);
        MarkSeen(evt.Id, HashOf(message));
        return (evt, place);
    }

    /// <summary>Seals an own message of a lost branch under the current epoch; later, when the group needs fresh keys first.</summary>
    internal void SealAgain(Rumor rumor, int index, StoredMessage stored, StoreBatch batch)
    {
        if (NeedsFreshKeys)
        {
            batch.PutJson(OutboxKey(stored.EventId),
                new OutboxEntry(string.Empty, GroupEvent.Kind, rumor.CreatedAt, [.. Relays], GroupId, stored.Epoch, index) { MustSeal = true });
        }
        else
        {
            Seal(rumor, index, batch);
        }
    }

    private NostrEvent Envelope(byte[] message, long createdAt, long? expiration = null)
    {
        byte[] key = MipGroup.EnvelopeKey(Mls, Mls.Epoch);
        var evt = GroupEvent.Create(key, _record.RoutingIds[0], message, createdAt, expiration);
        CryptographicOperations.ZeroMemory(key);
        return evt;
    }

    // At the end, or again at the place it has.
    internal int PutMessage(StoreBatch batch, int? index, Rumor rumor, StoredMessage message)
    {
        // An attachment's key dies with its epoch unless it is kept with the message (MIP-04).
        message = message with { MediaSecret = rumor.Tags.Any(tag => tag[0] == "imeta") ? MipGroup.MediaSecret(Mls, message.Epoch) : null };
        _seen.Add(rumor.Id);
        if (index is not { } place)
        {
            return _history.Add(batch, message, rumor.Kind, rumor.CreatedAt);
        }

        _history.Put(batch, place, message);
        return place;
    }

    private void PutOutbox(StoreBatch batch, NostrEvent evt, int? message) =>
        batch.PutJson(OutboxKey(evt.Id),
            new OutboxEntry(Encoding.UTF8.GetString(evt.Json.Span), evt.Kind, evt.CreatedAt, [.. Relays], GroupId, Mls.Epoch, message));

    internal static string OutboxKey(in Bytes32 id) => $"o/{id}";

    internal void MarkSeen(in Bytes32 evt, in Bytes32 message)
    {
        _seen.Add(evt);
        _seen.Add(message);
    }

    // All that a step changed, in one batch.
    internal void Commit(StoreBatch batch, bool durable = true)
    {
        Save(batch);
        _store.Commit(batch, durable);
        _history.PageOut();
    }

    /// <summary>Writes the record alone, without a flush.</summary>
    internal void SaveRecord()
    {
        var batch = new StoreBatch();
        batch.PutJson(Prefix + "record", _record);
        _store.Commit(batch, durable: false);
    }

    /// <summary>Goes on from another state of the group.</summary>
    internal void Replace(MlsGroup state)
    {
        _mls?.Dispose();
        _mls = state;
    }

    private void Save(StoreBatch batch)
    {
        _seen.Save(batch);
        batch.PutJson(Prefix + "record", _record);
        if (_mls is null)
        {
            batch.Delete(Prefix + "mls");
        }
        else
        {
            batch.Put(Prefix + "mls", _mls.Serialize());
        }
    }

    // After joining anew: what was read before is not to be read twice.
    private void RememberRumors()
    {
        foreach (var (_, stored) in _history.NewestFirst().Take(MessageHistory.PageMessages))
        {
            if (MessageHistory.TryReadRumor(stored, out var rumor))
            {
                _seen.Add(rumor.Id);
            }
        }
    }

    internal static Bytes32 HashOf(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(bytes, hash);
        return new Bytes32(hash);
    }

    // The engine does not hand it out by itself; a GroupInfo begins with the group context, which holds it behind the tree hash (RFC 9420, 8.1).
    internal static string ConfirmedTranscriptHash(MlsGroup mls)
    {
        var reader = new TlsReader(mls.GroupInfo(withTree: false).ToBytes());
        reader.ReadFixed(2 + 2 + 2 + 2); // version, wire format; version, cipher suite
        reader.ReadOpaque();
        reader.ReadUInt64();
        reader.ReadOpaque();
        return Convert.ToHexStringLower(reader.ReadOpaque());
    }
}
