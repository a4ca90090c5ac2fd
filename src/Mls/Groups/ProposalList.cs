using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>A proposal of a commit with its sender.</summary>
internal sealed record CommittedProposal(Proposal Proposal, Sender Sender, bool ByReference, SecretBytes? OwnUpdateKey = null);

/// <summary>A new member's leaf index and key package; at the committer also the first half of what seals its Welcome.</summary>
internal sealed record AddedMember(int Leaf, KeyPackage Package, HpkeSender? Sender);

/// <summary>
/// The proposals of one commit, validated as a list and applied to a copy of the tree (RFC 9420, 12.2 and 12.3).
/// Order of application: context extensions, updates, removes, adds; then application data.
/// </summary>
internal sealed class ProposalList : IDisposable
{
    public required RatchetTree Tree { get; init; }
    public ContextRules Rules { get; private set; } = new([]);
    public Extension[] Extensions => Rules.Extensions;
    public List<AddedMember> Added { get; } = [];
    public List<int> Removed { get; } = [];
    public List<int> Updated { get; } = [];
    public List<PreSharedKeyId> Psks { get; } = [];
    public ExternalInitProposal? ExternalInit { get; private set; }
    public ReInitProposal? ReInit { get; private set; }
    public SecretBytes? OwnUpdateKey { get; private set; }
    public bool NeedsPath { get; private set; }

    public ISet<int> NewLeaves => Added.Select(a => a.Leaf).ToHashSet();

    /// <summary>
    /// Validates and applies. <paramref name="committer"/> is null for an external commit. With <paramref name="forWelcome"/> the encapsulations to the new
    /// members are made too, so that all public-key operations that adding takes are shared out in one go.
    /// </summary>
    public static ProposalList Apply(EpochState epoch, int? committer, IReadOnlyList<CommittedProposal> proposals, GroupRules rules, DateTimeOffset? now,
        ResumptionUsage allowedUsage = ResumptionUsage.Application, bool forWelcome = false)
    {
        var result = new ProposalList { Tree = epoch.Tree.Clone(), Rules = epoch.Context.Rules };
        var needsMore = false; // the group context may ask more of the members than before
        result.NeedsPath = proposals.Count == 0 || proposals.Any(p => p.Proposal.NeedsPath);
        if (committer is null) CheckExternal(proposals);
        CheckCombination(epoch, committer, proposals, allowedUsage);

        foreach (var p in proposals)
        {
            if (p.Proposal is not GroupContextExtensionsProposal change) continue;
            Extension.RefuseDuplicates(change.Extensions);
            ExternalSender.Check(change.Extensions, epoch.Suite);
            var changed = new ContextRules(change.Extensions);
            if (epoch.Context.Rules.RequiresAppDataUpdate)
            {
                MlsException.ThrowIf(!SameAppData(epoch.Context.Extensions, change.Extensions), MlsError.AppDataByExtensions);
            }

            (result.Rules, needsMore) = (changed, true);
        }
        foreach (var p in proposals)
        {
            if (p.Proposal is UpdateProposal update) result.ApplyUpdate(epoch, update.Leaf, (int)p.Sender.Index, p.OwnUpdateKey, rules);
        }

        foreach (var p in proposals) result.ApplyRemove(p);
        var adds = proposals.Select(p => p.Proposal).OfType<AddProposal>().ToArray();
        var senders = CheckAdds(epoch, adds, now, forWelcome);
        for (var i = 0; i < adds.Length; i++) result.ApplyAdd(adds[i].KeyPackage, senders[i], rules);
        foreach (var p in proposals)
        {
            if (p.Proposal is PreSharedKeyProposal psk) result.Psks.Add(psk.Psk);
            if (p.Proposal is ExternalInitProposal init) result.ExternalInit = init;
            if (p.Proposal is ReInitProposal reInit) result.ReInit = reInit;
        }

        // After the proposals of RFC 9420; AppEphemeral changes nothing.
        if (result.AppDataAfter(proposals, rules) is { } appData)
        {
            needsMore |= result.Rules.AppData is null;
            result.Rules = new ContextRules(WithAppData(result.Rules.Extensions, appData));
        }

        if (needsMore)
        {
            foreach (var (index, leaf) in result.Tree.Members) LeafRules.CheckInGroup(leaf, result.Rules, index);
        }
        result.CheckTypesSupported(epoch, proposals);
        if (result.Added.Count + result.Updated.Count > 0) result.Tree.CheckMembersTogether();
        return result;
    }

