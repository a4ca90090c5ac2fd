using System.Security.Cryptography;
using Marmot.Client.Groups;
using Marmot.Client.KeyPackages;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client;

/// <summary>What shall change about a group; null leaves a field as it is.</summary>
public sealed record GroupChange
{
    /// <summary>The name.</summary>
    public string? Name { get; init; }

    /// <summary>The description.</summary>
    public string? Description { get; init; }

    /// <summary>The whole new list of admins.</summary>
    public IReadOnlyList<Bytes32>? Admins { get; init; }

    /// <summary>The whole new list of relays.</summary>
    public IReadOnlyList<string>? Relays { get; init; }

    /// <summary>A new public routing id.</summary>
    public Bytes32? NostrGroupId { get; init; }

    /// <summary>Seconds after which messages disappear; 0 turns it off. Deployed clients cannot read a group that has it.</summary>
    public ulong? DisappearingSeconds { get; init; }
}

/// <summary>A message that was sent.</summary>
/// <param name="Rumor">The inner event.</param>
/// <param name="Published">The group event; when no relay answered it waits in the outbox.</param>
public sealed record SentMessage(Rumor Rumor, PublishedEvent Published);

public sealed partial class MarmotClient
{
    /// <summary>Members added by one commit: above about 80 a Welcome no longer passes through deployed clients.</summary>
    public const int InviteBatch = 50;

    private const int LookedUpAtOnce = 16;

    /// <summary>Own messages run this many seconds ahead of the clock at most; then sending waits.</summary>
    private const int MaxSecondsAhead = 240;

    /// <summary>MLS group ids of all groups, active ones first.</summary>
    public IReadOnlyList<string> GroupIds => [.. _sessions.Values.OrderByDescending(one => one.IsActive).ThenBy(one => one.JoinedAt).Select(one => one.GroupId)];

    /// <summary>The group as it is here; ask relays with <see cref="SyncAsync"/> first.</summary>
    public GroupState GetState(string groupId) => Read(groupId, session => session.State());

    /// <summary>How many messages a group has here, own ones too.</summary>
    public int CountMessages(string groupId) => Read(groupId, session => session.MessageCount);

    /// <summary>Messages in arrival order, own ones too. Old ones are read from disk: ask for a part of a long history, not for all of it.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="skip">How many of the oldest to leave out.</param>
    /// <param name="take">How many at most.</param>
    public IReadOnlyList<GroupMessage> GetMessages(string groupId, int skip = 0, int take = int.MaxValue) => Read(groupId, session => session.Messages(skip, take));

    /// <summary>The message with this inner event.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="id">The inner event's id, hex, or the start of it, four digits at least.</param>
    /// <exception cref="ClientException">There is none, or more than one begins so.</exception>
    public GroupMessage GetMessage(string groupId, string id)
    {
        var found = id.Length < 4 ? [] : Read(groupId, session => session.FindMessages(id).Take(2).ToList());
        return found.Count == 1 ? found[0] : throw new ClientException(found.Count == 0 ? $"no message {id}" : $"more than one message begins with {id}");
    }

    /// <summary>Makes a group of one; nothing is published (MIP-01).</summary>
    /// <param name="name">The name.</param>
    /// <param name="description">The description.</param>
    /// <param name="relays">The group's relays; null for the account's.</param>
    /// <param name="admins">Further admins; they count once they are members.</param>
    /// <param name="cancellationToken">Ends the wait for other steps.</param>
    public async Task<GroupState> CreateGroupAsync(string name, string description, IReadOnlyList<string>? relays = null, IReadOnlyList<Bytes32>? admins = null, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var valid = RelayUrls.Distinct(relays ?? Settings.Relays);
        if (valid.Count == 0)
        {
            throw new ClientException("a group needs a relay, a ws:// or wss:// URL");
        }

        var data = new GroupData
        {
            NostrGroupId = new Bytes32(RandomNumberGenerator.GetBytes(Bytes32.Size)),
            Name = name,
            Description = description,
            Admins = [PublicKey, .. admins ?? []],
            Relays = valid,
        };
        var batch = new StoreBatch();
        var session = GroupSession.Create(_store, _time, PublicKey, data, requireSelfRemove: true, batch);
        _store.Commit(batch);
        _sessions[session.GroupId] = session;
        return session.State();
    }

    /// <summary>Adds accounts by their published key packages, <see cref="InviteBatch"/> a commit; each Welcome leaves after a relay took its commit.</summary>
    /// <returns>What was published; empty when all of them are members by these key packages already, as after an invitation that was cut off and is repeated.</returns>
    /// <exception cref="ClientException">An account has no usable key package (then nobody is added), or no relay took a commit.</exception>
    public async Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<Bytes32> accounts, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<string> relays;
        HashSet<string> members;
        using (await EnterAsync(cancellationToken))
        {
            var session = AdminSession(groupId);
            relays = session.Relays;
            members = [.. session.Mls.Members.Select(member => Convert.ToHexString(member.Leaf.SignatureKey))];
        }

