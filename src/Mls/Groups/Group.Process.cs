using System.Diagnostics.CodeAnalysis;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

public sealed partial class Group
{
    /// <summary>
    /// Opens and verifies a public or private message: application data, a proposal (kept as pending) or a commit (staged, not in force).
    /// A refusal leaves the state byte for byte as it was, and so does a commit until it is merged; application data and proposals use the message's key up.
    /// </summary>
    /// <param name="message">A PublicMessage or PrivateMessage; application data also of the past epochs that are kept.</param>
    /// <param name="received">What it was.</param>
    /// <param name="refusal">The rule that was broken, one name a rule; docs/conformance/rfc9420.md has the list (RFC 9420, 6, 12).</param>
    /// <param name="now">Checks the lifetime of added key packages; null does not.</param>
    public bool TryProcess(MlsMessage message, [NotNullWhen(true)] out Received? received, out MlsRefusal refusal, DateTimeOffset? now = null)
    {
        // Each step takes only what the one before made: decoded -> opened -> verified -> handled.
        received = null;
        refusal = Admit(message, out var state);
        if (state is null) return false;
        refusal = Open(message, state, out var content, out var sender);
        if (content is null) return false;
        refusal = Verify(state, content, out var verified);
        if (verified is null) return false;
        refusal = Handle(state, verified, now, out received);
        if (received is null) return false;

        if (sender is { } used)
        {
            // The key of a commit goes when it can no longer be rolled back; until then the same message must open again. Others go now, with everything
            // verified.
            if (received is ReceivedCommit { Commit: var staged }) staged.Generation = used.Generation;
            else state.SecretTree.Use((int)used.Leaf, message.ContentType == ContentType.Application, used.Generation);
        }
        return true;
    }

    /// <summary><see cref="TryProcess"/>, refusing with an exception.</summary>
    /// <exception cref="MlsException">The refusal.</exception>
    public Received Process(MlsMessage message, DateTimeOffset? now = null) =>
        TryProcess(message, out var received, out var refusal, now) ? received : throw new MlsException(refusal);

    /// <summary>
    /// Who sent a private message of a known epoch and which generation of his ratchet it uses, without opening it: nothing changes. The sender data is
    /// encrypted but not signed, so this orders a batch and proves nothing. Messages of one sender that wait together are best given in the order of their
    /// generations: only <c>100</c> skipped keys are kept (RFC 9420, 9). False for what is no private message of a known epoch of this group, or does not open.
    /// </summary>
    public bool TryReadSender(MlsMessage message, out MessageSender sender)
    {
        sender = default;
        if (_closed || message.Private is null || !message.GroupId.Span.SequenceEqual(_epoch.Context.GroupId)
            || FindState(message.Epoch) is not { } state)
        {
            return false;
        }

        if (!TryOpenSenderData(message, state, out var data) || data.Leaf >= state.Tree.LeafCount)
        {
            return false;
        }

        sender = new MessageSender((int)data.Leaf, data.Generation);
        return true;
    }

    /// <summary>Whether the message is for this group and an epoch that is at hand; gives that epoch.</summary>
    private MlsRefusal Admit(MlsMessage message, out EpochState? state)
    {
        state = null;
        if (_closed) return new(MlsError.GroupClosed);
        if (message.Private is null && message.Public is null) return new(MlsError.WrongWireFormat);
        if (!message.GroupId.Span.SequenceEqual(_epoch.Context.GroupId)) return new(MlsError.WrongGroup);
        if (message.Epoch > Epoch) return new(MlsError.WrongEpoch, MayResolve: true); // once the commits between are merged
        var isLate = message.Epoch != Epoch;
        // A ReInit ends sending (RFC 9420, 12.4.2); what was sent before it may still be on its way.
        if (!isLate && IsClosed) return new(MlsError.GroupClosed);
        if (isLate && (message.ContentType != ContentType.Application || message.Private is null)) return new(MlsError.WrongEpoch);
        state = FindState(message.Epoch);
        return state is null ? new(MlsError.WrongEpoch) : MlsRefusal.None;
    }

