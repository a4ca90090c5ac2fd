using Marmot.Client.Accounts;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.KeyPackages;
using Marmot.Client.Media;
using Marmot.Client.Profiles;
using Marmot.Client.Push;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Client.Storage;
using Marmot.Client.Welcomes;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Client;

/// <summary>One Marmot account on one device: key packages, invitations, groups, messages, media and push, by the MIP profile or the adopted one.</summary>
/// <remarks>
/// Every step is stored before its result leaves the process; after a crash <see cref="ResumeAsync"/> (or any sync) goes on where it stopped. What cannot be
/// done throws <see cref="ClientException"/> and leaves the state as it was. Thread-safe: steps that change a group run one after another.
/// </remarks>
public sealed partial class MarmotClient : IAsyncDisposable
{
    /// <summary>Members added by one commit: above about 80 a Welcome no longer passes through deployed clients.</summary>
    public const int InviteBatch = 50;

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly GroupChanges _changes;
    private readonly MessageSender _messages;
    private readonly GroupSync _sync;
    private readonly WelcomeInbox _welcomes;
    private readonly KeyPackagePublisher _keyPackages;
    private readonly KeyPackageFinder _finder;
    private readonly BlossomClient _blossom;
    private readonly GroupMedia _media;
    private readonly GroupPush _push;
    private readonly Outbox _outbox;
    private readonly AdoptedGroups _adopted;
    private readonly AdoptedMedia _adoptedMedia;
    private readonly AdoptedPush _adoptedPush;

    private MarmotClient(Account account, IRelayNetwork network)
    {
        _account = account;
        _sessions = new GroupSessions(account);
        _relays = new RelayRequests(network);
        var inboxes = new InboxLists(account, _relays);
        _outbox = new Outbox(account, _relays, inboxes);
        var commits = new CommitPublisher(account, _relays, _outbox);
        _finder = new KeyPackageFinder(account, _relays);
        _keyPackages = new KeyPackagePublisher(account, _sessions, _relays);
        _adopted = new AdoptedGroups(account, _relays, _outbox);
        _welcomes = new WelcomeInbox(account, _sessions, _relays, _adopted);
        _sync = new GroupSync(account, _sessions, _relays, _outbox, commits, _welcomes, _keyPackages);
        var renewal = new KeyRenewal(_sessions, _sync, commits);
        _changes = new GroupChanges(account, _sessions, _relays, _outbox, commits, _finder, renewal);
        _messages = new MessageSender(account, _sessions, _relays, _outbox, renewal);
        _blossom = new BlossomClient(account.Time);
        _media = new GroupMedia(account, _sessions, commits, _messages, renewal, _blossom);
        _push = new GroupPush(account, _sessions, _relays, inboxes, _messages);
        _adoptedMedia = new AdoptedMedia(account, _adopted, _blossom);
        _adoptedPush = new AdoptedPush(account, _adopted, _push);
    }

    /// <summary>The account's public key.</summary>
    public Bytes32 PublicKey => _account.PublicKey;

    /// <summary>What the account was told.</summary>
    public AccountSettings Settings => _account.Settings;

    /// <summary>Events that still must reach a relay.</summary>
    public int OutboxCount => _outbox.Count;

    /// <summary>MLS group ids of all groups, active ones first.</summary>
    public IReadOnlyList<string> GroupIds =>
        [.. _sessions.All.Select(one => (one.IsActive, one.JoinedAt, one.GroupId))
            .Concat(_adopted.All.Select(one => (one.IsActive, one.JoinedAt, one.GroupId))).OrderByDescending(one => one.IsActive).ThenBy(one => one.JoinedAt)
            .Select(one => one.GroupId)];

    /// <summary>True when the store holds an account.</summary>
    public static bool HasAccount(ClientStore store) => store.Get(AccountRecord.Key) is not null;