        var found = new List<KeyPackageEvent>();
        foreach (var part in accounts.Distinct().Chunk(LookedUpAtOnce))
        {
            var packages = await Task.WhenAll(part.Select(account => RequireKeyPackageAsync(account, relays, cancellationToken)));
            found.AddRange(packages.Where(package => !members.Contains(Convert.ToHexString(package.KeyPackage.Leaf.SignatureKey))));
        }

        var published = new List<PublishedEvent>();
        foreach (var part in found.Chunk(InviteBatch))
        {
            published.AddRange(await InviteAsync(groupId, part, cancellationToken));
        }

        return published;
    }

    /// <summary>Adds the owners of these key packages in one commit.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<KeyPackageEvent> keyPackages, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var session = AdminSession(groupId);
        var proposals = new List<Proposal>(keyPackages.Select(package => new AddProposal(package.KeyPackage)));

        // One member who cannot self_remove takes the demand away for good, as MDK has it.
        if (session.RequiresSelfRemove && keyPackages.Any(package => !package.SupportsSelfRemove))
        {
            proposals.Insert(0, new GroupContextExtensionsProposal(MipGroup.WithoutRequiredSelfRemove(session.Mls.Extensions)));
        }

        // No removals beside additions: an early peer mixes up the path of such a commit.
        var request = new CommitRequest { Proposals = proposals, IncludePending = (_, _) => false, Now = _time.GetUtcNow() };
        return await CommitAsync(session, request, [.. keyPackages.Select(package => new Invitee(package.Owner, package.Event.Id))], cancellationToken);
    }

    /// <summary>Renews the own keys (MIP-02: within a day of joining; later from time to time).</summary>
    public async Task<IReadOnlyList<PublishedEvent>> SelfUpdateAsync(string groupId, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var session = Session(groupId);
        return await CommitAsync(session, new CommitRequest { ForcePath = true, IncludePending = Leaves(session) }, [], cancellationToken);
    }

    /// <summary>Changes name, description, admins, relays, routing id or timer; admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> UpdateGroupAsync(string groupId, GroupChange change, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var session = AdminSession(groupId);
        var data = Writable(session);
        var relays = change.Relays is null ? null : RelayUrls.Distinct(change.Relays);
        if (relays is { Count: 0 })
        {
            throw new ClientException("a group needs a relay, a ws:// or wss:// URL");
        }

        data = data with
        {
            Name = change.Name ?? data.Name,
            Description = change.Description ?? data.Description,
            Admins = change.Admins ?? data.Admins,
            Relays = relays ?? data.Relays,
            NostrGroupId = change.NostrGroupId ?? data.NostrGroupId,
            DisappearingSeconds = change.DisappearingSeconds is { } seconds ? (seconds == 0 ? null : seconds) : data.DisappearingSeconds,
        };
        return await ChangeDataAsync(session, data, [], cancellationToken);
    }

    /// <summary>Removes every leaf of an account and its admin right in the same commit; admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> RemoveAsync(string groupId, Bytes32 account, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var session = AdminSession(groupId);
        if (account == PublicKey)
        {
            throw new ClientException("nobody removes himself; step down, then leave");
        }

        var leaves = session.LeavesOf(account);
        if (leaves.Count == 0)
        {
            throw new ClientException($"{account} is not a member");
        }

        var removals = leaves.Select(leaf => (Proposal)new RemoveProposal((uint)leaf)).ToList();
        if (!session.Data.Admins.Contains(account))
        {
            return await CommitAsync(session, new CommitRequest { Proposals = removals, IncludePending = Leaves(session, leaves) }, [], cancellationToken);
        }

        var data = Writable(session);
        return await ChangeDataAsync(session, data with { Admins = [.. data.Admins.Where(admin => admin != account)] }, removals, cancellationToken, leaves);
    }

    /// <summary>Asks to be taken out: a proposal that any member (self_remove) or an admin commits. An admin steps down first.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> LeaveAsync(string groupId, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var session = Session(groupId);
        var evt = session.CreateLeave();
        var published = await PublishAsync(evt, session.Relays, cancellationToken);
        SettleOutbox(published);
        return [published];
    }

    /// <summary>Commits the proposals that wait, as far as this client may: members who leave; an admin also what others propose.</summary>
    /// <returns>Empty when nothing waits.</returns>
    public async Task<IReadOnlyList<PublishedEvent>> CommitPendingAsync(string groupId, CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        return await CommitPendingInsideAsync(Session(groupId), cancellationToken);
    }

    /// <summary>Sends a message to a group.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="content">The text.</param>
    /// <param name="kind">Kind of the inner event; 9 is chat, 7 a reaction.</param>
    /// <param name="tags">Tags of the inner event.</param>
    /// <param name="cancellationToken">Ends the wait for relays; the message stays in the outbox.</param>
    /// <exception cref="ClientException">Every relay refused it.</exception>
    public async Task<SentMessage> SendAsync(string groupId, string content, int kind = MarmotNumbers.ChatKind, IReadOnlyList<string[]>? tags = null, CancellationToken cancellationToken = default)
    {
        return (await SendInEpochAsync(groupId, content, tags ?? [], null, cancellationToken, kind))!;
    }

    /// <summary>Reacts to a message.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="message">The inner event reacted to.</param>
    /// <param name="emoji">The reaction, such as + or an emoji.</param>
    /// <param name="cancellationToken">Ends the wait for relays.</param>
    public Task<SentMessage> ReactAsync(string groupId, Rumor message, string emoji, CancellationToken cancellationToken = default) =>
        SendAsync(groupId, emoji, MarmotNumbers.ReactionKind, [["e", message.Id.ToString()], ["p", message.PublicKey.ToString()]], cancellationToken);

    // Null when the epoch is another one than wanted.
    private async Task<SentMessage?> SendInEpochAsync(
        string groupId, string content, IReadOnlyList<string[]> tags, ulong? epoch, CancellationToken cancellationToken, int kind = MarmotNumbers.ChatKind)
    {
        NostrEvent evt;
        Rumor rumor;
        IReadOnlyList<string> relays;
        using (await EnterAsync(cancellationToken))
        {
            var session = Session(groupId);
            if (epoch is { } wanted && session.Epoch != wanted)
            {
                return null;
            }

            while (session.SecondsAhead > MaxSecondsAhead)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _time, cancellationToken);
            }

            rumor = Rumor.Create(PublicKey, kind, tags, content, Now);
            (evt, _) = session.CreateMessage(rumor);
            relays = session.Relays;
        }

        // Outside the gate: many messages may be under way at once, and share a flush.
        await _store.FlushAsync(CancellationToken.None);
        var published = await PublishAsync(evt, relays, cancellationToken);
        SettleOutbox(published);
        return published.IsRefused && relays.Count > 0 ? throw new ClientException($"no relay took the message: {published.Reasons}") : new SentMessage(rumor, published);
    }

    private T Read<T>(string groupId, Func<GroupSession, T> read)
    {
        _gate.Wait();
        try
        {
            return read(Session(groupId));
        }
        finally
        {
            _gate.Release();
        }
    }

    private GroupSession AdminSession(string groupId)
    {
        var session = Session(groupId);
        return !session.IsActive ? throw new ClientException("you are no longer a member of this group")
            : session.IsAdmin ? session
            : throw new ClientException("only an admin can do this");
    }

    private static GroupData Writable(GroupSession session) =>
        session.Data is { IsFuture: false } data ? data : throw new ClientException("this group's data is of a later version and must not be rewritten");

    private async Task<IReadOnlyList<PublishedEvent>> CommitPendingInsideAsync(GroupSession session, CancellationToken cancellationToken)
    {
        var wanted = session.IsActive ? session.CommittableProposals() : [];
        return wanted.Count == 0 ? [] : await CommitAsync(session, new CommitRequest { IncludePending = (sender, proposal) => wanted.Contains((sender, proposal)) }, [], cancellationToken);
    }

    private Task<IReadOnlyList<PublishedEvent>> ChangeDataAsync(
        GroupSession session, GroupData data, IReadOnlyList<Proposal> others, CancellationToken cancellationToken, IReadOnlyList<int>? removed = null)
    {
        var change = new GroupContextExtensionsProposal(MipGroup.WithData(session.Mls.Extensions, data));
        return CommitAsync(session, new CommitRequest { Proposals = [change, .. others], IncludePending = Leaves(session, removed) }, [], cancellationToken);
    }

    // An admin's commit takes along those who leave; anybody else's own commit must not be mixed with that.
    private static Func<Sender, Proposal, bool> Leaves(GroupSession session, IReadOnlyList<int>? removed = null)
    {
        if (!session.IsActive || !session.IsAdmin)
        {
            return (_, _) => false;
        }

        var leaves = session.CommittableProposals().Where(one => CommitPolicy.IsLeave(one.Proposal, one.Sender) && removed?.Contains((int)one.Sender.Index) != true).ToList();
        return (sender, proposal) => leaves.Contains((sender, proposal));
    }

    /// <summary>Publish, wait for the OK, merge, then the Welcomes (MIP-03). An answer that stays away settles nothing: the next sync does.</summary>
    private async Task<IReadOnlyList<PublishedEvent>> CommitAsync(GroupSession session, CommitRequest request, IReadOnlyList<Invitee> invitees, CancellationToken cancellationToken)
    {
        var evt = session.StageCommit(request, invitees);
        var published = await PublishAsync(evt, session.Relays, cancellationToken);
        if (published.Acked)
        {
            session.ConfirmCommit(OweWelcomes(session));
            return [published, .. await FlushOutboxAsync(entry => entry.Recipient is not null && entry.GroupId == session.GroupId, cancellationToken)];
        }

        if (published.IsRefused)
        {
            session.AbandonCommit();
            throw new ClientException($"no relay took the commit: {published.Reasons}");
        }

        throw new ClientException($"no relay has answered; the commit waits and the next sync settles it: {published.Reasons}");
    }
}