    /// <summary>Decrypts a private message, checks the membership tag of a public one. The sender is given for private ones, whose key is not used
    /// up.</summary>
    private MlsRefusal Open(MlsMessage message, EpochState state, out AuthenticatedContent? content, out SenderData? sender)
    {
        (content, sender) = (null, null);
        if (message.Public is { } open)
        {
            var error = MessageProtection.UnprotectPublic(open, Suite, state.Context.Encoded, state.Secrets.MembershipKey);
            if (error == MlsError.None) content = open.Content;
            return new(error);
        }
        if (!TryOpenSenderData(message, state, out var data)) return new(MlsError.DecryptionFailed);
        if (data.Leaf >= state.Tree.LeafCount || state.Tree.Leaf((int)data.Leaf) is null) return new(MlsError.BadSender);
        if ((int)data.Leaf == state.OwnLeaf) return new(MlsError.OwnMessage);
        sender = data;
        return MlsRefusal.Of(MessageProtection.UnprotectPrivate(message.Private!, data, Suite, state.SecretTree, out content));
    }

    // Another state of the same epoch, as of a branch, has another secret: it opens the message anew.
    private bool TryOpenSenderData(MlsMessage message, EpochState state, out SenderData data)
    {
        if (message.Opened is { } opened && ReferenceEquals(opened.State, state))
        {
            data = opened.Data;
            return true;
        }

        if (!MessageProtection.TryOpenSenderData(message.Private!, Suite, state.Secrets.SenderData, out data)) return false;
        message.Opened = new OpenedSenderData(state, data);
        return true;
    }

    /// <summary>Whose signature it must be, by sender type (RFC 9420, 6.1), and whether it is.</summary>
    private MlsRefusal Verify(EpochState state, AuthenticatedContent content, out VerifiedContent? verified)
    {
        verified = null;
        var framed = content.Content;
        var isPublic = content.WireFormat == WireFormat.PublicMessage;
        byte[]? key;
        switch (framed.Sender.Type)
        {
            case SenderType.Member:
                key = framed.Sender.Index < state.Tree.LeafCount ? state.Tree.Leaf((int)framed.Sender.Index)?.SignatureKey : null;
                if (key is not null && (int)framed.Sender.Index == state.OwnLeaf) return new(MlsError.OwnMessage);
                break;
            case SenderType.External:
                var senders = state.Context.Rules.ExternalSenders;
                key = isPublic && framed.ContentType == ContentType.Proposal && framed.Sender.Index < senders.Length
                    ? senders[framed.Sender.Index].SignatureKey
                    : null;
                break;
            case SenderType.NewMemberProposal:
                key = isPublic && framed.Proposal is AddProposal add ? add.KeyPackage.Leaf.SignatureKey : null;
                break;
            default:
                if (isPublic && framed.ContentType == ContentType.Commit && framed.Commit!.Path is null) return new(MlsError.PathRequired);
                key = isPublic ? framed.Commit?.Path?.Leaf.SignatureKey : null;
                break;
        }
        if (key is null) return new(MlsError.BadSender);
        if (content.TryVerify(Suite, state.Context.Encoded, key, out verified)) return MlsRefusal.None;
        return new(MlsError.BadSignature); // names nobody: any member can frame content of another
    }

    /// <summary>
    /// What a verified message does. The many rules of proposals and commits refuse with exceptions, caught here and nowhere else: only who has signed for the
    /// group comes this far, so a stranger causes none.
    /// </summary>
    private MlsRefusal Handle(EpochState state, VerifiedContent content, DateTimeOffset? now, out Received? received)
    {
        var framed = content.Content;
        if (framed.ContentType == ContentType.Application)
        {
            received = new ReceivedApplication((int)framed.Sender.Index, state.Tree.Leaf((int)framed.Sender.Index)!, framed.Application,
                framed.AuthenticatedData, framed.Epoch);
            return MlsRefusal.None;
        }
        try
        {
            received = framed.ContentType == ContentType.Proposal ? Keep(state, content, now) : new ReceivedCommit(ProcessCommit(state, content, now));
            return MlsRefusal.None;
        }
        catch (MlsException refused)
        {
            received = null;
            return refused.Refusal;
        }
    }