    /// <summary>Puts an account into an empty store and opens it.</summary>
    /// <param name="store">The store; owned by the caller, who closes it after the client.</param>
    /// <param name="key">The account's key; copied. Null makes a new one.</param>
    /// <param name="settings">Relays and names.</param>
    /// <param name="network">Makes the relay network for the account's key; null takes WebSockets.</param>
    /// <param name="time">The clock; null takes the system's.</param>
    /// <exception cref="ClientException">The store has an account, or no relay is valid.</exception>
    public static MarmotClient Create(ClientStore store, SecretKey? key, AccountSettings settings, Func<SecretKey, IRelayNetwork>? network = null,
        TimeProvider? time = null)
    {
        Account.Create(store, key, settings);
        return Open(store, network, time);
    }

    /// <summary>Opens the account of a store; nothing is sent.</summary>
    /// <exception cref="ClientException">The store has none.</exception>
    public static MarmotClient Open(ClientStore store, Func<SecretKey, IRelayNetwork>? network = null, TimeProvider? time = null)
    {
        var clock = time ?? TimeProvider.System;
        var account = Account.Open(store, clock);
        return new MarmotClient(account, network?.Invoke(account.Key) ?? new RelayNetwork(new RelayNetworkOptions { Account = account.Key }, clock));
    }

    /// <summary>Changes relays and names; call <see cref="PublishRelayListsAsync"/> to tell others.</summary>
    public void Configure(AccountSettings settings) => _account.Configure(settings);

    /// <summary>Tells others where to send gift wraps (kind 10050) and where to find key packages (10051).</summary>
    public async Task<IReadOnlyList<PublishedEvent>> PublishRelayListsAsync(CancellationToken cancellationToken = default)
    {
        var everywhere = RelayUrls.Distinct([.. _account.Settings.Relays, .. _account.Settings.InboxRelays, .. _account.Settings.KeyPackageRelays]);
        var published = new List<PublishedEvent>();
        foreach (var (kind, relays) in new[] { (MarmotNumbers.InboxRelaysKind, _account.Settings.InboxRelays),
            (MarmotNumbers.KeyPackageRelaysKind, _account.Settings.KeyPackageRelays) })
        {
            var list = NostrEvent.Create(_account.Key, kind, [.. relays.Select(relay => new[] { "relay", relay })], string.Empty,
                _account.TakeCreatedAt(kind, string.Empty));
            published.Add(await _relays.PublishAsync(list, everywhere, cancellationToken));
        }

        if (_account.Settings.Profile == MarmotProfile.Adopted)
        {
            var general = NostrEvent.Create(
                _account.Key, MarmotNumbers.RelayListKind,
                    [.. RelayUrls.Distinct([.. _account.Settings.KeyPackageRelays, .. _account.Settings.Relays]).Select(relay => new[] { "r", relay })],
                    string.Empty,
                _account.TakeCreatedAt(MarmotNumbers.RelayListKind, string.Empty));
            published.Add(await _relays.PublishAsync(general, everywhere, cancellationToken));
        }

        return published;
    }

    /// <summary>The group as it is here; ask relays with <see cref="SyncAsync"/> first.</summary>
    public GroupState GetState(string groupId) =>
        _adopted.Has(groupId) ? _adopted.Read(groupId, group => group.Describe()) : _sessions.Read(groupId, session => session.State());

    /// <summary>How many messages a group has here, own ones too.</summary>
    public int CountMessages(string groupId) =>
        _adopted.Has(groupId) ? _adopted.Read(groupId, group => group.Messages().Count) : _sessions.Read(groupId, session => session.MessageCount);

    /// <summary>Messages in arrival order, own ones too. Old ones are read from disk: ask for a part of a long history, not for all of it.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="skip">How many of the oldest to leave out.</param>
    /// <param name="take">How many at most.</param>
    public IReadOnlyList<GroupMessage> GetMessages(string groupId, int skip = 0, int take = int.MaxValue) =>
        _adopted.Has(groupId) ? _adopted.Read(groupId, group => group.Messages(skip, take))
            : _sessions.Read(groupId, session => session.History.Read(skip, take));

