using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Adopted;

/// <summary>
/// Who may propose and commit what in a group of the adopted profile, decided from the state a commit is made in and nothing else. Nearly all of it is valid
/// MLS that only the profile forbids;
/// docs/conformance/adopted-groups.md has each rule with its test.
/// </summary>
internal static class AdoptedPolicy
{
    /// <summary>True when a commit needs admin rights: everything but renewing the own keys and taking out those who leave, whoever commits.</summary>
    public static bool IsPrivileged(StagedCommit commit) => commit.Proposals.Count > 0 && !IsLeavesOnly(commit);

    /// <summary>Null when a proposal may wait for a commit, else the rule it breaks.</summary>
    /// <param name="state">The state it was made in.</param>
    /// <param name="members">The members of that state.</param>
    /// <param name="sender">Who proposes.</param>
    /// <param name="proposal">What.</param>
    public static string? Refusal(AdoptedState state, IReadOnlyList<Member> members, Sender sender, Proposal proposal)
    {
        if (sender.Type != SenderType.Member || members.FirstOrDefault(member => member.Index == (int)sender.Index) is not { } author)
        {
            return "a proposal from outside";
        }

        bool isAdmin = state.Admins.Contains(AdoptedLeaf.AccountOf(author.Leaf));
        return proposal switch
        {
            SelfRemoveProposal => isAdmin ? "an admin leaves without stepping down" : null,
            AppDataUpdateProposal { ComponentId: ComponentType.Lifecycle } => "the lifecycle is changed by a commit alone",
            AddProposal or RemoveProposal or UpdateProposal or GroupContextExtensionsProposal or AppDataUpdateProposal =>
                isAdmin ? null : "a proposal that needs admin rights",
            _ => "a proposal the profile does not have",
        };
    }

    /// <summary>Null when a commit may be followed, else the rule it breaks.</summary>
    /// <param name="state">The state it was made in.</param>
    /// <param name="members">The members of that state.</param>
    /// <param name="commit">The commit, which MLS has found valid.</param>
    public static string? Refusal(AdoptedState state, IReadOnlyList<Member> members, StagedCommit commit)
    {
        // 1. Who commits.
        if (commit.Sender.Type != SenderType.Member || commit.CommitterBefore is not { } committer)
        {
            return "an external commit";
        }

        var account = AdoptedLeaf.AccountOf(committer);
        if (!state.Admins.Contains(account))
        {
            return (commit.Proposals.Count == 0 && commit.HasPath) || IsLeavesOnly(commit) ? Consistency(state, members, commit)
                : "a commit that needs admin rights";
        }

        // 2. Each proposal by its author's right.
        foreach (var (proposal, sender) in commit.Proposals)
        {
            if (proposal is AppDataUpdateProposal { ComponentId: ComponentType.Lifecycle } ? !IsAdmin(state, members, sender)
                : Refusal(state, members, sender, proposal) is not null)
            {
                return Refusal(state, members, sender, proposal) ?? "a proposal that needs admin rights";
            }
        }

        // 3. What it changes.
        return Consistency(state, members, commit) ?? LifecycleFault(state, members, commit, account);
    }

    // The state after: the dictionary, the admins, what the leaves support.
    private static string? Consistency(AdoptedState state, IReadOnlyList<Member> members, StagedCommit commit)
    {
        if (DictionaryFault(state, commit, out var dictionary) is { } fault)
        {
            return fault;
        }

        // A removed member does not see the extensions after; a GroupContextExtensions proposal names them.
        var extensions = commit.Proposals.Select(one => one.Proposal).OfType<GroupContextExtensionsProposal>()
            .FirstOrDefault()?.Extensions ?? commit.ExtensionsBefore;
        var capabilities = AdoptedState.Capabilities(extensions);
        if (!capabilities.Extensions.Contains(ExtensionType.AppDataDictionary) || !capabilities.Proposals.Contains(ProposalType.AppDataUpdate))
        {
            return "the group would no longer require the dictionary and its updates";
        }

        if (!AdoptedState.TryRead(dictionary, capabilities, out var after, out fault))
        {
            return fault;
        }

        if (state.Required.Contains(ComponentType.Lifecycle) && !after.Required.Contains(ComponentType.Lifecycle))
        {
            return "the lifecycle is no longer required";
        }

        if (!commit.RemovesSelf && (!AppDataDictionary.TryFind(commit.ExtensionsAfter, out var resulting) || !Same(resulting, dictionary)))
        {
            return "the dictionary is not what the updates make of it";
        }

        // Leaves that were there before need another look only when the group asks for something else.
        bool asksTheSame = state.Required.Components.SequenceEqual(after.Required.Components) && state.Stream == after.Stream
            && ReferenceEquals(extensions, commit.ExtensionsBefore);
        var known = asksTheSame ? members.Select(member => member.Leaf).ToHashSet(ReferenceEqualityComparer.Instance) : [];
        var leaves = LeavesAfter(members, commit);
        foreach (var leaf in leaves.Where(leaf => !known.Contains(leaf)))
        {
            if (AdoptedLeaf.Missing(leaf, after) is { Length: > 0 } missing)
            {
                return $"a leaf lacks what the group requires: {missing}";
            }
        }

        var accounts = leaves.Select(AdoptedLeaf.AccountOf).ToHashSet();
        return after.Admins.Admins.All(accounts.Contains) ? null : "an admin would have no leaf";
    }

