using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>
/// A member who breaks rules: his messages are framed, signed and tagged correctly, so that only the broken rule can refuse them.
/// His confirmation tag is wrong; a commit with nothing else wrong is therefore refused with BadConfirmationTag, which is the control of every test.
/// </summary>
internal sealed class Forger(Client client)
{
    private EpochState Epoch => client.Group.Current;

    public MlsMessage Commit(IEnumerable<Proposal> proposals, UpdatePath? path = null, Sender? sender = null, SecretBytes? signatureKey = null,
        params byte[][] references)
    {
        ProposalOrRef[] list = [.. references.Select(r => new ProposalOrRef(null, r)), .. proposals.Select(p => new ProposalOrRef(p, null))];
        return Public(ContentType.Commit, null, new Commit(list, path), sender, signatureKey);
    }

    public MlsMessage Commit(IEnumerable<Proposal> proposals, Commit commit, Sender? sender = null)
        =>
            Public(ContentType.Commit, null,
                commit with { Proposals = [.. commit.Proposals, .. proposals.Select(p => new ProposalOrRef(p, null))] }, sender, null);

    public MlsMessage Proposal(Proposal proposal, Sender? sender = null, SecretBytes? signatureKey = null) =>
        Public(ContentType.Proposal, proposal, null, sender, signatureKey);

    private MlsMessage Public(ContentType type, Proposal? proposal, Commit? commit, Sender? sender, SecretBytes? signatureKey, byte[]? application = null)
    {
        var framed = new FramedContent
        {
            GroupId = Epoch.Context.GroupId,
            Epoch = Epoch.Context.Epoch,
            Sender = sender ?? Sender.Member(Epoch.OwnLeaf),
            AuthenticatedData = [],
            ContentType = type,
            Proposal = proposal,
            Commit = commit,
            Application = application ?? [],
        };
        var content = new AuthenticatedContent
        {
            WireFormat = WireFormat.PublicMessage,
            Content = framed,
            Signature = AuthenticatedContent.Sign(client.Suite, WireFormat.PublicMessage, framed, Epoch.Context.Encoded, signatureKey ?? client.SigningKey),
            ConfirmationTag = commit is null ? null : new byte[client.Suite.HashLength],
        };
        var tag = framed.Sender.Type == SenderType.Member ? content.MembershipTag(client.Suite, Epoch.Context.Encoded, Epoch.Secrets.MembershipKey) : null;
        return new MlsMessage(WireFormat.PublicMessage, new PublicMessage(content, tag));
    }

    /// <summary>Application data in the open, which is never allowed.</summary>
    public MlsMessage Application(byte[] data) => Public(ContentType.Application, null, null, null, null, data);

    /// <summary>A message with another membership tag, or without one.</summary>
    public static MlsMessage WithTag(MlsMessage message, byte[] tag) => new(WireFormat.PublicMessage, message.Public! with { MembershipTag = tag });

    /// <summary>A private message that claims any sender and generation, correctly sealed with the sender data secret.</summary>
    public MlsMessage FromLeaf(uint leaf, uint generation = 0)
    {
        var ciphertext = new byte[64];
        var aad = new TlsWriter();
        aad.WriteOpaque(Epoch.Context.GroupId);
        aad.WriteUInt64(Epoch.Context.Epoch);
        aad.WriteByte((byte)ContentType.Application);
        var sender = new TlsWriter();
        sender.WriteUInt32(leaf);
        sender.WriteUInt32(generation);
        sender.WriteUInt32(0);
        using var key = MessageProtection.SenderDataKey(Epoch.Suite, Epoch.Secrets.SenderData, ciphertext);
        var sealedSender = Epoch.Suite.Seal(key.Key, key.Nonce, aad.Written, sender.Written);
        return new MlsMessage(WireFormat.PrivateMessage,
            new PrivateMessage(Epoch.Context.GroupId, Epoch.Context.Epoch, ContentType.Application, [], sealedSender, ciphertext));
    }

    /// <summary>A path whose secrets open, but do not give the public keys beside them.</summary>
    public UpdatePath PathWithOtherSecrets()
    {
        var path = Path();
        var tree = Epoch.Tree.Clone();
        TreeKem.ApplyPublic(tree, Epoch.OwnLeaf, path, Epoch.Context.GroupId, Epoch.Context.Rules, new HashSet<int>());
        var context = Epoch.Context.With(Epoch.Context.Epoch + 1, tree.TreeHash(), Epoch.Context.ConfirmedTranscriptHash, Epoch.Context.Extensions).Encoded;
        var filtered = tree.FilteredDirectPath(Epoch.OwnLeaf);
        return path with
        {
            Nodes = [.. path.Nodes.Select((node, i) => node with
            {
                EncryptedPathSecret = [.. tree.Resolution(filtered[i].Copath).Select(target =>
                {
                    var (enc, ciphertext) = Epoch.Suite.EncryptWithLabel(tree.PublicKey(target)!, "UpdatePathNode"u8, context, new byte[32]);
                    return new HpkeCiphertext(enc, ciphertext);
                })],
            })],
        };
    }