    /// <summary>The dictionary after the AppDataUpdate proposals, or null when there are none: for each component one remove of what is there, or updates in
    /// order (draft-ietf-mls-extensions, 4.7).</summary>
    private AppDataDictionary? AppDataAfter(IReadOnlyList<CommittedProposal> proposals, GroupRules rules)
    {
        AppDataDictionary? changed = null;
        var touched = new Dictionary<ushort, bool>(); // component, removed
        foreach (var p in proposals)
        {
            if (p.Proposal is not AppDataUpdateProposal update) continue;
            changed ??= Rules.AppData ?? AppDataDictionary.Empty;
            var removes = update.Update is null;
            MlsException.ThrowIf(touched.TryGetValue(update.ComponentId, out var removed) && (removes || removed), MlsError.BadAppDataUpdate);
            touched[update.ComponentId] = removes;
            if (update.Update is { } bytes)
            {
                changed = changed.With(update.ComponentId, rules.Update(update.ComponentId, changed[update.ComponentId], bytes)
                    ?? throw new MlsException(MlsError.BadAppDataUpdate));
            }
            else
            {
                MlsException.ThrowIf(!changed.Contains(update.ComponentId), MlsError.BadAppDataUpdate);
                changed = changed.Without(update.ComponentId);
            }
        }
        return changed;
    }

    /// <summary>In its place, or at the end when there was none.</summary>
    private static Extension[] WithAppData(Extension[] extensions, AppDataDictionary appData)
    {
        var extension = appData.ToExtension();
        var at = Array.FindIndex(extensions, e => e.Type == ExtensionType.AppDataDictionary);
        if (at < 0) return [.. extensions, extension];
        Extension[] changed = [.. extensions];
        changed[at] = extension;
        return changed;
    }

    private static bool SameAppData(Extension[] before, Extension[] after)
        => (Extension.Find(before, ExtensionType.AppDataDictionary), Extension.Find(after, ExtensionType.AppDataDictionary)) switch
        {
            (null, null) => true,
            ({ } old, { } changed) => old.Data.AsSpan().SequenceEqual(changed.Data),
            _ => false,
        };

    private void ApplyUpdate(EpochState epoch, LeafNode leaf, int index, SecretBytes? ownKey, GroupRules rules)
    {
        var old = epoch.Tree.Leaf(index)!;
        CheckUpdate(epoch, leaf, index);
        LeafRules.CheckInGroup(leaf, Rules, index);
        MlsException.ThrowIf(!rules.Accepts(old, leaf), MlsError.CredentialRefused);
        Tree.Update(index, leaf);
        Updated.Add(index);
        if (index == epoch.OwnLeaf) OwnUpdateKey = ownKey ?? throw new MlsException(MlsError.WrongState);
    }

    internal static void CheckUpdate(EpochState epoch, LeafNode leaf, int index)
    {
        MlsException.ThrowIf(leaf.Source != LeafNodeSource.Update, MlsError.WrongLeafSource);
        MlsException.ThrowIf(leaf.EncryptionKey.AsSpan().SequenceEqual(epoch.Tree.Leaf(index)!.EncryptionKey), MlsError.EncryptionKeyReused);
        epoch.Suite.Kem.CheckPublicKey(leaf.EncryptionKey, index);
        leaf.CheckSignature(epoch.Suite, epoch.Context.GroupId, index);
    }

    private void ApplyRemove(CommittedProposal p)
    {
        var index = p.Proposal switch { RemoveProposal remove => (int)remove.Removed, SelfRemoveProposal => (int)p.Sender.Index, _ => -1 };
        if (index < 0) return;
        Removed.Add(index);
        Tree.Remove(index);
        MlsException.ThrowIf(!Tree.Members.Any(), MlsError.RemoveOfCommitter);
    }

    private void ApplyAdd(KeyPackage package, HpkeSender? sender, GroupRules rules)
    {
        LeafRules.CheckInGroup(package.Leaf, Rules);
        MlsException.ThrowIf(!rules.Accepts(null, package.Leaf), MlsError.CredentialRefused);
        MlsException.ThrowIf(Tree.HasSignatureKey(package.Leaf.SignatureKey), MlsError.DuplicateMember);
        Added.Add(new AddedMember(Tree.Add(package.Leaf), package, sender));
    }

    /// <summary>Key packages on their own, each in two halves of one signature, and the encapsulations, if wanted: pieces that spread evenly over the cores,
    /// the longer ones first.</summary>
    internal static HpkeSender?[] CheckAdds(EpochState epoch, AddProposal[] adds, DateTimeOffset? now, bool forWelcome = false)
    {
        foreach (var add in adds)
        {
            MlsException.ThrowIf(add.KeyPackage.Version != 1 || add.KeyPackage.CipherSuite != epoch.Suite.Id, MlsError.KeyPackageMismatch);
        }

        var senders = new HpkeSender?[adds.Length];
        Each.Do((forWelcome ? 3 : 2) * adds.Length, i =>
        {
            var package = adds[i % adds.Length].KeyPackage;
            switch ((i / adds.Length) + (forWelcome ? 0 : 1))
            {
                case 0: senders[i] = epoch.Suite.HpkeEncapsulate(package.InitKey); break;
                case 1: package.CheckLeaf(now); break;
                default: package.CheckOuter(); break;
            }
        });
        return senders;
    }

