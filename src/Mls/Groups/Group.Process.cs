using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

public sealed partial class Group
{
    /// <summary>Like <see cref="Process"/>, with the refusal as a value.</summary>
    public bool TryProcess(MlsMessage message, out Received? received, out MlsRefusal refusal, DateTimeOffset? now = null)
    {
        try
        {
            (received, refusal) = (Process(message, now), MlsRefusal.None);
            return true;
        }
        catch (MlsException refused)
        {
            (received, refusal) = (null, refused.Refusal);
            return false;
        }
    }

    /// <summary>
    /// Who sent a private message of a known epoch and which generation of his ratchet it uses, without opening it: nothing changes. The sender data is encrypted but not signed, so this orders a batch and
    /// proves nothing. Messages of one sender that wait together are best given in the order of their generations: only <c>100</c> skipped keys are kept (RFC 9420, 9). False for what is no private message
    /// of a known epoch of this group, or does not open.
    /// </summary>
    public bool TryReadSender(MlsMessage message, out MessageSender sender)
    {
        sender = default;
        if (_closed || message.Private is not { } sealedMessage || !message.GroupId.Span.SequenceEqual(_epoch.Context.GroupId) || FindState(message.Epoch) is not { } state) return false;
        if (!MessageProtection.TryOpenSenderData(sealedMessage, Suite, state.Secrets.SenderData, out var data) || data.Leaf >= state.Tree.LeafCount) return false;
        sender = new MessageSender((int)data.Leaf, data.Generation);
        return true;
    }

    /// <summary>
    /// Opens and verifies a public or private message: application data, a proposal (kept as pending) or a commit (staged, not in force).
    /// A refusal leaves the state byte for byte as it was, and so does a commit until it is merged; application data and proposals use the message's key up.
    /// </summary>
    /// <param name="message">A PublicMessage or PrivateMessage; application data also of the past epochs that are kept.</param>
    /// <param name="now">Checks the lifetime of added key packages; null does not.</param>
    /// <exception cref="MlsException">The rule that was broken, one name a rule; docs/conformance/rfc9420.md has the list (RFC 9420, 6, 12).</exception>
    public Received Process(MlsMessage message, DateTimeOffset? now = null)
    {
        MlsException.ThrowIf(_closed, MlsError.GroupClosed);
        MlsException.ThrowIf(message.Private is null && message.Public is null, MlsError.WrongWireFormat);
        MlsException.ThrowIf(!message.GroupId.Span.SequenceEqual(_epoch.Context.GroupId), MlsError.WrongGroup);
        var isLate = message.Epoch != Epoch;
        // A ReInit ends sending (RFC 9420, 12.4.2); what was sent before it may still be on its way.
        if (!isLate) CheckOpen();
        if (message.Epoch > Epoch) throw new MlsException(new MlsRefusal(MlsError.WrongEpoch, MayResolve: true)); // once the commits between are merged
        MlsException.ThrowIf(isLate && (message.ContentType != ContentType.Application || message.Private is null), MlsError.WrongEpoch);
        var state = StateOf(message.Epoch);

        if (message.Public is { } open)
        {
            var content = MessageProtection.UnprotectPublic(open, Suite, state.Context.Encoded, state.Secrets.MembershipKey);
            CheckSignature(state, content);
            return Handle(state, content, now);
        }

        var sealedMessage = message.Private!;
        MlsException.ThrowIf(!MessageProtection.TryOpenSenderData(sealedMessage, Suite, state.Secrets.SenderData, out var sender), MlsError.DecryptionFailed);
        MlsException.ThrowIf(sender.Leaf >= state.Tree.LeafCount || state.Tree.Leaf((int)sender.Leaf) is null, MlsError.BadSender);
        MlsException.ThrowIf((int)sender.Leaf == state.OwnLeaf, MlsError.OwnMessage);
        var opened = MessageProtection.UnprotectPrivate(sealedMessage, sender, Suite, state.SecretTree);
        CheckSignature(state, opened);
        var received = Handle(state, opened, now);
        if (received is ReceivedCommit { Commit: var staged })
        {
            // The key goes when the commit can no longer be rolled back; until then the same message must open again.
            staged.Generation = sender.Generation;
            return received;
        }
        // Only now, with everything verified, is the key used up.
        state.SecretTree.Use((int)sender.Leaf, message.ContentType == ContentType.Application, sender.Generation);
        return received;
    }