    /// <summary>The message with this inner event.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="id">The inner event's id, hex, or the start of it, four digits at least.</param>
    /// <exception cref="ClientException">There is none, or more than one begins so.</exception>
    public GroupMessage GetMessage(string groupId, string id)
    {
        var found = id.Length < 4 ? []
            : _adopted.Has(groupId) ? _adopted.Read(groupId, group =>
                group.Messages().Where(one => one.Rumor.Id.ToString().StartsWith(id, StringComparison.Ordinal)).Take(2).ToList())
            : _sessions.Read(groupId, session => session.History.Find(id).Take(2).ToList());
        return found.Count == 1 ? found[0] : throw new ClientException(found.Count == 0 ? $"no message {id}" : $"more than one message begins with {id}");
    }

    /// <summary>Makes a group of one; nothing is published (MIP-01).</summary>
    /// <param name="name">The name.</param>
    /// <param name="description">The description.</param>
    /// <param name="relays">The group's relays; null for the account's.</param>
    /// <param name="admins">Further admins; they count once they are members.</param>
    /// <param name="cancellationToken">Ends the wait for other steps.</param>
    public Task<GroupState> CreateGroupAsync(string name, string description, IReadOnlyList<string>? relays = null, IReadOnlyList<Bytes32>? admins = null,
        CancellationToken cancellationToken = default) =>
        _account.Settings.Profile == MarmotProfile.Adopted ? _adopted.CreateAsync(FoundingOf(name, description, relays, admins), cancellationToken)
            : _changes.CreateGroupAsync(name, description, relays, admins, cancellationToken);

    /// <summary>Adds accounts by their published key packages, <see cref="InviteBatch"/> a commit; each Welcome leaves after a relay took its commit.</summary>
    /// <returns>What was published; empty when all of them are members by these key packages already, as after an invitation that was cut off and is
    /// repeated.</returns>
    /// <exception cref="ClientException">An account has no usable key package (then nobody is added), or no relay took a commit.</exception>
    public Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<Bytes32> accounts, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? InviteAdoptedAsync(groupId, accounts, cancellationToken) : _changes.InviteAsync(groupId, accounts, cancellationToken);

