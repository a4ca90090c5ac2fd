using System.Security.Cryptography;
using Marmot.Client.Accounts;
using Marmot.Client.KeyPackages;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Client.Storage;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>What members do to a group: make, invite, update, remove, leave. Each step is one commit or proposal.</summary>
internal sealed class GroupChanges
{
    private const int LookedUpAtOnce = 16;

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;
    private readonly CommitPublisher _commits;
    private readonly KeyPackageFinder _finder;
    private readonly KeyRenewal _renewal;

    public GroupChanges(Account account, GroupSessions sessions, RelayRequests relays, Outbox outbox, CommitPublisher commits, KeyPackageFinder finder,
        KeyRenewal renewal)
        => (_account, _sessions, _relays, _outbox, _commits, _finder, _renewal) = (account, sessions, relays, outbox, commits, finder, renewal);

    /// <summary>Makes a group of one; nothing is published (MIP-01).</summary>
    public async Task<GroupState> CreateGroupAsync(string name, string description, IReadOnlyList<string>? relays = null, IReadOnlyList<Bytes32>? admins = null,
        CancellationToken cancellationToken = default)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var valid = RelayUrls.Distinct(relays ?? _account.Settings.Relays);
        if (valid.Count == 0)
        {
            throw new ClientException("a group needs a relay, a ws:// or wss:// URL");
        }

        SenderLimits.CheckGroup(name, description);
        var data = new GroupData
        {
            NostrGroupId = new Bytes32(RandomNumberGenerator.GetBytes(Bytes32.Size)),
            Name = name,
            Description = description,
            Admins = [_account.PublicKey, .. admins ?? []],
            Relays = valid,
        };
        var batch = new StoreBatch();
        var session = GroupSession.Create(_account.Store, _account.Time, _account.PublicKey, data, requireSelfRemove: true, batch);
        _account.Store.Commit(batch);
        _sessions.Put(session);
        return session.State();
    }

    /// <summary>Adds accounts by their published key packages, <see cref="MarmotClient.InviteBatch"/> a commit; each Welcome leaves after a relay took its
    /// commit.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<Bytes32> accounts, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<string> relays;
        HashSet<string> members;
        using (await _sessions.EnterAsync(cancellationToken))
        {
            var session = _sessions.RequireAdmin(groupId);
            relays = session.Relays;
            members = [.. session.Mls.Members.Select(member => Convert.ToHexString(member.Leaf.SignatureKey))];
        }

        var found = new List<KeyPackageEvent>();
        foreach (var part in accounts.Distinct().Chunk(LookedUpAtOnce))
        {
            var packages = await Task.WhenAll(part.Select(account => _finder.RequireAsync(account, relays, cancellationToken)));
            found.AddRange(packages.Where(package => !members.Contains(Convert.ToHexString(package.KeyPackage.Leaf.SignatureKey))));
        }

        var published = new List<PublishedEvent>();
        foreach (var part in found.Chunk(MarmotClient.InviteBatch))
        {
            published.AddRange(await InviteAsync(groupId, part, cancellationToken));
        }

        return published;
    }

    /// <summary>Adds the owners of these key packages in one commit.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> InviteAsync(string groupId, IReadOnlyList<KeyPackageEvent> keyPackages,
        CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.RequireAdmin(groupId);
        var proposals = new List<Proposal>(keyPackages.Select(package => new AddProposal(package.KeyPackage)));

        // One member who cannot self_remove takes the demand away for good, as MDK has it.
        if (session.RequiresSelfRemove && keyPackages.Any(package => !package.SupportsSelfRemove))
        {
            proposals.Insert(0, new GroupContextExtensionsProposal(MipGroup.WithoutRequiredSelfRemove(session.Mls.Extensions)));
        }

        // No removals beside additions: an early peer mixes up the path of such a commit.
        var request = new CommitRequest { Proposals = proposals, IncludePending = (_, _) => false, Now = _account.Time.GetUtcNow() };
        return await _commits.CommitAsync(session, request, [.. keyPackages.Select(package => new Invitee(package.Owner, package.Event.Id))],
            cancellationToken);
    }

    /// <summary>Renews the own keys (MIP-02: within a day of joining; later from time to time).</summary>
    public async Task<IReadOnlyList<PublishedEvent>> SelfUpdateAsync(string groupId, CancellationToken cancellationToken = default)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.Require(groupId);
        return await _commits.CommitAsync(session, CommitPublisher.WithLeaves(session, new CommitRequest { ForcePath = true }), [], cancellationToken);
    }

    /// <summary>Changes name, description, admins, relays, routing id or timer; admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> UpdateGroupAsync(string groupId, GroupChange change, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.RequireAdmin(groupId);
        var data = CommitPublisher.Writable(session);
        var relays = change.Relays is null ? null : RelayUrls.Distinct(change.Relays);
        if (relays is { Count: 0 })
        {
            throw new ClientException("a group needs a relay, a ws:// or wss:// URL");
        }

        SenderLimits.CheckGroup(change.Name ?? string.Empty, change.Description ?? string.Empty);
        data = data with
        {
            Name = change.Name ?? data.Name,
            Description = change.Description ?? data.Description,
            Admins = change.Admins ?? data.Admins,
            Relays = relays ?? data.Relays,
            NostrGroupId = change.NostrGroupId ?? data.NostrGroupId,
            DisappearingSeconds = change.DisappearingSeconds is { } seconds ? (seconds == 0 ? null : seconds) : data.DisappearingSeconds,
        };
        return await _commits.ChangeDataAsync(session, data, [], cancellationToken);
    }

    /// <summary>Removes every leaf of an account and its admin right in the same commit; admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> RemoveAsync(string groupId, Bytes32 account, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.RequireAdmin(groupId);
        if (account == _account.PublicKey)
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
            return await _commits.CommitAsync(session, CommitPublisher.WithLeaves(session, new CommitRequest { Proposals = removals }, leaves), [],
                cancellationToken);
        }

        var data = CommitPublisher.Writable(session);
        return await _commits.ChangeDataAsync(session, data with { Admins = [.. data.Admins.Where(admin => admin != account)] }, removals,
            cancellationToken, leaves);
    }

    /// <summary>Asks to be taken out: a proposal that any member (self_remove) or an admin commits. An admin steps down first.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> LeaveAsync(string groupId, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.Require(groupId);
        var evt = session.CreateLeave();
        var published = await _relays.PublishAsync(evt, session.Relays, cancellationToken);
        _outbox.TakeReplies(published);
        return [published];
    }

    /// <summary>Commits the proposals that wait, as far as this client may: members who leave; an admin also what others propose.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> CommitPendingAsync(string groupId, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        return await _commits.CommitPendingAsync(_sessions.Require(groupId), cancellationToken);
    }
}