    private Received Handle(EpochState state, AuthenticatedContent content, DateTimeOffset? now)
    {
        var framed = content.Content;
        switch (framed.ContentType)
        {
            case ContentType.Application:
                return new ReceivedApplication((int)framed.Sender.Index, state.Tree.Leaf((int)framed.Sender.Index)!, framed.Application, framed.AuthenticatedData, framed.Epoch);
            case ContentType.Proposal:
                var reference = content.ProposalReference(Suite);
                var isKnown = state.FindProposal(reference) is not null;
                if (!isKnown) CheckRoom(state, framed.Sender);
                CheckProposal(framed.Proposal!, framed.Sender, now);
                MlsException.ThrowIf(framed.Proposal is SelfRemoveProposal && content.WireFormat != WireFormat.PublicMessage, MlsError.WrongWireFormat);
                if (!isKnown) state.Proposals.Add(new PendingProposal(reference, framed.Proposal!, framed.Sender, null));
                return new ReceivedProposal(framed.Sender, framed.Proposal!, reference);
            default:
                return new ReceivedCommit(ProcessCommit(state, content, now));
        }
    }

    /// <summary>Whose signature it must be, by sender type (RFC 9420, 6.1).</summary>
    private void CheckSignature(EpochState state, AuthenticatedContent content)
    {
        var framed = content.Content;
        var isPublic = content.WireFormat == WireFormat.PublicMessage;
        byte[] key;
        switch (framed.Sender.Type)
        {
            case SenderType.Member:
                MlsException.ThrowIf(framed.Sender.Index >= state.Tree.LeafCount, MlsError.BadSender);
                key = state.Tree.Leaf((int)framed.Sender.Index)?.SignatureKey ?? throw new MlsException(MlsError.BadSender);
                MlsException.ThrowIf((int)framed.Sender.Index == state.OwnLeaf, MlsError.OwnMessage);
                break;
            case SenderType.External:
                var senders = ExternalSender.Find(state.Context.Extensions);
                MlsException.ThrowIf(!isPublic || framed.Sender.Index >= senders.Length || framed.ContentType != ContentType.Proposal, MlsError.BadSender);
                key = senders[framed.Sender.Index].SignatureKey;
                break;
            case SenderType.NewMemberProposal:
                MlsException.ThrowIf(!isPublic || framed.Proposal is not AddProposal, MlsError.BadSender);
                key = ((AddProposal)framed.Proposal!).KeyPackage.Leaf.SignatureKey;
                break;
            default:
                MlsException.ThrowIf(!isPublic || framed.ContentType != ContentType.Commit, MlsError.BadSender);
                key = framed.Commit!.Path?.Leaf.SignatureKey ?? throw new MlsException(MlsError.PathRequired);
                break;
        }
        MlsException.ThrowIf(!content.HasValidSignature(Suite, state.Context.Encoded, key), MlsError.BadSignature);
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

    private StagedCommit ProcessCommit(EpochState before, AuthenticatedContent content, DateTimeOffset? now)
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
        if (removesSelf) return new StagedCommit(before, null, framed.Sender, committer, commit.Path is not null, added, [.. list.Removed], [.. list.Updated]) { Proposals = proposals };

        // 4. The new epoch, confirmed by the tag. What was derived for a commit that is refused is wiped.
        var keys = before.Keys.Clone();
        try
        {
            var next = Follow(before, list, keys, committer, content);
            return new StagedCommit(before, next, framed.Sender, committer, commit.Path is not null, added, [.. list.Removed], [.. list.Updated]) { Proposals = proposals };
        }
        catch (MlsException)
        {
            keys.WipeBut(before.Keys);
            throw;
        }
    }

    /// <summary>The private half of a received commit: own keys, commit secret, key schedule.</summary>
    private EpochState Follow(EpochState before, ProposalList list, TreeKeys keys, int committer, AuthenticatedContent content)
    {
        var framed = content.Content;
        if (list.OwnUpdateKey is { } ownKey) keys.ByNode[2 * keys.Leaf] = ownKey.Clone(); // the pending one is wiped with its epoch
        PruneKeys(keys, list, before);
        using var commitSecret = framed.Commit!.Path is { } path ? CommitSecretOf(before, list, keys, committer, path) : null;
        using var external = list.ExternalInit is { } externalInit ? ExternalInit(before, externalInit) : null;
        using var pskSecret = PskSecretOf(list.Psks, before, null);
        var (next, joiner) = Advance(before, list, keys, commitSecret, external ?? before.Secrets.Init, pskSecret, content.WireFormat, framed, content.Signature, content.ConfirmationTag);
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

    /// <summary>The leaf that an external commit replaces: its path's leaf must be acceptable as an Update of it (RFC 9420, 12.2). A SelfRemove beside it is someone else's.</summary>
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