    /// <summary>Wipes the secrets of encapsulations; the rest is the next epoch's.</summary>
    public void Dispose()
    {
        foreach (var added in Added) added.Sender?.Dispose();
    }

    private static void CheckCombination(EpochState epoch, int? committer, IReadOnlyList<CommittedProposal> proposals, ResumptionUsage allowedUsage)
    {
        var touched = new HashSet<int>();
        var psks = new HashSet<PreSharedKeyId>(PreSharedKeyId.ByContent);
        var contextChanges = 0;
        var links = 0;
        foreach (var (proposal, sender, byReference, _) in proposals)
        {
            switch (proposal)
            {
                case UpdateProposal:
                    MlsException.ThrowIf(sender.Type != SenderType.Member || epoch.Tree.Leaf((int)sender.Index) is null, MlsError.BadSender);
                    MlsException.ThrowIf((int)sender.Index == committer, MlsError.UpdateByCommitter);
                    MlsException.ThrowIf(!touched.Add((int)sender.Index), MlsError.LeafChangedTwice);
                    break;
                case RemoveProposal remove:
                    MlsException.ThrowIf(remove.Removed >= epoch.Tree.LeafCount || epoch.Tree.Leaf((int)remove.Removed) is null, MlsError.UnknownLeaf);
                    MlsException.ThrowIf((int)remove.Removed == committer, MlsError.RemoveOfCommitter);
                    MlsException.ThrowIf(!touched.Add((int)remove.Removed), MlsError.LeafChangedTwice);
                    break;
                case SelfRemoveProposal:
                    MlsException.ThrowIf(!byReference || sender.Type != SenderType.Member || epoch.Tree.Leaf((int)sender.Index) is null, MlsError.BadSender);
                    MlsException.ThrowIf((int)sender.Index == committer, MlsError.RemoveOfCommitter);
                    MlsException.ThrowIf(!touched.Add((int)sender.Index), MlsError.LeafChangedTwice);
                    break;
                case PreSharedKeyProposal psk:
                    CheckPsk(epoch, psk.Psk, allowedUsage);
                    MlsException.ThrowIf(!psks.Add(psk.Psk), MlsError.DuplicatePsk);
                    // The Welcome of a commit with more than one of these would be refused (RFC 9420, 12.4.3.1).
                    if (psk.Psk.Usage is ResumptionUsage.ReInit or ResumptionUsage.Branch) MlsException.ThrowIf(++links > 1, MlsError.BadPsk);
                    break;
                case GroupContextExtensionsProposal:
                    MlsException.ThrowIf(++contextChanges > 1, MlsError.DuplicateGroupContextExtensions);
                    break;
                case ReInitProposal reInit:
                    MlsException.ThrowIf(reInit.Version < 1, MlsError.BadReInit);
                    MlsException.ThrowIf(proposals.Count > 1, MlsError.ReInitNotAlone);
                    break;
                case ExternalInitProposal:
                    MlsException.ThrowIf(committer is not null, MlsError.ExternalInitNotAllowed);
                    break;
            }
        }
    }

    internal static void CheckPsk(EpochState epoch, PreSharedKeyId psk, ResumptionUsage allowedUsage)
        =>
            MlsException.ThrowIf(psk.Nonce.Length != epoch.Suite.HashLength
                || (!psk.IsExternal && psk.Usage != ResumptionUsage.Application && psk.Usage != allowedUsage), MlsError.BadPsk);

    /// <summary>RFC 9420, 12.2: exactly one ExternalInit, at most one Remove, PSKs, and of draft-ietf-mls-extensions AppDataUpdate and AppEphemeral; all by
    /// value, except SelfRemove which always comes by reference.</summary>
    private static void CheckExternal(IReadOnlyList<CommittedProposal> proposals)
    {
        MlsException.ThrowIf(proposals.Count(p => p.Proposal is ExternalInitProposal) != 1
            || proposals.Count(p => p.Proposal is RemoveProposal) > 1, MlsError.NotAllowedInExternalCommit);
        foreach (var p in proposals)
        {
            var allowed = p.Proposal is ExternalInitProposal or RemoveProposal or PreSharedKeyProposal or AppDataUpdateProposal or AppEphemeralProposal
                ? !p.ByReference
                : p.Proposal is SelfRemoveProposal && p.ByReference;
            MlsException.ThrowIf(!allowed, MlsError.NotAllowedInExternalCommit);
        }
    }

    private void CheckTypesSupported(EpochState epoch, IReadOnlyList<CommittedProposal> proposals)
    {
        foreach (var type in proposals.Select(p => p.Proposal.Type).Distinct())
        {
            if (ProposalType.IsDefault(type)) continue;
            foreach (var (index, leaf) in epoch.Tree.Members)
            {
                MlsException.ThrowIf(!Removed.Contains(index) && !leaf.Capabilities.SupportsProposal(type), MlsError.UnsupportedProposal);
            }
        }
    }
}
