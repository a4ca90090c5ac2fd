using Marmot.Mls.Codec;
using Marmot.Mls.Framing;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>One test a rule of RFC 9420, 6, 7.5, 12.4.2 and 12.4.3.1: paths, framing, external commits, what a joiner checks.</summary>
[Trait("Spec", "RFC 9420, 12.4")]
public class CommitRuleTests
{
    private readonly Client[] _clients = Client.InOneGroup(4);
    private readonly Forger _forger;

    public CommitRuleTests() => _forger = new Forger(_clients[0]);

    private void Refuses(MlsError expected, MlsMessage message)
    {
        Assert.False(_clients[1].Group.TryProcess(message, out _, out var error));
        Assert.Equal(expected, error);
    }

    private void RefusesPath(MlsError expected, Func<UpdatePath, UpdatePath> change) => Refuses(expected, _forger.Commit([], change(_forger.Path())));

    [Fact]
    public void Refuses_every_commit_without_a_path_that_needs_one()
    {
        Refuses(MlsError.PathRequired, _forger.Commit([]));
        Refuses(MlsError.PathRequired, _forger.Commit([new RemoveProposal(2)]));
        Refuses(MlsError.PathRequired, _forger.Commit([new GroupContextExtensionsProposal(Client.MarmotExtensions)]));
        var leave = _clients[2].Group.Propose(new SelfRemoveProposal());
        var reference = Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(Client.Wire(leave))).Reference;
        Refuses(MlsError.PathRequired, _forger.Commit([], null, null, null, reference));
        Refuses(MlsError.BadConfirmationTag, _forger.Commit([new AddProposal(new Client("new").NewPackage())]));
    }

    [Fact]
    public void Refuses_a_path_with_a_node_too_few() => RefusesPath(MlsError.BadPath, p => p with { Nodes = p.Nodes[1..] });

    [Fact]
    public void Refuses_a_path_with_a_node_too_many() => RefusesPath(MlsError.BadPath, p => p with { Nodes = [.. p.Nodes, p.Nodes[0]] });

    [Fact]
    public void Refuses_a_path_with_a_ciphertext_missing()
        => RefusesPath(MlsError.BadPath, p => p with { Nodes = [p.Nodes[0], p.Nodes[1] with { EncryptedPathSecret = p.Nodes[1].EncryptedPathSecret[1..] }] });

    [Fact]
    public void Refuses_a_path_whose_leaf_has_another_source()
        => RefusesPath(MlsError.WrongLeafSource, p => p with { Leaf = _forger.Leaf(p.Leaf, LeafNodeSource.Update) });

    [Fact]
    public void Refuses_a_path_that_keeps_the_leafs_encryption_key()
        =>
            RefusesPath(MlsError.EncryptionKeyReused,
                p => p with { Leaf = _forger.Leaf(p.Leaf, LeafNodeSource.Commit, _clients[0].Group.Leaf(0)!.EncryptionKey) });

    [Fact]
    public void Refuses_a_path_with_a_key_that_is_in_the_tree()
        =>
            RefusesPath(MlsError.EncryptionKeyReused,
                p => p with { Nodes = [p.Nodes[0] with { EncryptionKey = _clients[0].Group.Leaf(3)!.EncryptionKey }, p.Nodes[1]] });

    [Fact]
    public void Refuses_a_path_with_one_key_twice()
    {
        var path = _forger.Path();
        var same = path.Nodes[1] with { EncryptionKey = path.Nodes[0].EncryptionKey };
        var tree = _clients[0].Group.Current.Tree.Clone();
        // Parent hashes that fit, so that only the repeated key is wrong.
        tree.SetParent(3, new ParentNode { EncryptionKey = same.EncryptionKey, ParentHash = [], UnmergedLeaves = [] });
        tree.SetParent(1, new ParentNode { EncryptionKey = same.EncryptionKey, ParentHash = tree.ParentHash(tree.Parent(3)!, 5), UnmergedLeaves = [] });
        var leaf = _forger.Leaf(path.Leaf, LeafNodeSource.Commit, parentHash: tree.ParentHash(tree.Parent(1)!, 2));
        Refuses(MlsError.DuplicateKey, _forger.Commit([], new UpdatePath(leaf, [path.Nodes[0], same])));
    }

    [Fact]
    public void Refuses_a_path_whose_parent_hash_is_wrong()
        => RefusesPath(MlsError.BadParentHash, p => p with { Leaf = _forger.Leaf(p.Leaf, LeafNodeSource.Commit, parentHash: new byte[32]) });

    [Fact]
    public void Refuses_a_path_whose_leaf_is_not_signed_by_its_key()
        => RefusesPath(MlsError.BadSignature, p => p with { Leaf = new Forger(_clients[2]).Leaf(p.Leaf, LeafNodeSource.Commit) });

    [Fact]
    public void Refuses_a_path_whose_leaf_lacks_what_the_group_requires()
        => RefusesPath(MlsError.MissingCapability, p => p with { Leaf = _forger.Leaf(p.Leaf, LeafNodeSource.Commit, capabilities: Capabilities.Of([], [])) });

    [Fact]
    public void Refuses_a_path_whose_secret_does_not_give_its_public_keys()
    {
        // The path secret of another path, correctly encrypted.
        var other = _forger.Path();
        RefusesPath(MlsError.DecryptionFailed,
            p => p with { Nodes = [p.Nodes[0] with { EncryptedPathSecret = other.Nodes[0].EncryptedPathSecret }, p.Nodes[1]] });
    }

    [Fact]
    public void Refuses_a_path_whose_secret_opens_and_gives_other_public_keys() =>
        Refuses(MlsError.BadPath, _forger.Commit([], _forger.PathWithOtherSecrets()));

    [Fact]
    public void Refuses_a_wrong_confirmation_tag() => Refuses(MlsError.BadConfirmationTag, _forger.Commit([], _forger.Path()));

    [Fact]
    public void Refuses_a_signature_by_another_key() =>
        Refuses(MlsError.BadSignature, _forger.Commit([], _forger.Path(), signatureKey: _clients[2].SigningKey));

    [Fact]
    public void Refuses_senders_that_are_no_members()
    {
        Refuses(MlsError.BadSender, _forger.Commit([], _forger.Path(), new Sender(SenderType.Member, 99)));
        Refuses(MlsError.BadSender, _forger.Commit([], _forger.Path(), new Sender(SenderType.External, 0)));
        Refuses(MlsError.BadSender, _forger.Proposal(new RemoveProposal(2), new Sender(SenderType.External, 0)));
        Refuses(MlsError.BadSender, _forger.Proposal(new RemoveProposal(2), new Sender(SenderType.NewMemberProposal, 0)));
        Refuses(MlsError.BadSender, _forger.Proposal(new RemoveProposal(2), new Sender(SenderType.NewMemberCommit, 0)));
    }

    [Fact]
    public void A_newcomer_may_propose_to_add_himself()
    {
        var client = new Client("new");
        var message = _forger.Proposal(new AddProposal(client.NewPackage()), new Sender(SenderType.NewMemberProposal, 0), client.SigningKey);
        Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(message));
    }

    [Fact]
    public void Refuses_external_commits_that_carry_anything_else()
    {
        var joiner = new Client("joiner");
        joiner.NewPackage();
        var path = new UpdatePath(joiner.Package!.KeyPackage.Leaf, []);
        var sender = new Sender(SenderType.NewMemberCommit, 0);
        var init = new ExternalInitProposal(new byte[32]);
        foreach (Proposal[] list in (Proposal[][])[
            [],
            [init, init],
            [init, new RemoveProposal(1), new RemoveProposal(2)],
            [init, new AddProposal(new Client("x").NewPackage())],
            [init, new GroupContextExtensionsProposal([])]])
        {
            Refuses(MlsError.NotAllowedInExternalCommit, _forger.Commit(list, path, sender, joiner.SigningKey));
        }
        var leave = Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(_forger.Proposal(new RemoveProposal(3)))).Reference;
        Refuses(MlsError.NotAllowedInExternalCommit, _forger.Commit([init], path, sender, joiner.SigningKey, leave));
        Refuses(MlsError.PathRequired, _forger.Commit([init], null, sender, joiner.SigningKey));
        Refuses(MlsError.BadPath, _forger.Commit([init], path, sender, joiner.SigningKey));
    }

    [Fact]
    public void Refuses_an_external_commit_that_keeps_the_encryption_key_of_the_leaf_it_replaces()
    {
        var joiner = new Client("joiner");
        joiner.NewPackage();
        var replaced = _clients[1].Group.Leaf(2)!;
        var leaf = new Forger(_clients[2]).Leaf(replaced, LeafNodeSource.Commit);
        var list = new Proposal[] { new ExternalInitProposal(new byte[32]), new RemoveProposal(2) };
        var sender = new Sender(SenderType.NewMemberCommit, 0);
        Refuses(MlsError.EncryptionKeyReused, _forger.Commit(list, new UpdatePath(leaf, []), sender, _clients[2].SigningKey));

        // Someone else's SelfRemove before it does not hide which leaf is meant.
        var leave = Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(new Forger(_clients[3]).Proposal(new SelfRemoveProposal()))).Reference;
        Refuses(MlsError.EncryptionKeyReused, _forger.Commit(list, new UpdatePath(leaf, []), sender, _clients[2].SigningKey, leave));
    }

    [Fact]
    public void Refuses_messages_of_other_groups_and_epochs()
    {
        var other = Client.InOneGroup(2);
        var foreign = new Client("foreign").Creates("other");
        Refuses(MlsError.WrongGroup, Client.Wire(foreign.Group.Protect("x"u8)));
        Client.Commits(other[0], other, new CommitRequest());
        Refuses(MlsError.WrongEpoch, Client.Wire(other[0].Group.Protect("x"u8)));
        Refuses(MlsError.WrongWireFormat, Client.Wire(_clients[0].Group.GroupInfo()));
    }

    [Fact]
    public void Refuses_a_self_remove_in_a_private_message()
    {
        var epoch = _clients[0].Group.Current;
        var framed = new FramedContent
        {
            GroupId = epoch.Context.GroupId,
            Epoch = 1,
            Sender = Sender.Member(0),
            AuthenticatedData = [],
            ContentType = ContentType.Proposal,
            Proposal = new SelfRemoveProposal(),
        };
        var content = new AuthenticatedContent
        {
            WireFormat = WireFormat.PrivateMessage,
            Content = framed,
            Signature = AuthenticatedContent.Sign(epoch.Suite, WireFormat.PrivateMessage, framed, epoch.Context.Encoded, _clients[0].SigningKey),
        };
        Refuses(MlsError.WrongWireFormat,
            new MlsMessage(WireFormat.PrivateMessage, MessageProtection.ProtectPrivate(content, epoch.Suite, epoch.SecretTree, epoch.Secrets.SenderData, 0)));
    }

    [Fact]
    public void Refuses_padding_that_is_not_zero()
    {
        var suite = _clients[0].Suite;
        var epoch = _clients[0].Group.Current;
        var framed = new FramedContent
        {
            GroupId = epoch.Context.GroupId,
            Epoch = 1,
            Sender = Sender.Member(0),
            AuthenticatedData = [],
            ContentType = ContentType.Application,
            Application = [1],
        };
        // The signature is written last: a longer one leaves its end as what looks like padding.
        var writer = new TlsWriter();
        framed.WriteBody(writer);
        writer.WriteOpaque(new byte[64]);
        writer.WriteByte(1);
        var (generation, key) = epoch.SecretTree.Next(0, true);
        var aad = new TlsWriter();
        aad.WriteOpaque(framed.GroupId);
        aad.WriteUInt64(1);
        aad.WriteByte(1);
        var senderAad = aad.ToArray();
        aad.WriteOpaque([]);
        var ciphertext = suite.Seal(key.Key, key.Nonce, aad.Written, writer.Written);
        var sender = new TlsWriter();
        sender.WriteUInt32(0);
        sender.WriteUInt32(generation);
        sender.WriteUInt32(0);
        var senderKey = MessageProtection.SenderDataKey(suite, epoch.Secrets.SenderData, ciphertext);
        var message = new PrivateMessage(framed.GroupId, 1, ContentType.Application, [],
            suite.Seal(senderKey.Key, senderKey.Nonce, senderAad, sender.Written), ciphertext);
        Refuses(MlsError.BadPadding, new MlsMessage(WireFormat.PrivateMessage, message));
    }

    private static void RefusesJoin(MlsError expected, MlsMessage info)
    {
        var joiner = new Client("joiner");
        joiner.NewPackage();
        Assert.Equal(expected, Client.Refusal(() => Group.JoinExternally(info, joiner.Package!)));
    }

    [Fact]
    public void A_joiner_refuses_a_group_info_not_signed_by_a_member()
    {
        RefusesJoin(MlsError.BadSignature, _forger.GroupInfo(signer: 2));
        RefusesJoin(MlsError.BadSender, _forger.GroupInfo(signer: 99));
    }

    [Fact]
    public void A_joiner_refuses_a_tree_with_another_hash()
        => RefusesJoin(MlsError.BadTreeHash, _forger.GroupInfo(Removed(3), fixTreeHash: false));

    [Fact]
    public void A_joiner_refuses_parent_hashes_that_do_not_hold()
    {
        Client.Commits(_clients[0], _clients, new CommitRequest { ForcePath = true });
        RefusesJoin(MlsError.BadParentHash, _forger.GroupInfo(tree =>
        {
            tree.SetParent(3, new ParentNode { EncryptionKey = _forger.NewKey(), ParentHash = [], UnmergedLeaves = [] });
            return tree;
        }));
    }

    [Theory]
    [InlineData(1, new uint[] { 1, 0 })]
    [InlineData(1, new uint[] { 2 })]
    [InlineData(1, new uint[] { 77 })]
    [InlineData(3, new uint[] { 1 })]
    public void A_joiner_refuses_unmerged_leaves_that_cannot_be(int node, uint[] unmerged)
    {
        Client.Commits(_clients[0], _clients, new CommitRequest { ForcePath = true });
        RefusesJoin(MlsError.BadTree, _forger.GroupInfo(tree =>
        {
            var old = tree.Parent(node)!;
            tree.SetParent(node, new ParentNode { EncryptionKey = old.EncryptionKey, ParentHash = old.ParentHash, UnmergedLeaves = unmerged });
            return tree;
        }));
    }

    [Fact]
    public void A_joiner_refuses_a_leaf_whose_signature_is_wrong()
        => RefusesJoin(MlsError.BadSignature, _forger.GroupInfo(tree =>
        {
            var leaf = tree.Leaf(2)!;
            tree.SetLeaf(2, new Forger(_clients[3]).Leaf(leaf, LeafNodeSource.Update));
            return tree;
        }));

    [Fact]
    public void A_joiner_refuses_one_key_in_two_leaves()
        => RefusesJoin(MlsError.DuplicateKey, _forger.GroupInfo(tree =>
        {
            tree.SetLeaf(3, tree.Leaf(2));
            return tree;
        }));

    [Fact]
    public void Trees_of_impossible_shape_are_refused()
    {
        var suite = _clients[0].Suite;
        foreach (var bytes in (byte[][])[[0], [1, 0], [2, 1, 2], [3, 1, 9, 0]])
        {
            Assert.Throws<MlsException>(() => RatchetTree.Read(suite, bytes));
        }
    }

    [Fact]
    public void A_welcome_for_someone_else_is_refused()
    {
        var (bob, eve) = (new Client("bob"), new Client("eve"));
        var welcome = _clients[0].Group.Commit(new CommitRequest { Proposals = [new AddProposal(bob.NewPackage())] }).Welcome!;
        eve.NewPackage();
        Assert.False(Group.TryJoin(Client.Wire(welcome), eve.Package!, null, out _, out var error));
        Assert.Equal(MlsError.NotForThisKeyPackage, error);
    }

    private static Func<RatchetTree, RatchetTree> Removed(int leaf) => tree =>
    {
        tree.Remove(leaf);
        return tree;
    };
}
