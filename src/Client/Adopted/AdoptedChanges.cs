using System.Security.Cryptography;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>What a new group of the profile begins with.</summary>
internal sealed record AdoptedFounding
{
    public required string Name { get; init; }
    public string Description { get; init; } = string.Empty;
    public required IReadOnlyList<string> Relays { get; init; }

    /// <summary>Accounts that shall be admins beside the creator; each must be invited.</summary>
    public IReadOnlyList<Bytes32> Admins { get; init; } = [];

    /// <summary>Normalised base URLs of Blossom servers; none leaves out the media policy.</summary>
    public IReadOnlyList<string> MediaServers { get; init; } = [];

    public ulong RetentionSeconds { get; init; }
}

internal sealed partial class AdoptedGroup
{
    /// <summary>
    /// The first epoch of a new group, which exists at its creator only. Its first commit adds all who are invited and is not published, since nobody could
    /// use it.
    /// </summary>
    public static MlsGroup Found(SecretKey account, AdoptedFounding founding, DateTimeOffset now)
    {
        SortedSet<ushort> required =
            [ComponentType.Profile, ComponentType.AdminPolicy, ComponentType.NostrRouting, ComponentType.AccountIdentityProof, ComponentType.Lifecycle];
        var dictionary = AppDataDictionary.Empty
            .With(ComponentType.Profile, ProfileOf(founding.Name, founding.Description))
            .With(ComponentType.AdminPolicy, AdminPolicy.Of([account.PublicKey]).ToBytes())
            .With(ComponentType.NostrRouting, RoutingOf(new Bytes32(RandomNumberGenerator.GetBytes(Bytes32.Size)), founding.Relays))
            .With(ComponentType.Lifecycle, GroupLifecycle.Active.ToBytes());
        if (founding.MediaServers.Count > 0)
        {
            required.Add(ComponentType.MediaPolicy);
            dictionary = dictionary.With(ComponentType.MediaPolicy, MediaPolicy.OfBlossom(founding.MediaServers).ToBytes());
        }

        if (founding.RetentionSeconds > 0)
        {
            required.Add(ComponentType.MessageRetention);
            dictionary = dictionary.With(ComponentType.MessageRetention, new MessageRetention(founding.RetentionSeconds).ToBytes());
        }

        dictionary = dictionary.With(ComponentId.AppComponents, ComponentsList.Of(required).ToBytes());
        using var leaf = AdoptedLeaf.Create(account, now);
        return MlsGroup.Create(RandomNumberGenerator.GetBytes(16), leaf, AdoptedState.FirstExtensions(dictionary), new AdoptedLeafRule().Rules);
    }

    /// <summary>The change that adds these, and makes admins of those the group was made for.</summary>
    public AdoptedChange Invitation(IReadOnlyList<AdoptedInvitee> invitees)
    {
        var present = Describe().Members.Concat(invitees.Select(invitee => invitee.Account)).ToHashSet();
        var admins = State.Admins.Admins.ToHashSet();
        admins.UnionWith(_record.WantedAdmins.Where(present.Contains));
        return new AdoptedChange { Add = [.. invitees], Admins = admins.Count > State.Admins.Admins.Count ? [.. admins] : null };
    }

    /// <summary>Why a key package cannot be added to this group; null when it can. Names what it lacks.</summary>
    public string? CannotAdd(KeyPackage package) =>
        AdoptedKeyPackages.Fault(package, _time.GetUtcNow()) ?? (AdoptedLeaf.Missing(package.Leaf, State) is { Length: > 0 } missing ? $"it lacks {missing}"
        : null);

    /// <summary>The proposals that make the group what is wanted; empty when it is so already.</summary>
    private List<Proposal> Proposals(AdoptedChange change)
    {
        var (state, mls) = (State, Mls);
        var proposals = new List<Proposal>();
        var members = mls.Members;
        var admins = state.Admins.Admins.ToHashSet();
        if (change.Disband)
        {
            return
            [
                new AppDataUpdateProposal(ComponentType.Lifecycle, GroupLifecycle.Disbanded.ToBytes()),
                new AppDataUpdateProposal(ComponentType.AdminPolicy, AdminPolicy.Of([_account]).ToBytes()),
                .. members.Where(member => member.Index != mls.OwnLeaf).Select(member => new RemoveProposal((uint)member.Index)),
            ];
        }

        // 1. Members. Who is one already, by this key package or another, is not added again.
        var present = members.Select(member => AdoptedLeaf.AccountOf(member.Leaf)).ToHashSet();
        foreach (var invitee in change.Add.Where(invitee => !present.Contains(invitee.Account)))
        {
            if (!KeyPackage.TryRead(invitee.KeyPackage, out var package, out _) || CannotAdd(package!) is not null)
            {
                throw new ClientException($"{invitee.Account} cannot be added: {(package is null ? "the key package cannot be read" : CannotAdd(package))}");
            }

            proposals.Add(new AddProposal(package!));
            present.Add(invitee.Account);
        }

        foreach (var account in change.Remove.Where(present.Contains))
        {
            if (account == _account)
            {
                throw new ClientException("nobody removes himself; step down, then leave");
            }

            proposals.AddRange(members.Where(member => AdoptedLeaf.AccountOf(member.Leaf) == account).Select(member => new RemoveProposal((uint)member.Index)));
            admins.Remove(account);
            present.Remove(account);
        }

        // 2. Components: each in full, and only those that change.
        if (change.Admins is { } wanted)
        {
            if (wanted.Find(admin => !present.Contains(admin)) is var stranger && wanted.Exists(admin => !present.Contains(admin)))
            {
                throw new ClientException($"{stranger} is not a member and cannot be an admin");
            }

            admins = [.. wanted];
        }

        if (admins.Count == 0)
        {
            throw new ClientException("a group keeps at least one admin");
        }

        Change(ComponentType.AdminPolicy, AdminPolicy.Of(admins).ToBytes());
        if (change.Name is not null || change.Description is not null)
        {
            Change(ComponentType.Profile, ProfileOf(change.Name ?? state.Profile.Name, change.Description ?? state.Profile.Description));
        }

        if (change.Relays is not null || change.NostrGroupId is not null)
        {
            var routing = state.Routing ?? throw new ClientException("the group has no routing");
            Change(ComponentType.NostrRouting, RoutingOf(change.NostrGroupId ?? routing.NostrGroupId, change.Relays ?? [.. routing.Relays]));
        }

        if (change.RetentionSeconds is { } seconds && (seconds > 0 || state.Dictionary.Contains(ComponentType.MessageRetention)))
        {
            Change(ComponentType.MessageRetention, new MessageRetention(seconds).ToBytes());
        }

        if (change.Avatar is { } avatar)
        {
            Change(ComponentType.AvatarUrl, avatar);
        }

        if (change.Picture is { } picture)
        {
            Change(ComponentType.Picture, picture);
        }

        return proposals;

        void Change(ushort component, byte[] body)
        {
            if (state.Dictionary[component] is not { } before || !before.AsSpan().SequenceEqual(body))
            {
                proposals.Add(new AppDataUpdateProposal(component, body));
            }
        }
    }

    private static byte[] ProfileOf(string name, string description)
    {
        Groups.SenderLimits.CheckGroup(name, description);
        return new GroupProfile(name, description).ToBytes();
    }

    private static byte[] RoutingOf(in Bytes32 id, IEnumerable<string> relays)
    {
        try
        {
            return NostrRouting.Of(id, relays).ToBytes();
        }
        catch (ArgumentException exception)
        {
            throw new ClientException($"the group's relays are {exception.Message}", exception);
        }
    }
}