    private static string? DictionaryFault(AdoptedState state, StagedCommit commit, out AppDataDictionary dictionary)
    {
        dictionary = state.Dictionary;
        var touched = new HashSet<ushort>();
        foreach (var (proposal, _) in commit.Proposals)
        {
            if (proposal is GroupContextExtensionsProposal change
                && (!AppDataDictionary.TryFind(change.Extensions, out var named) || !Same(named, state.Dictionary)))
            {
                return "the dictionary is changed by GroupContextExtensions";
            }

            if (proposal is not AppDataUpdateProposal update)
            {
                continue;
            }

            if (!touched.Add(update.ComponentId))
            {
                return $"component 0x{update.ComponentId:x4} is updated twice";
            }

            if (update.Update is { } body)
            {
                dictionary = dictionary.With(update.ComponentId, body);
            }
            else if (update.ComponentId is ComponentId.AppComponents or ComponentType.AdminPolicy or ComponentType.Lifecycle)
            {
                return $"component 0x{update.ComponentId:x4} can never be removed";
            }
            else
            {
                dictionary = dictionary.Without(update.ComponentId);
            }
        }

        return null;
    }

    // Enabling it, and ending the group: each is a commit of its own form, all by value.
    private static string? LifecycleFault(AdoptedState state, IReadOnlyList<Member> members, StagedCommit commit, in Bytes32 committer)
    {
        if (state.Lifecycle is { IsDisbanded: true })
        {
            return "the group is disbanded";
        }

        byte[]? change = Update(commit, ComponentType.Lifecycle);
        if (change is null)
        {
            return null;
        }

        if (commit.Proposals.Any(one => one.Sender != commit.Sender))
        {
            return "a change of the lifecycle beside proposals of others";
        }

        if (state.Lifecycle is null)
        {
            bool enables = change is [0] && commit.Proposals.Count == 2 && Update(commit, ComponentId.AppComponents) is { } list
                && ComponentsList.TryRead(list, out var required)
                && required.Components.SequenceEqual(state.Required.Components.Append(ComponentType.Lifecycle).Order());
            return enables ? null : "the lifecycle is enabled by a commit of its own";
        }

        if (change is [0])
        {
            return "the update does not change the lifecycle";
        }

        var others = members.Where(member => member.Index != commit.Committer).Select(member => (uint)member.Index).Order();
        bool ends = state.Required.Contains(ComponentType.Lifecycle)
            && commit.Proposals.Count == 2 + members.Count - 1
            && Update(commit, ComponentType.AdminPolicy) is { } list2 && AdminPolicy.TryRead(list2, out var admins, out _) && admins.Admins is [var last]
                && last == committer
            && commit.Proposals.Select(one => one.Proposal).OfType<RemoveProposal>().Select(remove => remove.Removed).Order().SequenceEqual(others);
        return ends ? null : "a group ends by a commit that removes everybody else, leaves the committer the only admin and does nothing more";
    }

    private static bool IsAdmin(AdoptedState state, IReadOnlyList<Member> members, Sender sender) =>
        sender.Type == SenderType.Member && members.FirstOrDefault(member => member.Index == (int)sender.Index) is { } author
            && state.Admins.Contains(AdoptedLeaf.AccountOf(author.Leaf));

    private static bool IsLeavesOnly(StagedCommit commit) => commit.Proposals.Count > 0 && commit.Proposals.All(one => one.Proposal is SelfRemoveProposal)
        && commit.Proposals.All(one => one.Sender != commit.Sender);

    private static byte[]? Update(StagedCommit commit, ushort component) =>
        commit.Proposals.Select(one => one.Proposal).OfType<AppDataUpdateProposal>().FirstOrDefault(update => update.ComponentId == component)?.Update;

    private static List<LeafNode> LeavesAfter(IReadOnlyList<Member> members, StagedCommit commit)
    {
        if (!commit.RemovesSelf)
        {
            return [.. commit.Members.Select(member => member.Leaf)];
        }

        var removed = commit.Removed.Select(member => member.Index).ToHashSet();
        return
        [
            .. members.Where(member => !removed.Contains(member.Index)).Select(member => member.Leaf),
            .. commit.Proposals.Select(one => one.Proposal).OfType<AddProposal>().Select(add => add.KeyPackage.Leaf),
        ];
    }

    private static bool Same(AppDataDictionary a, AppDataDictionary b) => TlsWriter.Encode(a).AsSpan().SequenceEqual(TlsWriter.Encode(b));
}