    /// <summary>Adds the owners of these key packages in one commit.</summary>
    public Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<KeyPackageEvent> keyPackages,
        CancellationToken cancellationToken = default) =>
        _changes.InviteAsync(groupId, keyPackages, cancellationToken);

    /// <summary>Renews the own keys (MIP-02: within a day of joining; later from time to time).</summary>
    public Task<IReadOnlyList<PublishedEvent>> SelfUpdateAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adopted.SelfUpdateAsync(groupId, cancellationToken) : _changes.SelfUpdateAsync(groupId, cancellationToken);

    /// <summary>Changes name, description, admins, relays, routing id or timer; admins only.</summary>
    public Task<IReadOnlyList<PublishedEvent>> UpdateGroupAsync(string groupId, GroupChange change, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adopted.ChangeAsync(groupId, _ => AdoptedChange.Of(change), cancellationToken)
            : _changes.UpdateGroupAsync(groupId, change, cancellationToken);

    /// <summary>Removes every leaf of an account and its admin right in the same commit; admins only.</summary>
    public Task<IReadOnlyList<PublishedEvent>> RemoveAsync(string groupId, Bytes32 account, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? RemoveAdoptedAsync(groupId, account, cancellationToken) : _changes.RemoveAsync(groupId, account, cancellationToken);

    /// <summary>Asks to be taken out: a proposal that any member (self_remove) or an admin commits. An admin steps down first.</summary>
    public Task<IReadOnlyList<PublishedEvent>> LeaveAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? LeaveAdoptedAsync(groupId, cancellationToken) : _changes.LeaveAsync(groupId, cancellationToken);

    /// <summary>Commits the proposals that wait, as far as this client may: members who leave; an admin also what others propose.</summary>
    /// <returns>Empty when nothing waits.</returns>
    public Task<IReadOnlyList<PublishedEvent>> CommitPendingAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adopted.CommitLeavesAsync(groupId, cancellationToken) : _changes.CommitPendingAsync(groupId, cancellationToken);

    /// <summary>Sends a message to a group.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="content">The text.</param>
    /// <param name="kind">Kind of the inner event; 9 is chat, 7 a reaction.</param>
    /// <param name="tags">Tags of the inner event.</param>
    /// <param name="cancellationToken">Ends the wait for relays; the message stays in the outbox.</param>
    /// <exception cref="ClientException">Every relay refused it.</exception>
    public Task<SentMessage> SendAsync(string groupId, string content, int kind = MarmotNumbers.ChatKind, IReadOnlyList<string[]>? tags = null,
        CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? SendAdoptedAsync(groupId, content, kind, tags, cancellationToken)
            : _messages.SendAsync(groupId, content, kind, tags, cancellationToken);

    /// <summary>Reacts to a message.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="message">The inner event reacted to.</param>
    /// <param name="emoji">The reaction, such as + or an emoji.</param>
    /// <param name="cancellationToken">Ends the wait for relays.</param>
    public Task<SentMessage> ReactAsync(string groupId, Rumor message, string emoji, CancellationToken cancellationToken = default) =>
        SendAsync(groupId, emoji, MarmotNumbers.ReactionKind, [["e", message.Id.ToString()], ["p", message.PublicKey.ToString()]], cancellationToken);

    /// <summary>Reads what the group's relays have, lets it take effect, and finishes what was left open.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="untilEpoch">Goes on listening until this epoch is reached or the time is over.</param>
    /// <param name="wait">How long to listen; without an epoch this long in any case.</param>
    /// <param name="commitLeaves">Commits the self_remove of others at once, as MDK does.</param>
    /// <param name="cancellationToken">Ends it; what was read stays read.</param>
    public Task<GroupReport> SyncAsync(string groupId, ulong? untilEpoch = null, TimeSpan? wait = null, bool commitLeaves = false,
        CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adopted.SyncAsync(groupId, untilEpoch, wait, commitLeaves, cancellationToken)
            : _sync.SyncAsync(groupId, untilEpoch, wait, commitLeaves, cancellationToken);

    /// <summary>Reads every active group.</summary>
    public async Task<IReadOnlyDictionary<string, GroupReport>> SyncAllAsync(bool commitLeaves = false, CancellationToken cancellationToken = default)
    {
        var reports = new Dictionary<string, GroupReport>(await _sync.SyncAllAsync(commitLeaves, cancellationToken), StringComparer.Ordinal);
        foreach (string id in _adopted.All.Where(group => group.IsActive).Select(group => group.GroupId).ToList())
        {
            reports[id] = await _adopted.SyncAsync(id, null, null, commitLeaves, cancellationToken);
        }

        return reports;
    }

    /// <summary>Follows all groups live until cancelled: messages of others as they arrive, and invitations when they are wanted.</summary>
    /// <param name="onMessage">Called for each message, one at a time.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <param name="onJoined">Called for each group joined meanwhile, which is then followed too; null accepts no invitations.</param>
    /// <remarks>What a callback throws ends it and is thrown.</remarks>
    public Task WatchAsync(Func<GroupMessage, Task> onMessage, CancellationToken cancellationToken, Func<JoinedGroup, Task>? onJoined = null) =>
        new AdoptedWatch(_adopted, _sync, _account.Time).RunAsync(onMessage, cancellationToken, onJoined);

    /// <summary>The group events on the group's relays as they lie there, oldest first: for comparing and for finding faults.</summary>
    public Task<IReadOnlyList<NostrEvent>> FetchGroupEventsAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adopted.FetchEventsAsync(groupId, cancellationToken) : _sync.FetchEventsAsync(groupId, cancellationToken);

    /// <summary>Goes on where a crash or a lost connection stopped: pending commits, pending Welcomes, messages not yet taken.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken = default)
    {
        await _sync.ResumeAsync(cancellationToken);
        await _adopted.ResumeAsync(cancellationToken);
    }

    /// <summary>Reads the inbox and joins every group somebody rightly invites to.</summary>
    /// <param name="wait">How long to listen when the inbox brings nothing new.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public Task<JoinReport> AcceptInvitesAsync(TimeSpan? wait = null, CancellationToken cancellationToken = default) =>
        _welcomes.AcceptAsync(wait, cancellationToken);

    /// <summary>The account's gift wraps on its inbox relays as they lie there.</summary>
    public Task<IReadOnlyList<NostrEvent>> FetchGiftWrapsAsync(CancellationToken cancellationToken = default) =>
        _welcomes.FetchGiftWrapsAsync(cancellationToken);

    /// <summary>Makes a key package, stores its private keys, then publishes it; in a slot that is taken it replaces the one there.</summary>
    /// <param name="slot">The <c>d</c> tag; null for the device's own.</param>
    /// <param name="lastResort">May be used more than once, so that nobody can use it up.</param>
    /// <param name="legacyCopy">Publishes the same key package as kind 443 too, for clients of early 2026.</param>
    /// <param name="cancellationToken">Ends the wait for relays.</param>
    /// <exception cref="ClientException">No relay took it.</exception>
    public Task<PublishedKeyPackage> PublishKeyPackageAsync(string? slot = null, bool lastResort = true, bool legacyCopy = false,
        CancellationToken cancellationToken = default) =>
        _keyPackages.PublishAsync(slot, lastResort, legacyCopy, cancellationToken);

    /// <summary>The own key packages whose private keys are still here.</summary>
    public IReadOnlyList<OwnKeyPackage> ListKeyPackages() =>
        _keyPackages.List();

    /// <summary>Publishes another key package in the same slot (MIP-00: after use, and from time to time).</summary>
    public Task<PublishedKeyPackage> RotateKeyPackageAsync(Bytes32 reference, CancellationToken cancellationToken = default) =>
        _keyPackages.RotateAsync(reference, cancellationToken);

    /// <summary>Asks the relays to delete a key package and wipes its private keys.</summary>
    public Task<IReadOnlyList<PublishedEvent>> DeleteKeyPackageAsync(Bytes32 reference, CancellationToken cancellationToken = default) =>
        _keyPackages.DeleteAsync(reference, cancellationToken);

    /// <summary>Finds the best usable key package of an account: on the relays of its kind 10051, else on its kind 10002 write relays, else on ours.</summary>
    /// <param name="owner">The account.</param>
    /// <param name="kinds">Kinds wanted; null for 30443 and 443.</param>
    /// <param name="extraRelays">Relays to ask besides, for instance a group's.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<KeyPackageEvent?> FetchKeyPackageAsync(Bytes32 owner, int[]? kinds = null, IReadOnlyList<string>? extraRelays = null,
        CancellationToken cancellationToken = default) =>
        _finder.FetchAsync(owner, kinds, extraRelays, cancellationToken);

    /// <summary>The same for an invitation, or the reason why there is none.</summary>
    /// <exception cref="ClientException">There is none, all are refused, or they are of a generation this client does not speak; the message says
    /// which.</exception>
    public Task<KeyPackageEvent> RequireKeyPackageAsync(Bytes32 owner, IReadOnlyList<string>? extraRelays = null,
        CancellationToken cancellationToken = default) =>
        _finder.RequireAsync(owner, extraRelays, cancellationToken);

    /// <summary>Encrypts a file under the current epoch's media secret (MIP-04, mip04-v2). The message that carries the reference must be sent in the same
    /// epoch.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="file">The file.</param>
    /// <param name="mimeType">Its media type.</param>
    /// <param name="filename">Its name, 1 to 210 bytes of UTF-8.</param>
    /// <param name="toUrl">Gives the URL for the blob's SHA-256; null leaves it empty.</param>
    /// <returns>The reference for an imeta tag, and what to upload.</returns>
    public (MediaReference Media, byte[] Blob) EncryptMedia(string groupId, ReadOnlySpan<byte> file, string mimeType, string filename,
        Func<Bytes32, string>? toUrl = null) =>
        _media.Encrypt(groupId, file, mimeType, filename, toUrl);

    /// <summary>Decrypts a blob with the secret of the message's epoch, which is kept with the message; without a message every secret at hand is
    /// tried.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="media">The reference.</param>
    /// <param name="blob">What was downloaded.</param>
    /// <param name="message">Id of the inner event that carries the reference.</param>
    /// <exception cref="ClientException">No secret opens it, or the file is not what the reference says.</exception>
    public byte[] DecryptMedia(string groupId, MediaReference media, ReadOnlySpan<byte> blob, Bytes32? message = null) =>
        _media.Decrypt(groupId, media, blob, message);

    /// <summary>Encrypts a file, stores it in the first Blossom server that takes it under a key made for this one upload, and sends the message that carries
    /// it.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="file">The file.</param>
    /// <param name="mimeType">Its media type.</param>
    /// <param name="filename">Its name, 1 to 210 bytes of UTF-8.</param>
    /// <param name="caption">The message's text.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public Task<SentMessage> SendFileAsync(string groupId, ReadOnlyMemory<byte> file, string mimeType, string filename, string caption = "",
        CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedMedia.SendFileAsync(groupId, file, mimeType, filename, caption, cancellationToken)
            : _media.SendFileAsync(groupId, file, mimeType, filename, caption, cancellationToken);

    /// <summary>Fetches and decrypts the file of a message.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="message">A message with an imeta tag.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ClientException">The reference is not valid (mip04-v1 is refused), or the file cannot be had.</exception>
    public Task<(MediaReference Media, byte[] File)> GetFileAsync(string groupId, Rumor message, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedMedia.GetFileAsync(groupId, message, cancellationToken) : _media.GetFileAsync(groupId, message, cancellationToken);

    /// <summary>Gives the group a picture: encrypted, in Blossom, its keys in the group data (MIP-01). Admins only.</summary>
    public Task<IReadOnlyList<PublishedEvent>> SetImageAsync(string groupId, ReadOnlyMemory<byte> image, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedMedia.SetPictureAsync(groupId, image, cancellationToken) : _media.SetImageAsync(groupId, image, cancellationToken);

    /// <summary>Takes the picture away and asks the servers to delete it. Admins only.</summary>
    public Task<IReadOnlyList<PublishedEvent>> RemoveImageAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedMedia.RemovePictureAsync(groupId, cancellationToken) : _media.RemoveImageAsync(groupId, cancellationToken);

    /// <summary>The group's picture; null when it has none.</summary>
    public Task<byte[]?> GetImageAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedMedia.GetPictureAsync(groupId, cancellationToken) : _media.GetImageAsync(groupId, cancellationToken);

    /// <summary>Tells the group, encrypted to the server, how to ring this device (MIP-05, kind 447).</summary>
    public Task<SentMessage> RegisterPushAsync(string groupId, PushRegistration registration, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedPush.RegisterAsync(groupId, registration, cancellationToken)
            : _push.RegisterAsync(groupId, registration, cancellationToken);

    /// <summary>Takes this device's token back (kind 449).</summary>
    public Task<SentMessage> UnregisterPushAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedPush.UnregisterAsync(groupId, cancellationToken) : _push.UnregisterAsync(groupId, cancellationToken);

    /// <summary>The tokens of the other members, as the group's gossip has them.</summary>
    public IReadOnlyList<GossipToken> GetPushTokens(string groupId) =>
        _adopted.Has(groupId) ? _adoptedPush.Tokens(groupId) : _push.Tokens(groupId);

    /// <summary>
    /// Answers updates nobody has answered with what is known (kind 448). Only the member with the lowest leaf does, so that a large group does not answer in
    /// chorus.
    /// </summary>
    public Task<IReadOnlyList<SentMessage>> AnswerPushGossipAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? Task.FromResult<IReadOnlyList<SentMessage>>([])
            : _push.AnswerGossipAsync(groupId, cancellationToken); // entries of marmot-push-v1 are signed by their owners and need no answer

    /// <summary>Rings the other members' devices: one trigger a server and dialect, with decoys of other groups, after a random pause (MIP-05).</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="maxPause">Longest pause; null for two seconds.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public Task<IReadOnlyList<PublishedEvent>> NotifyAsync(string groupId, TimeSpan? maxPause = null, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId) ? _adoptedPush.NotifyAsync(groupId, cancellationToken) : _push.NotifyAsync(groupId, maxPause, cancellationToken);

    /// <summary>Sends encrypted tokens to a server as one trigger under throw-away keys. marmot-push-v1 triggers are padded with random blocks up to a power of
    /// two, to hide their number.</summary>
    /// <param name="server">The server's key.</param>
    /// <param name="dialect">The dialect all tokens are in.</param>
    /// <param name="tokens">The encrypted tokens; none is allowed for marmot-push-v1, where padding alone asks whether the server listens.</param>
    /// <param name="relayHint">Where to send it when the server has published no list of inbox relays.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public Task<PublishedEvent> TriggerAsync(Bytes32 server, TokenDialect dialect, IReadOnlyList<byte[]> tokens, string relayHint,
        CancellationToken cancellationToken = default) =>
        _push.TriggerAsync(server, dialect, tokens, relayHint, cancellationToken);

    /// <summary>What MIP-00 and MIP-02 ask of a client from time to time: renews keys in groups just joined, replaces used key packages, wipes retired ones,
    /// renews and answers push tokens.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> MaintainAsync(CancellationToken cancellationToken = default)
    {
        await ResumeAsync(cancellationToken);
        var published = new List<PublishedEvent>();
        foreach (var session in _sessions.All.Where(one => one.NeedsSelfUpdate || one.NeedsFreshKeys).ToList())
        {
            if (session.NeedsFreshKeys)
            {
                await SyncAsync(session.GroupId, cancellationToken: cancellationToken); // the commit belongs on the newest epoch
            }

            published.AddRange(await SelfUpdateAsync(session.GroupId, cancellationToken));
        }

        foreach (string id in _adopted.All.Where(group => group.NeedsSelfUpdate || group.NeedsFreshKeys).Select(group => group.GroupId).ToList())
        {
            await _adopted.SyncAsync(id, null, null, commitLeaves: false, cancellationToken);
            published.AddRange(await _adopted.SelfUpdateAsync(id, cancellationToken));
        }

        published.AddRange(await _keyPackages.RenewAsync(cancellationToken));
        published.AddRange(await _push.RenewAsync(cancellationToken));
        return published;
    }

    /// <summary>One event by its id, from the account's relays; null when none has it.</summary>
    public async Task<NostrEvent?> FetchEventAsync(Bytes32 id, CancellationToken cancellationToken = default)
    {
        var relays = RelayUrls.Distinct([.. _account.Settings.Relays, .. _account.Settings.KeyPackageRelays]);
        return (await _relays.FetchAsync(relays, new Filter { Ids = [id] }, asAccount: false, cancellationToken)).FirstOrDefault(evt => evt.Id == id);
    }

    /// <summary>Closes connections and wipes keys; the store stays open.</summary>
    public async ValueTask DisposeAsync()
    {
        await _relays.Network.DisposeAsync();
        _blossom.Dispose();
        _sessions.Dispose();
        _adopted.Dispose();
        _account.Dispose();
    }
}
