using Marmot.Client.Adopted;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client;

public sealed partial class MarmotClient
{
    /// <summary>Ends a group of the adopted profile for everybody: members are removed, what is left is a tombstone. Admins only; terminal.</summary>
    /// <exception cref="ClientException">The group is of the MIP profile, which has no such thing, or the account is no admin.</exception>
    public Task<IReadOnlyList<PublishedEvent>> DisbandAsync(string groupId, CancellationToken cancellationToken = default) =>
        _adopted.Has(groupId)
            ? _adopted.ChangeAsync(groupId, _ => new AdoptedChange { Disband = true }, cancellationToken)
            : throw new ClientException("a group of the MIP profile cannot be ended for everybody; remove its members");

    /// <summary>Sets after how many seconds messages are deleted by everybody; 0 turns it off. Admins only.</summary>
    public Task<IReadOnlyList<PublishedEvent>> SetRetentionAsync(string groupId, ulong seconds, CancellationToken cancellationToken = default) =>
        UpdateGroupAsync(groupId, new GroupChange { DisappearingSeconds = seconds }, cancellationToken);

    /// <summary>Sets the public picture of a group of the adopted profile; an empty URL takes it away. Admins only.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="url">https, in its normalised form.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<IReadOnlyList<PublishedEvent>> SetAvatarUrlAsync(string groupId, string url, CancellationToken cancellationToken = default)
    {
        if (!_adopted.Has(groupId))
        {
            throw new ClientException("only a group of the adopted profile has an avatar URL");
        }

        try
        {
            byte[] body = new AvatarUrl(url, string.Empty, string.Empty).ToBytes();
            return _adopted.ChangeAsync(groupId, _ => new AdoptedChange { Avatar = body }, cancellationToken);
        }
        catch (InvalidOperationException exception)
        {
            throw new ClientException(exception.Message, exception);
        }
    }

    /// <summary>
    /// Moves an account from the MIP profile to the adopted one: every key package it has on its relays is replaced in its slot, others are deleted. Its
    /// groups of the MIP profile go on as they are. From
    /// then on it can be invited by speakers of the adopted profile only.
    /// </summary>
    public async Task<IReadOnlyList<PublishedEvent>> MoveToAdoptedAsync(CancellationToken cancellationToken = default)
    {
        _account.Configure(_account.Settings with { Profile = MarmotProfile.Adopted });
        return [.. await PublishRelayListsAsync(cancellationToken), .. await _keyPackages.ReplaceAllAsync(cancellationToken)];
    }

    /// <summary>The newest valid key package of the adopted profile of an account, as its event, and its KeyPackageRef.</summary>
    /// <exception cref="ClientException">There is none; the message says why.</exception>
    public async Task<(NostrEvent Event, Bytes32 Reference)> RequireAdoptedKeyPackageAsync(Bytes32 owner, CancellationToken cancellationToken = default)
    {
        var (evt, package) = await _finder.RequireAdoptedAsync(owner, [], cancellationToken);
        return (evt, new Bytes32(package.Reference()));
    }

    /// <summary>Adds the owners of these kind 30443 events to a group of the adopted profile, in one commit.</summary>
    /// <exception cref="ClientException">One breaks a rule of the profile.</exception>
    public Task<IReadOnlyList<PublishedEvent>> InviteByEventsAsync(string groupId, IReadOnlyList<NostrEvent> keyPackages,
        CancellationToken cancellationToken = default)
    {
        var invitees = new List<AdoptedInvitee>();
        foreach (var evt in keyPackages)
        {
            invitees.Add(AdoptedKeyPackages.TryRead(evt, _account.Time.GetUtcNow(), out var package, out string fault)
                ? new AdoptedInvitee(evt.PublicKey, package.ToBytes(), evt.Id)
                : throw new ClientException($"the key package is refused: {fault}"));
        }

        return _adopted.ChangeAsync(groupId, group => group.Invitation(invitees), cancellationToken);
    }

    private AdoptedFounding FoundingOf(string name, string description, IReadOnlyList<string>? relays, IReadOnlyList<Bytes32>? admins)
    {
        var valid = RelayUrls.Distinct(relays ?? _account.Settings.Relays);
        return new AdoptedFounding
        {
            Name = name,
            Description = description,
            Relays = valid.Count > 0 ? valid : throw new ClientException("a group needs a relay, a ws:// or wss:// URL"),
            Admins = admins ?? [],
            MediaServers = [.. _account.Settings.BlossomServers.Select(AdoptedMedia.Normalized).OfType<string>().Distinct(StringComparer.Ordinal)],
        };
    }

    private async Task<IReadOnlyList<PublishedEvent>> InviteAdoptedAsync(string groupId, IReadOnlyList<Bytes32> accounts, CancellationToken cancellationToken)
    {
        var (relays, present) = _adopted.Read(groupId, group => (group.Relays, group.Describe().Members.ToHashSet()));
        var found = new List<AdoptedInvitee>();
        foreach (var account in accounts.Distinct().Where(account => !present.Contains(account)))
        {
            var (evt, package) = await _finder.RequireAdoptedAsync(account, relays, cancellationToken);
            found.Add(new AdoptedInvitee(account, package.ToBytes(), evt.Id));
        }

        var published = new List<PublishedEvent>();
        foreach (var part in found.Chunk(InviteBatch))
        {
            published.AddRange(await _adopted.ChangeAsync(groupId, group => group.Invitation(part), cancellationToken));
        }

        return published;
    }

    private Task<IReadOnlyList<PublishedEvent>> RemoveAdoptedAsync(string groupId, Bytes32 account, CancellationToken cancellationToken) =>
        _adopted.ChangeAsync(
            groupId,
            group => group.LeavesOf(account).Count > 0 ? new AdoptedChange { Remove = [account] } : throw new ClientException($"{account} is not a member"),
            cancellationToken);

    private async Task<IReadOnlyList<PublishedEvent>> LeaveAdoptedAsync(string groupId, CancellationToken cancellationToken)
    {
        await _adoptedPush.ForgetAsync(groupId, cancellationToken);
        return await _adopted.LeaveAsync(groupId, cancellationToken);
    }

    private async Task<SentMessage> SendAdoptedAsync(string groupId, string content, int kind, IReadOnlyList<string[]>? tags,
        CancellationToken cancellationToken) =>
        (await _adopted.SendAsync(groupId, _ => Rumor.Create(_account.PublicKey, kind, tags ?? [], content, _account.Now), cancellationToken))!;
}
