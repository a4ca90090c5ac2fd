using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>What a joiner may have to add to a Welcome or GroupInfo.</summary>
public sealed class JoinRequest
{
    /// <summary>The tree, when it does not come along.</summary>
    public ReadOnlyMemory<byte>? RatchetTree { get; init; }

    /// <summary>Rules of the application; also finds external PSKs.</summary>
    public GroupRules Rules { get; init; } = new();

    /// <summary>Time to check lifetimes against; null does not check (RFC 9420, 7.3, only recommends it on receipt).</summary>
    public DateTimeOffset? Now { get; init; }

    /// <summary>The group that was reinitialised or branched off: the Welcome must say that the new one comes from it (RFC 9420, 11.2, 11.3).</summary>
    public Group? Predecessor { get; init; }
}

public sealed partial class Group
{
    /// <summary>
    /// Joins by a Welcome (RFC 9420, 12.4.3.1): checks the whole tree, one signature a member. The key package's secrets are copied: dispose them when they may
    /// not be used again. Whether the group id is in use already is the caller's to know.
    /// </summary>
    /// <exception cref="MlsException">The rule that was broken; nothing has changed.</exception>
    /// <exception cref="ObjectDisposedException">The key package's secrets were disposed.</exception>
    public static Group Join(MlsMessage message, KeyPackageSecrets own, JoinRequest? request = null)
    {
        request ??= new JoinRequest();
        var (secrets, info, psk) = OpenWelcome(message, own, request);
        using var ownSecrets = secrets;
        using var pskSecret = psk;
        var suite = info.Context.Suite;
        var tree = CheckedTree(info, own.KeyPackage.Leaf, request);
        CheckPredecessor(secrets.Psks, info.Context, tree, request.Predecessor);

        // Our place and keys.
        var leafBytes = own.KeyPackage.Leaf.Encoded;
        var place = tree.Members.FirstOrDefault(m => m.Leaf.Encoded.AsSpan().SequenceEqual(leafBytes), (-1, null!)).Index;
        MlsException.ThrowIf(place < 0, MlsError.BadTree);
        var keys = new TreeKeys { Leaf = place };
        EpochSecrets? epochSecrets = null;
        try
        {
            keys.ByNode[2 * place] = own.EncryptionPrivateKey.Clone();
            MlsException.ThrowIf(!suite.Kem.PublicKey(own.EncryptionPrivateKey).AsSpan().SequenceEqual(tree.PublicKey(2 * place)), MlsError.BadPath);
            if (secrets.PathSecret is { } pathSecret)
            {
                MlsException.ThrowIf(info.Signer == place, MlsError.BadPath);
                keys.AddFrom(tree, TreeMath.CommonAncestor(place, (int)info.Signer), (int)info.Signer, pathSecret).Dispose();
            }

            // The epoch, confirmed by the tag.
            epochSecrets = EpochSecrets.FromJoiner(suite, secrets.JoinerSecret, pskSecret, info.Context.Encoded);
            var tag = suite.Mac(epochSecrets.ConfirmationKey, info.Context.ConfirmedTranscriptHash);
            MlsException.ThrowIf(!CryptographicOperations.FixedTimeEquals(tag, info.ConfirmationTag), MlsError.BadConfirmationTag);
            return new Group(EpochState.Create(info.Context, tree, keys, epochSecrets, tag), own.SignaturePrivateKey.Clone(), request.Rules)
            {
                WelcomeSigner = (int)info.Signer
            };
        }
        catch (MlsException)
        {
            keys.WipeBut(null);
            epochSecrets?.Wipe();
            throw;
        }
    }

    /// <summary>Decrypts the secrets meant for this key package and the GroupInfo; nothing of the latter is verified yet.</summary>
    internal static (GroupSecrets Secrets, GroupInfo Info, SecretBytes PskSecret) OpenWelcome(MlsMessage message, KeyPackageSecrets own, JoinRequest request)
    {
        var welcome = message.Welcome ?? throw new MlsException(MlsError.WrongWireFormat);
        var suite = CipherSuite.Get(welcome.CipherSuite);
        MlsException.ThrowIf(own.KeyPackage.CipherSuite != suite.Id, MlsError.KeyPackageMismatch);

        // 1. Our secrets.
        var reference = own.KeyPackage.Reference();
        var entry = Array.Find(welcome.Secrets, s => s.NewMember.AsSpan().SequenceEqual(reference)) ?? throw new MlsException(MlsError.NotForThisKeyPackage);
        using var plaintext = suite.DecryptWithLabel(own.InitPrivateKey, own.KeyPackage.InitKey, "Welcome"u8, welcome.EncryptedGroupInfo,
            entry.Secrets.KemOutput, entry.Secrets.Ciphertext);
        var reader = new TlsReader(plaintext);
        var secrets = GroupSecrets.Read(ref reader);
        reader.ExpectEnd();

        try
        {
            // 2. PSKs: at most one of reinit or branch.
            MlsException.ThrowIf(secrets.Psks.Count(p => p.Usage is ResumptionUsage.ReInit or ResumptionUsage.Branch) > 1, MlsError.BadPsk);
            MlsException.ThrowIf(secrets.Psks.Any(p => p.Nonce.Length != suite.HashLength), MlsError.BadPsk);
            var pskSecret = PskSecret.Compute(suite, [.. secrets.Psks.Select(id => (id, FindPsk(id, request.Rules, null, request.Predecessor)))]);

            // 3. GroupInfo.
            using var key = WelcomeKey(suite, secrets.JoinerSecret, pskSecret);
            reader = new TlsReader(suite.Open(key.Key, key.Nonce, default, welcome.EncryptedGroupInfo));
            var info = Messages.GroupInfo.Read(ref reader);
            reader.ExpectEnd();
            MlsException.ThrowIf(info.Context.Suite.Id != suite.Id, MlsError.KeyPackageMismatch);
            return (secrets, info, pskSecret);
        }
        catch (MlsException)
        {
            secrets.Dispose();
            throw;
        }
    }