    /// <summary>A Welcome made from nothing but a joiner secret of its own: consistent in itself, so that only what is changed can refuse it.</summary>
    public MlsMessage Welcome(Client joiner, Func<RatchetTree, RatchetTree>? tree = null, Func<GroupContext, GroupContext>? context = null,
        Func<GroupInfo, GroupInfo>? info = null,
        Func<GroupSecrets, GroupSecrets>? secrets = null, bool withTree = true, byte[]? tag = null, byte[]? pskSecret = null)
    {
        var suite = client.Suite;
        var changedTree = Epoch.Tree.Clone();
        changedTree.Add(joiner.Package!.KeyPackage.Leaf);
        if (tree is not null) changedTree = tree(changedTree);
        var changedContext = Epoch.Context.With(Epoch.Context.Epoch + 1, changedTree.TreeHash(), Epoch.Context.ConfirmedTranscriptHash,
            Epoch.Context.Extensions);
        if (context is not null) changedContext = context(changedContext);
        var groupSecrets = new GroupSecrets(SecretBytes.Random(suite.HashLength), null, []);
        if (secrets is not null) groupSecrets = secrets(groupSecrets);
        var psk = pskSecret ?? new byte[suite.HashLength];
        var epoch = EpochSecrets.FromJoiner(suite, groupSecrets.JoinerSecret, psk, changedContext.Encoded);
        var groupInfo = new GroupInfo
        {
            Context = changedContext,
            Extensions = withTree ? [new Extension(ExtensionType.RatchetTree, changedTree.ToBytes())] : [],
            ConfirmationTag = tag ?? suite.Mac(epoch.ConfirmationKey, changedContext.ConfirmedTranscriptHash),
            Signer = (uint)Epoch.OwnLeaf,
        };
        groupInfo = (info is null ? groupInfo : info(groupInfo)).Signed(client.SigningKey);

        using var welcomeSecret = EpochSecrets.Welcome(suite, groupSecrets.JoinerSecret, psk);
        var sealedInfo = suite.Seal(suite.ExpandWithLabel(welcomeSecret, "key"u8, default, suite.KeyLength),
            suite.ExpandWithLabel(welcomeSecret, "nonce"u8, default, 12), default, TlsWriter.Encode(groupInfo));
        var (enc, ciphertext) = suite.EncryptWithLabel(joiner.Package.KeyPackage.InitKey, "Welcome"u8, sealedInfo, TlsWriter.Encode(groupSecrets));
        return Client.Wire(
            new MlsMessage(WireFormat.Welcome,
                new Welcome(suite.Id, [new EncryptedGroupSecrets(joiner.Package.KeyPackage.Reference(), new HpkeCiphertext(enc, ciphertext))], sealedInfo)));
    }

    /// <summary>A valid path for a commit without proposals.</summary>
    public UpdatePath Path() =>
        TreeKem.Create(Epoch.Tree.Clone(), Epoch.OwnLeaf, Epoch.Tree.Leaf(Epoch.OwnLeaf)!, client.SigningKey, Epoch.Context.GroupId, Epoch.Keys,
        new HashSet<int>(),
        hash => Epoch.Context.With(Epoch.Context.Epoch + 1, hash, Epoch.Context.ConfirmedTranscriptHash, Epoch.Context.Extensions).Encoded).Path;

    /// <summary>A leaf like the own one with changes, signed for its place.</summary>
    public LeafNode Leaf(LeafNode from, LeafNodeSource source, byte[]? encryptionKey = null, byte[]? parentHash = null, Capabilities? capabilities = null,
        Extension[]? extensions = null, Credential? credential = null, byte[]? signatureKey = null) => new LeafNode
        {
            EncryptionKey = encryptionKey ?? from.EncryptionKey,
            SignatureKey = signatureKey ?? from.SignatureKey,
            Credential = credential ?? from.Credential,
            Capabilities = capabilities ?? from.Capabilities,
            Source = source,
            ParentHash = parentHash ?? from.ParentHash,
            Extensions = extensions ?? from.Extensions,
        }.Signed(client.Suite, client.SigningKey, Epoch.Context.GroupId, Epoch.OwnLeaf);

    public byte[] NewKey() => client.Suite.GenerateKeyPair().PublicKey;

    /// <summary>The group info with another tree or context, signed by this member.</summary>
    public MlsMessage GroupInfo(Func<RatchetTree, RatchetTree>? tree = null, bool fixTreeHash = true, uint? signer = null)
    {
        var changed = tree is null ? Epoch.Tree : tree(Epoch.Tree.Clone());
        var good = client.Group.GroupInfo().GroupInfo!;
        var context = fixTreeHash
            ? Epoch.Context.With(Epoch.Context.Epoch, changed.TreeHash(), Epoch.Context.ConfirmedTranscriptHash, Epoch.Context.Extensions)
            : Epoch.Context;
        var info = new GroupInfo
        {
            Context = context,
            Extensions = [new Extension(ExtensionType.RatchetTree, TlsWriter.Encode(changed)), good.Extensions[1]],
            ConfirmationTag = good.ConfirmationTag,
            Signer = signer ?? good.Signer,
        };
        return Client.Wire(new MlsMessage(WireFormat.GroupInfo, info.Signed(client.SigningKey)));
    }
}