    /// <summary>A proposal becomes pending.</summary>
    private ReceivedProposal Keep(EpochState state, VerifiedContent content, DateTimeOffset? now)
    {
        var framed = content.Content;
        var reference = content.ProposalReference(Suite);
        var isKnown = state.FindProposal(reference) is not null;
        if (!isKnown) CheckRoom(state, framed.Sender);
        CheckProposal(framed.Proposal!, framed.Sender, now);
        MlsException.ThrowIf(framed.Proposal is SelfRemoveProposal && content.WireFormat != WireFormat.PublicMessage, MlsError.WrongWireFormat);
        if (!isKnown) state.Proposals.Add(new PendingProposal(reference, framed.Proposal!, framed.Sender, null));
        return new ReceivedProposal(framed.Sender, framed.Proposal!, reference);
    }

    /// <summary>A single proposal on its own (RFC 9420, 12.1); the list is checked when it is committed.</summary>
    private void CheckProposal(Proposal proposal, Sender sender, DateTimeOffset? now)
    {
        if (sender.Type == SenderType.External)
        {
            MlsException.ThrowIf(proposal is not (AddProposal or RemoveProposal or PreSharedKeyProposal or ReInitProposal or GroupContextExtensionsProposal
                or AppDataUpdateProposal or AppEphemeralProposal), MlsError.BadSender);
        }
        switch (proposal)
        {
            case AddProposal add: ProposalList.CheckAdds(_epoch, [add], now); break;
            case UpdateProposal update: ProposalList.CheckUpdate(_epoch, update.Leaf, (int)sender.Index); break;
            case RemoveProposal remove:
                MlsException.ThrowIf(remove.Removed >= _epoch.Tree.LeafCount || _epoch.Tree.Leaf((int)remove.Removed) is null, MlsError.UnknownLeaf);
                break;
            case PreSharedKeyProposal psk: ProposalList.CheckPsk(_epoch, psk.Psk, ResumptionUsage.Application); break;
            case ReInitProposal reInit: MlsException.ThrowIf(reInit.Version < 1, MlsError.BadReInit); break;
            case ExternalInitProposal: throw new MlsException(MlsError.ExternalInitNotAllowed);
            case GroupContextExtensionsProposal change:
                Extension.RefuseDuplicates(change.Extensions);
                ExternalSender.Check(change.Extensions, Suite);
                _ = AppDataDictionary.Find(change.Extensions);
                break;
        }
    }

    private StagedCommit ProcessCommit(EpochState before, VerifiedContent content, DateTimeOffset? now)
    {
        var framed = content.Content;
        var commit = framed.Commit!;
        var isExternal = framed.Sender.Type == SenderType.NewMemberCommit;
        MlsException.ThrowIf(content.ConfirmationTag is null, MlsError.BadConfirmationTag);

        // 1. The proposals, by value or from what was received.
        var committed = new List<CommittedProposal>();
        foreach (var item in commit.Proposals)
        {
            if (item.Proposal is not null)
            {
                committed.Add(new CommittedProposal(item.Proposal, framed.Sender, false));
                continue;
            }
            var pending = before.FindProposal(item.Reference) ?? throw new MlsException(MlsError.UnknownProposal);
            committed.Add(new CommittedProposal(pending.Proposal, pending.Sender, true, pending.OwnUpdateKey));
        }

        // 2. Validate the list, apply it to a copy.
        var list = ProposalList.Apply(before, isExternal ? null : (int)framed.Sender.Index, committed, _rules, now);
        MlsException.ThrowIf(commit.Path is null && list.NeedsPath, MlsError.PathRequired);
        var removesSelf = list.Removed.Contains(before.OwnLeaf);
        var committer = isExternal ? list.Tree.Reserve() : (int)framed.Sender.Index;
        var proposals = committed.Select(c => (c.Proposal, c.Sender)).ToArray();
        int[] added = isExternal ? [committer] : [.. list.Added.Select(a => a.Leaf)];

        // 3. The path.
        var newLeaves = list.NewLeaves;
        if (commit.Path is { } path)
        {
            var old = isExternal ? RemovedByJoiner(before, committed) : before.Tree.Leaf(committer);
            MlsException.ThrowIf(!_rules.Accepts(old, path.Leaf), MlsError.CredentialRefused);
            MlsException.ThrowIf(path.Leaf.EncryptionKey.AsSpan().SequenceEqual(old?.EncryptionKey), MlsError.EncryptionKeyReused);
            TreeKem.ApplyPublic(list.Tree, committer, path, before.Context.GroupId, list.Rules, newLeaves);
        }
        if (removesSelf)
        {
            return new StagedCommit(before, null, framed.Sender, committer, commit.Path is not null, added, [.. list.Removed], [.. list.Updated])
            {
                Proposals = proposals,
            };
        }

        // 4. The new epoch, confirmed by the tag. What was derived for a commit that is refused is wiped.
        var keys = before.Keys.Clone();
        try
        {
            var next = Follow(before, list, keys, committer, content);
            return new StagedCommit(before, next, framed.Sender, committer, commit.Path is not null, added, [.. list.Removed], [.. list.Updated])
            {
                Proposals = proposals,
            };
        }
        catch (MlsException)
        {
            keys.WipeBut(before.Keys);
            throw;
        }
    }