    /// <summary>Like <see cref="Join"/>, with the refusal as a value.</summary>
    public static bool TryJoin(MlsMessage message, KeyPackageSecrets own, JoinRequest? request, out Group? group, out MlsRefusal refusal)
    {
        try
        {
            (group, refusal) = (Join(message, own, request), MlsRefusal.None);
            return true;
        }
        catch (MlsException refused)
        {
            (group, refusal) = (null, refused.Refusal);
            return false;
        }
    }

    /// <summary>The tree of a GroupInfo with everything a joiner must check: signature, tree hash, shape, parent hashes, every leaf.</summary>
    private static RatchetTree CheckedTree(GroupInfo info, LeafNode own, JoinRequest request)
    {
        Extension.RefuseDuplicates(info.Extensions);
        Extension.RefuseDuplicates(info.Context.Extensions);
        ExternalSender.Check(info.Context.Extensions, info.Context.Suite);
        var bytes = Extension.Find(info.Extensions, ExtensionType.RatchetTree)?.Data ?? request.RatchetTree?.ToArray()
            ?? throw new MlsException(MlsError.MissingTree);
        var tree = RatchetTree.Read(info.Context.Suite, bytes);
        MlsException.ThrowIf(info.Signer >= tree.LeafCount, MlsError.BadSender);
        var signer = tree.Leaf((int)info.Signer) ?? throw new MlsException(MlsError.BadSender);
        if (!info.HasValidSignature(signer.SignatureKey))
        {
            throw new MlsException(new MlsRefusal(info.Context.Suite.Signature.Refusal(signer.SignatureKey), (int)info.Signer));
        }

        MlsException.ThrowIf(!tree.TreeHash().AsSpan().SequenceEqual(info.Context.TreeHash), MlsError.BadTreeHash);
        tree.Validate(info.Context.GroupId, info.Context.Rules, request.Now, own);
        foreach (var (index, leaf) in tree.Members) MlsException.ThrowIf(!request.Rules.Accepts(null, leaf), MlsError.CredentialRefused, index);
        return tree;
    }

    /// <summary>RFC 9420, 11.2 and 11.3: a successor names the group it comes from by a PSK, of the epoch that the ReInit began or of any that is known, and
    /// starts in epoch 1.</summary>
    private static void CheckPredecessor(PreSharedKeyId[] psks, GroupContext context, RatchetTree tree, Group? predecessor)
    {
        var link = Array.Find(psks, p => p.Usage is ResumptionUsage.ReInit or ResumptionUsage.Branch);
        if (link is null && predecessor is null) return;
        MlsException.ThrowIf(link is null || predecessor is null || context.Epoch != 1
            || !predecessor.GroupId.Span.SequenceEqual(link.GroupId), MlsError.BadPsk);
        MlsException.ThrowIf(link!.Usage == ResumptionUsage.ReInit && link.Epoch != predecessor!.Epoch, MlsError.BadPsk);
        CheckSuccession(predecessor!, link.Usage, link.Epoch, context.Suite, context.GroupId, context.Extensions, tree);
    }

    /// <summary>
    /// What a successor has in common with the group it comes from. After a ReInit: the parameters that were agreed, and every member of the old group is one
    /// of the new (RFC 9420, 11.2, 12.4.3.1). As a branch: version, suite, and no member who is not one of the old group (11.3). Members are the same when
    /// their credentials are.
    /// </summary>
    private static void CheckSuccession(Group predecessor, ResumptionUsage usage, ulong epoch, CipherSuite suite, ReadOnlySpan<byte> groupId,
        Extension[] extensions, RatchetTree tree)
    {
        var before = predecessor.StateOf(epoch).Tree.Members.Select(m => Identity(m.Leaf)).ToHashSet();
        var after = tree.Members.Select(m => Identity(m.Leaf)).ToHashSet();
        if (usage == ResumptionUsage.Branch)
        {
            MlsException.ThrowIf(suite.Id != predecessor.Suite.Id, MlsError.KeyPackageMismatch);
            MlsException.ThrowIf(!after.IsSubsetOf(before), MlsError.CredentialRefused);
            return;
        }
        var reInit = predecessor._epoch.ReInit ?? throw new MlsException(MlsError.BadReInit);
        var asAgreed = reInit.GroupId.AsSpan().SequenceEqual(groupId) && reInit.CipherSuite == suite.Id && reInit.Version == 1
            && reInit.Extensions.Length == extensions.Length
            && reInit.Extensions.Zip(extensions).All(p => p.First.Type == p.Second.Type && p.First.Data.AsSpan().SequenceEqual(p.Second.Data));
        MlsException.ThrowIf(!asAgreed || !before.IsSubsetOf(after), MlsError.BadReInit);

        static (ushort, string) Identity(LeafNode leaf) => (leaf.Credential.Type, Convert.ToBase64String(leaf.Credential.Content));
    }

