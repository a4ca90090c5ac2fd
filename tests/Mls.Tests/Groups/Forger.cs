using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>
/// A member who breaks rules: his messages are framed, signed and tagged correctly, so that only the broken rule can refuse them.
/// His confirmation tag is wrong; a commit with nothing else wrong is therefore refused with BadConfirmationTag, which is the control of every test.
/// </summary>
internal sealed class Forger(Client client)
{
    private EpochState Epoch => client.Group.Current;

    public MlsMessage Commit(IEnumerable<Proposal> proposals, UpdatePath? path = null, Sender? sender = null, SecretBytes? signatureKey = null, params byte[][] references)
    {
        ProposalOrRef[] list = [.. references.Select(r => new ProposalOrRef(null, r)), .. proposals.Select(p => new ProposalOrRef(p, null))];
        return Public(ContentType.Commit, null, new Commit(list, path), sender, signatureKey);
    }

    public MlsMessage Commit(IEnumerable<Proposal> proposals, Commit commit)
        => Public(ContentType.Commit, null, commit with { Proposals = [.. commit.Proposals, .. proposals.Select(p => new ProposalOrRef(p, null))] }, null, null);

    public MlsMessage Proposal(Proposal proposal, Sender? sender = null, SecretBytes? signatureKey = null) => Public(ContentType.Proposal, proposal, null, sender, signatureKey);

    private MlsMessage Public(ContentType type, Proposal? proposal, Commit? commit, Sender? sender, SecretBytes? signatureKey)
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

    /// <summary>A valid path for a commit without proposals.</summary>
    public UpdatePath Path() => TreeKem.Create(Epoch.Tree.Clone(), Epoch.OwnLeaf, Epoch.Tree.Leaf(Epoch.OwnLeaf)!, client.SigningKey, Epoch.Context.GroupId, Epoch.Keys,
        new HashSet<int>(), hash => Epoch.Context.With(Epoch.Context.Epoch + 1, hash, Epoch.Context.ConfirmedTranscriptHash, Epoch.Context.Extensions).Encoded).Path;

    /// <summary>A leaf like the own one with changes, signed for its place.</summary>
    public LeafNode Leaf(LeafNode from, LeafNodeSource source, byte[]? encryptionKey = null, byte[]? parentHash = null, Capabilities? capabilities = null, Extension[]? extensions = null,
        Credential? credential = null, byte[]? signatureKey = null) => new LeafNode
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
        var context = fixTreeHash ? Epoch.Context.With(Epoch.Context.Epoch, changed.TreeHash(), Epoch.Context.ConfirmedTranscriptHash, Epoch.Context.Extensions) : Epoch.Context;
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
