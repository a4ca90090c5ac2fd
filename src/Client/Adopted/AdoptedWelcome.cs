using System.Diagnostics.CodeAnalysis;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>Welcomes of the adopted profile: made, and checked as a whole before anything changes.</summary>
internal static class AdoptedWelcome
{
    /// <summary>Most relays named in a Welcome.</summary>
    private const int MaxRelays = 16;

    /// <summary>Longest relay URL in bytes.</summary>
    private const int MaxUrlBytes = 512;

    /// <summary>The rumor of kind 444: exactly an e and a relays tag.</summary>
    public static Rumor CreateRumor(in Bytes32 account, in Bytes32 keyPackageEventId, IEnumerable<string> relays, byte[] welcome, long now) =>
        Rumor.Create(account, MarmotNumbers.WelcomeKind, [["e", keyPackageEventId.ToString()], ["relays", .. relays]], Convert.ToBase64String(welcome), now);

    /// <summary>True when a Welcome rumor has the form of the profile; false with the rule it breaks.</summary>
    public static bool TryRead(Rumor rumor, [NotNullWhen(true)] out MlsMessage? welcome, out string fault)
    {
        welcome = null;
        fault = "the Welcome has other tags than one e and one relays";
        if (rumor.Tags.Count != 2
            || rumor.Tags.Count(tag => tag is ["e", var id] && Bytes32.TryParseHex(id, out _)) != 1
            || rumor.Tags.Count(tag =>
                tag is ["relays", ..] && tag.Length is > 1 and <= MaxRelays + 1
                && tag.Skip(1).All(url => System.Text.Encoding.UTF8.GetByteCount(url) <= MaxUrlBytes)) != 1)
        {
            return false;
        }

        byte[] content = new byte[rumor.Content.Length];
        if (!Convert.TryFromBase64String(rumor.Content, content, out int length) || Convert.ToBase64String(content, 0, length) != rumor.Content)
        {
            fault = "the Welcome is not base64";
            return false;
        }

        if (!MlsMessage.TryRead(content.AsSpan(0, length), out welcome, out var error) || welcome!.WireFormat != WireFormat.Welcome)
        {
            (welcome, fault) = (null, $"not an MLS Welcome ({error})");
            return false;
        }

        fault = string.Empty;
        return true;
    }

    /// <summary>
    /// Opens a Welcome and checks everything a joiner must: MLS, every leaf's account, what the group requires and has, that this client knows and supports
    /// it, that the signer is an admin and the author
    /// of the seal, that every admin has a leaf, that the group lives.
    /// </summary>
    /// <param name="welcome">The Welcome.</param>
    /// <param name="own">The own key package it is for.</param>
    /// <param name="author">The author of the seal.</param>
    /// <param name="group">The group; nothing is stored.</param>
    /// <param name="refusal">The rule that was broken.</param>
    /// <param name="isForAnother">True when it is for another key package: nothing is wrong with it.</param>
    public static bool TryJoin(MlsMessage welcome, KeyPackageSecrets own, in Bytes32 author, [NotNullWhen(true)] out MlsGroup? group, out string refusal,
        out bool isForAnother)
    {
        var rule = new AdoptedLeafRule();
        refusal = string.Empty;
        isForAnother = false;
        if (!MlsGroup.TryJoin(welcome, own, new JoinRequest { Rules = rule.Rules }, out group, out var error) || group is null)
        {
            isForAnother = error == MlsError.NotForThisKeyPackage;
            refusal = rule.Fault ?? $"the Welcome is not valid: {error}";
            return false;
        }

        if (Fault(group, author) is { } fault)
        {
            group.Dispose();
            (group, refusal) = (null, fault);
            return false;
        }

        return true;
    }

    private static string? Fault(MlsGroup group, in Bytes32 author)
    {
        if (!AdoptedState.TryRead(group.Extensions, out var state, out string fault))
        {
            return fault;
        }

        if (state.Required.Components.FirstOrDefault(id => !AdoptedLeaf.Components.Contains(id)) is var unknown and not 0)
        {
            return $"the group requires component 0x{unknown:x4}, which this client does not know";
        }

        if (state.Routing is null)
        {
            return "the group has no routing";
        }

        if (state.Lifecycle is { IsDisbanded: true })
        {
            return "the group was ended";
        }

        var members = group.Members;
        foreach (var member in members)
        {
            if (AdoptedLeaf.Missing(member.Leaf, state) is { Length: > 0 } missing)
            {
                return $"a leaf lacks what the group requires: {missing}";
            }
        }

        if (group.WelcomeSigner is not { } signer || group.Leaf(signer) is not { } leaf || !state.Admins.Contains(AdoptedLeaf.AccountOf(leaf)))
        {
            return "the Welcome was not made by an admin of the group";
        }

        if (AdoptedLeaf.AccountOf(leaf) != author)
        {
            return "the Welcome was sealed by somebody else than the admin who made it";
        }

        var accounts = members.Select(member => AdoptedLeaf.AccountOf(member.Leaf)).ToHashSet();
        return state.Admins.Admins.All(accounts.Contains) ? null : "an admin of the group has no leaf";
    }
}