    /// <summary>The private half of a received commit: own keys, commit secret, key schedule.</summary>
    private EpochState Follow(EpochState before, ProposalList list, TreeKeys keys, int committer, VerifiedContent content)
    {
        var framed = content.Content;
        if (list.OwnUpdateKey is { } ownKey) keys.ByNode[2 * keys.Leaf] = ownKey.Clone(); // the pending one is wiped with its epoch
        PruneKeys(keys, list, before);
        using var commitSecret = framed.Commit!.Path is { } path ? CommitSecretOf(before, list, keys, committer, path) : null;
        using var external = list.ExternalInit is { } externalInit ? ExternalInit(before, externalInit) : null;
        using var pskSecret = PskSecretOf(list.Psks, before, null);
        var (next, joiner) = Advance(before, list, keys, commitSecret, external ?? before.Secrets.Init, pskSecret, content.WireFormat, framed,
            content.Signature, content.ConfirmationTag);
        joiner.Dispose();
        return next;
    }

    private static SecretBytes CommitSecretOf(EpochState before, ProposalList list, TreeKeys keys, int committer, UpdatePath path)
    {
        var provisional = before.Context.With(before.Context.Epoch + 1, list.Tree.TreeHash(), before.Context.ConfirmedTranscriptHash, list.Extensions);
        return TreeKem.Decrypt(list.Tree, committer, path, keys, list.NewLeaves, provisional.Encoded);
    }

    private SecretBytes ExternalInit(EpochState before, ExternalInitProposal proposal)
    {
        using var pair = before.Secrets.ExternalKeyPair(Suite);
        return Suite.HpkeReceiveExport(pair, proposal.KemOutput, ExternalInitLabel, Suite.HashLength);
    }

    private static ReadOnlySpan<byte> ExternalInitLabel => "MLS 1.0 external init secret"u8;

    /// <summary>The leaf that an external commit replaces: its path's leaf must be acceptable as an Update of it (RFC 9420, 12.2). A SelfRemove beside it is
    /// someone else's.</summary>
    private static LeafNode? RemovedByJoiner(EpochState before, List<CommittedProposal> committed)
        => committed.Find(c => c.Proposal is RemoveProposal)?.Proposal is RemoveProposal remove ? before.Tree.Leaf((int)remove.Removed) : null;

    /// <summary>Drops private keys of nodes that the proposals blanked or the path replaced; the own leaf's key may be the one of an own Update.</summary>
    private static void PruneKeys(TreeKeys keys, ProposalList list, EpochState before)
    {
        var own = keys.ByNode[2 * keys.Leaf];
        keys.Prune(list.Tree, before.Tree);
        keys.ByNode[2 * keys.Leaf] = own;
    }
}