    /// <summary>
    /// Joins by an external commit (RFC 9420, 12.4.3.2): needs the GroupInfo with the external key and the tree. Publish the message; the group is already in
    /// the new epoch.
    /// </summary>
    /// <param name="message">A GroupInfo with the external_pub extension; unverified.</param>
    /// <param name="own">The leaf to join with; its secrets are copied where they are needed.</param>
    /// <param name="request">The tree, when it does not come along, and the application's rules.</param>
    /// <param name="replaces">Leaf index of the client's old leaf, which is removed.</param>
    /// <param name="psks">PSKs to mix in; external ones are found by the rules.</param>
    /// <exception cref="MlsException">The rule that was broken (RFC 9420, 12.2, 12.4.3.2).</exception>
    public static (Group Group, MlsMessage Commit) JoinExternally(MlsMessage message, KeyPackageSecrets own, JoinRequest? request = null, int? replaces = null,
        IReadOnlyList<PreSharedKeyId>? psks = null)
    {
        request ??= new JoinRequest();
        var info = message.GroupInfo ?? throw new MlsException(MlsError.WrongWireFormat);
        var suite = info.Context.Suite;
        MlsException.ThrowIf(own.KeyPackage.CipherSuite != suite.Id, MlsError.KeyPackageMismatch);
        var tree = CheckedTree(info, own.KeyPackage.Leaf, request);
        var extension = Extension.Find(info.Extensions, ExtensionType.ExternalPub) ?? throw new MlsException(MlsError.MissingTree, "no external_pub");
        var reader = new TlsReader(extension.Data);
        var externalPub = reader.ReadBytes();
        reader.ExpectEnd();

        var (kemOutput, init) = suite.HpkeSendExport(externalPub, ExternalInitLabel, suite.HashLength);
        var proposals = new List<Proposal> { new ExternalInitProposal(kemOutput) };
        if (replaces is { } old) proposals.Add(new RemoveProposal((uint)old));
        foreach (var psk in psks ?? []) proposals.Add(new PreSharedKeyProposal(psk));

        // A state without secrets: enough to apply the proposals and to frame the commit.
        var before = EpochState.Create(info.Context, tree, new TreeKeys { Leaf = -1 }, EpochSecrets.None(), info.ConfirmationTag);
        var sender = new Sender(SenderType.NewMemberCommit, 0);
        var list = ProposalList.Apply(before, null, [.. proposals.Select(p => new CommittedProposal(p, sender, false))], request.Rules, request.Now);
        var place = list.Tree.Reserve();
        LeafRules.CheckInGroup(own.KeyPackage.Leaf, list.Rules);
        using var path = TreeKem.Create(list.Tree, place, own.KeyPackage.Leaf, own.SignaturePrivateKey, info.Context.GroupId, new TreeKeys { Leaf = place },
            new HashSet<int>(),
            treeHash => info.Context.With(info.Epoch + 1, treeHash, info.Context.ConfirmedTranscriptHash, list.Extensions).Encoded);
        list.Tree.CheckMembersTogether();

        var framed = new FramedContent
        {
            GroupId = info.Context.GroupId,
            Epoch = info.Epoch,
            Sender = sender,
            AuthenticatedData = [],
            ContentType = ContentType.Commit,
            Commit = new Commit([.. proposals.Select(p => new ProposalOrRef(p, null))], path.Path),
        };
        var signature = AuthenticatedContent.Sign(suite, WireFormat.PublicMessage, framed, info.Context.Encoded, own.SignaturePrivateKey);
        using var pskSecret = PskSecret.Compute(suite, [.. list.Psks.Select(id => (id, FindPsk(id, request.Rules, null, request.Predecessor)))]);
        var (next, joiner) = Advance(before, list, path.Keys, path.CommitSecret, init, pskSecret, WireFormat.PublicMessage, framed, signature, null);
        joiner.Dispose();
        init.Dispose();
        var content = new AuthenticatedContent
        {
            WireFormat = WireFormat.PublicMessage,
            Content = framed,
            Signature = signature,
            ConfirmationTag = next.ConfirmationTag,
        };
        var commit = new MlsMessage(WireFormat.PublicMessage, MessageProtection.ProtectPublic(content, suite, info.Context.Encoded, default));
        return (new Group(next, own.SignaturePrivateKey.Clone(), request.Rules), commit);
    }
}
