using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tests.Crypto;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>Public keys are validated wherever they come in (RFC 9180, 7.1.4; RFC 9420, 5.1.1 and 7.3), in every suite, and the refusal names the
/// leaf.</summary>
[Trait("Spec", "RFC 9180, 7.1.4")]
public class KeyValidationTests
{
    public static TheoryData<ushort> Suites { get; } = [1, 2, 3, 5, 7];

    private static void Refuses(int? leaf, string what, Group group, MlsMessage message)
    {
        Assert.False(group.TryProcess(Client.Wire(message), out _, out var refusal), what);
        Assert.Equal(MlsError.InvalidKey, refusal.Error);
        Assert.True(leaf == refusal.Leaf, $"{what}: {refusal}");
        Assert.False(refusal.MayResolve);
    }

    /// <summary>A key package with one key replaced, signed by its owner.</summary>
    private static KeyPackage Package(Client client, byte[]? initKey = null, byte[]? encryptionKey = null, byte[]? signatureKey = null)
    {
        var good = client.NewPackage();
        var leaf = new LeafNode
        {
            EncryptionKey = encryptionKey ?? good.Leaf.EncryptionKey,
            SignatureKey = signatureKey ?? good.Leaf.SignatureKey,
            Credential = good.Leaf.Credential,
            Capabilities = good.Leaf.Capabilities,
            Source = LeafNodeSource.KeyPackage,
            Lifetime = good.Leaf.Lifetime,
            Extensions = good.Leaf.Extensions,
        }.Signed(client.Suite, client.SigningKey, default, 0);
        return new KeyPackage { Version = 1, CipherSuite = client.Suite.Id, InitKey = initKey ?? good.InitKey, Leaf = leaf, Extensions = good.Extensions }
            .Signed(client.Suite, client.SigningKey);
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Every_edge_point_is_refused_and_every_generated_key_taken(ushort suite)
    {
        var tested = CipherSuite.Get(suite);
        foreach (var (what, key) in EdgePoints.Kem(suite)) Assert.False(tested.Kem.IsPublicKey(key), what);
        foreach (var (what, key) in EdgePoints.Signature(suite)) Assert.False(tested.Signature.IsPublicKey(key), what);
        for (var i = 0; i < 50; i++)
        {
            Assert.True(tested.Kem.IsPublicKey(tested.GenerateKeyPair().PublicKey));
            Assert.True(tested.Signature.IsPublicKey(tested.GenerateSignatureKeyPair().PublicKey));
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Nothing_verifies_under_an_edge_point(ushort suite)
    {
        // With a point of small order as key and as R, and zero as S, the equation of RFC 8032 holds for many messages.
        var tested = CipherSuite.Get(suite);
        foreach (var (what, key) in EdgePoints.Signature(suite))
        {
            foreach (var (_, r) in EdgePoints.Signature(suite).Where(p => p.Key.Length == 32))
            {
                for (byte message = 0; message < 16; message++) Assert.False(tested.Signature.Verify(key, [message], [.. r, .. new byte[32]]), what);
            }
            Assert.False(tested.Signature.Verify(key, [1], [0x30, 6, 2, 1, 1, 2, 1, 1]), what);
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void Hpke_refuses_every_edge_point_as_recipient_and_as_output_of_the_kem(ushort suite)
    {
        var tested = CipherSuite.Get(suite);
        using var own = tested.Kem.Generate();
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            Assert.True(MlsError.InvalidKey == Client.Refusal(() => tested.HpkeSeal(key, tested.HpkeInfoHash(default), default, [1])), what);
            Assert.True(MlsError.InvalidKey == Client.Refusal(() => tested.HpkeSendExport(key, "x"u8, 32)), what);
            Assert.True(MlsError.InvalidKey
                == Client.Refusal(() => tested.HpkeOpen(own.PrivateKey, own.PublicKey, key, tested.HpkeInfoHash(default), default, new byte[40])), what);
            Assert.True(MlsError.InvalidKey == Client.Refusal(() => tested.HpkeReceiveExport(own, key, "x"u8, 32)), what);
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_key_package_with_an_edge_point_is_refused(ushort suite)
    {
        var client = new Client("client", suite);
        Assert.Equal(MlsError.None, Package(client).Verify(null));
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            Assert.True(MlsError.InvalidKey == Package(client, initKey: key).Verify(null), what);
            Assert.True(MlsError.InvalidKey == Package(client, encryptionKey: key).Verify(null), what);
        }
        foreach (var (what, key) in EdgePoints.Signature(suite)) Assert.True(MlsError.InvalidKey == Package(client, signatureKey: key).Verify(null), what);
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void An_add_with_an_edge_point_is_neither_made_nor_taken(ushort suite)
    {
        var clients = Client.InOneGroup(2, suite);
        var forger = new Forger(clients[0]);
        var candidate = new Client("candidate", suite);
        foreach (var (what, key) in EdgePoints.Kem(suite).Where(p => p.Key.Length > 0))
        {
            var package = Package(candidate, encryptionKey: key);
            Assert.True(MlsError.InvalidKey
                == Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Proposals = [new AddProposal(package)] })), what);
            Refuses(null, what, clients[1].Group, forger.Commit([new AddProposal(package)]));
            Refuses(null, what, clients[1].Group, forger.Proposal(new AddProposal(package)));
            Refuses(null, what, clients[1].Group, forger.Commit([new AddProposal(Package(candidate, initKey: key))]));
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void An_update_with_an_edge_point_is_refused_and_its_sender_named(ushort suite)
    {
        var clients = Client.InOneGroup(3, suite);
        var forger = new Forger(clients[2]);
        var old = clients[2].Group.Leaf(2)!;
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            Refuses(2, what, clients[1].Group, forger.Proposal(new UpdateProposal(forger.Leaf(old, LeafNodeSource.Update, encryptionKey: key))));
        }
        foreach (var (what, key) in EdgePoints.Signature(suite))
        {
            Refuses(2, what, clients[1].Group,
                forger.Proposal(new UpdateProposal(forger.Leaf(old, LeafNodeSource.Update, forger.NewKey(), signatureKey: key))));
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_path_with_an_edge_point_is_refused_and_its_sender_named(ushort suite)
    {
        var clients = Client.InOneGroup(4, suite);
        var forger = new Forger(clients[3]);
        var path = forger.Path();
        var old = clients[3].Group.Leaf(3)!;
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            Refuses(3, what, clients[1].Group, forger.Commit([], path with { Leaf = forger.Leaf(old, LeafNodeSource.Commit, key, path.Leaf.ParentHash) }));
            for (var i = 0; i < path.Nodes.Length; i++)
            {
                var at = i;
                Refuses(3, what, clients[1].Group,
                    forger.Commit([], path with { Nodes = [.. path.Nodes.Select((n, j) => j == at ? n with { EncryptionKey = key } : n)] }));
            }

            // The output of the KEM, of every ciphertext: the receiver looks at its own.
            var broken = path with
            {
                Nodes = [.. path.Nodes.Select(n => n with { EncryptedPathSecret = [.. n.EncryptedPathSecret.Select(c => c with { KemOutput = key })] })],
            };
            Refuses(3, what, clients[1].Group, forger.Commit([], broken));
        }
        foreach (var (what, key) in EdgePoints.Signature(suite))
        {
            Refuses(3, what, clients[1].Group,
                forger.Commit([],
                    path with { Leaf = forger.Leaf(old, LeafNodeSource.Commit, path.Leaf.EncryptionKey, path.Leaf.ParentHash, signatureKey: key) }));
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_welcome_whose_tree_holds_an_edge_point_is_refused_and_the_leaf_named(ushort suite)
    {
        var clients = Client.InOneGroup(3, suite);
        var forger = new Forger(clients[0]);
        var joiner = new Client("joiner", suite);
        joiner.NewPackage();
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            var welcome = forger.Welcome(joiner, tree => With(tree, 2, new Forger(clients[2]).Leaf(tree.Leaf(2)!, LeafNodeSource.Update, key)));
            Assert.False(Group.TryJoin(welcome, joiner.Package!, null, out _, out var refusal), what);
            Assert.True(new MlsRefusal(MlsError.InvalidKey, 2) == refusal, $"{what}: {refusal}");
        }
        foreach (var (what, key) in EdgePoints.Signature(suite))
        {
            var welcome = forger.Welcome(joiner, tree => With(tree, 2, new Forger(clients[2]).Leaf(tree.Leaf(2)!, LeafNodeSource.Update, signatureKey: key)));
            Assert.False(Group.TryJoin(welcome, joiner.Package!, null, out _, out var refusal), what);
            Assert.True(new MlsRefusal(MlsError.InvalidKey, 2) == refusal, $"{what}: {refusal}");
        }

        static RatchetTree With(RatchetTree tree, int index, LeafNode leaf)
        {
            tree.SetLeaf(index, leaf);
            return tree;
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_welcome_whose_tree_has_a_parent_with_an_edge_point_is_refused(ushort suite)
    {
        // Parent 1 above leaves 0 and 1, with the right parent hash in leaf 0: only its key is wrong.
        var clients = Client.InOneGroup(2, suite);
        var forger = new Forger(clients[0]);
        var joiner = new Client("joiner", suite);
        joiner.NewPackage();
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            var welcome = forger.Welcome(joiner, tree =>
            {
                var root = new ParentNode { EncryptionKey = forger.NewKey(), ParentHash = [], UnmergedLeaves = [2] };
                tree.SetParent(3, root);
                var parent = new ParentNode { EncryptionKey = key, ParentHash = tree.ParentHash(root, 5), UnmergedLeaves = [] };
                tree.SetParent(1, parent);
                tree.SetLeaf(0, forger.Leaf(tree.Leaf(0)!, LeafNodeSource.Commit, forger.NewKey(), tree.ParentHash(parent, 2)));
                return tree;
            });
            Assert.False(Group.TryJoin(welcome, joiner.Package!, null, out _, out var refusal), what);
            Assert.True(new MlsRefusal(MlsError.InvalidKey, 0) == refusal, $"{what}: {refusal}");
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_welcome_with_an_edge_point_as_output_of_the_kem_is_refused(ushort suite)
    {
        var clients = Client.InOneGroup(2, suite);
        var joiner = new Client("joiner", suite);
        joiner.NewPackage();
        var welcome = new Forger(clients[0]).Welcome(joiner).Welcome!;
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            var changed = welcome with { Secrets = [welcome.Secrets[0] with { Secrets = welcome.Secrets[0].Secrets with { KemOutput = key } }] };
            Assert.False(Group.TryJoin(Client.Wire(new MlsMessage(WireFormat.Welcome, changed)), joiner.Package!, null, out _, out var refusal), what);
            Assert.True(MlsError.InvalidKey == refusal, $"{what}: {refusal}");
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void External_joins_with_an_edge_point_are_refused(ushort suite)
    {
        var clients = Client.InOneGroup(2, suite);
        var joiner = new Client("joiner", suite);
        joiner.NewPackage();
        var good = clients[0].Group.GroupInfo().GroupInfo!;
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            var writer = new TlsWriter();
            writer.WriteOpaque(key);
            var info = new GroupInfo
            {
                Context = good.Context,
                Extensions = [good.Extensions[0], new Extension(ExtensionType.ExternalPub, writer.ToArray())],
                ConfirmationTag = good.ConfirmationTag,
                Signer = good.Signer,
            }.Signed(clients[0].SigningKey);
            Assert.True(MlsError.InvalidKey
                == Client.Refusal(() => Group.JoinExternally(Client.Wire(new MlsMessage(WireFormat.GroupInfo, info)), joiner.Package!)), what);
        }

        // And the other way round: the joiner's external commit carries the KEM output.
        var (_, commit) = Group.JoinExternally(clients[0].Group.GroupInfo(), joiner.Package!);
        var path = commit.Public!.Content.Content.Commit!.Path!;
        foreach (var (what, key) in EdgePoints.Kem(suite))
        {
            var forged = new Forger(clients[0]).Commit([new ExternalInitProposal(key)], path, new Sender(SenderType.NewMemberCommit, 0), joiner.SigningKey);
            Assert.False(clients[1].Group.TryProcess(Client.Wire(forged), out _, out var refusal), what);
            Assert.True(MlsError.InvalidKey == refusal, $"{what}: {refusal}");
        }
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void External_senders_with_an_edge_point_are_refused(ushort suite)
    {
        var clients = Client.InOneGroup(2, suite);
        foreach (var (what, key) in EdgePoints.Signature(suite))
        {
            Extension[] extensions = [.. Client.MarmotExtensions, ExternalSender.ToExtension([new ExternalSender(key, Credential.Basic("service"u8))])];
            Refuses(null, what, clients[1].Group, new Forger(clients[0]).Proposal(new GroupContextExtensionsProposal(extensions)));
            Assert.True(MlsError.InvalidKey
                == Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Proposals = [new GroupContextExtensionsProposal(extensions)] })), what);
            Assert.True(MlsError.InvalidKey == Client.Refusal(() => new Client("creator", suite).Creates(extensions: extensions)), what);
        }
    }

    /// <summary>A group that was stored before such keys were refused, by all of its members.</summary>
    private static Client[] GroupWithInvalidLeaf(ushort suite, int bad, int count)
    {
        var clients = Client.InOneGroup(count, suite);
        var leaf = new Forger(clients[bad]).Leaf(clients[bad].Group.Leaf(bad)!, LeafNodeSource.Update, EdgePoints.Worst(suite));
        foreach (var client in clients) client.Group.Current.Tree.SetLeaf(bad, leaf);
        return clients;
    }

    [Theory]
    [MemberData(nameof(Suites))]
    public void A_group_that_holds_an_invalid_leaf_goes_on_without_it_and_says_which_it_is(ushort suite)
    {
        var clients = GroupWithInvalidLeaf(suite, bad: 2, count: 5);
        Assert.Equal([2], clients[0].Group.InvalidLeaves);
        Client[] others = [.. clients.Where((_, i) => i != 2)];

        // Renaming, renewing keys and removing somebody else: each needs a path that cannot reach leaf 2.
        Client.Commits(clients[0], others,
            new CommitRequest { Proposals = [new GroupContextExtensionsProposal([.. Client.MarmotExtensions[..1], new(Client.GroupData, [7])])] });
        Client.Commits(clients[1], others, new CommitRequest { ForcePath = true });
        Client.Commits(clients[0], others.Where(c => c != clients[4]), new CommitRequest { Proposals = [new RemoveProposal(4)] });
        others = [.. others.Where(c => c != clients[4])];
        Client.AssertAgree(others);

        // The removal that ends it.
        Client.Commits(clients[3], others, new CommitRequest { Proposals = [new RemoveProposal(2)] });
        Assert.Empty(clients[3].Group.InvalidLeaves);
        Client.AssertAgree(others);
        Client.AssertTalk(others);
    }

    [Fact]
    public void What_replaces_the_secret_for_an_invalid_leaf_opens_for_nobody()
    {
        // A point of low order makes every shared secret zero: who encrypts to it tells everybody.
        var clients = GroupWithInvalidLeaf(1, bad: 1, count: 2);
        var commit = clients[0].Group.Commit(new CommitRequest { ForcePath = true, Format = WireFormat.PublicMessage });
        var node = Assert.Single(commit.Message!.Public!.Content.Content.Commit!.Path!.Nodes);
        var ciphertext = Assert.Single(node.EncryptedPathSecret);
        Assert.True(clients[0].Suite.Kem.IsPublicKey(ciphertext.KemOutput));
        Assert.Equal(32 + CipherSuite.TagLength, ciphertext.Ciphertext.Length);
    }

    [Fact]
    public void A_parent_that_is_invalid_stops_a_commit_until_who_is_below_it_is_removed()
    {
        var clients = Client.InOneGroup(4);
        Client.Commits(clients[2], clients, new CommitRequest { ForcePath = true });
        var parent = clients[0].Group.Current.Tree.Parent(5)!;
        clients[0].Group.Current.Tree.SetParent(5,
            new ParentNode { EncryptionKey = EdgePoints.Worst(1), ParentHash = parent.ParentHash, UnmergedLeaves = parent.UnmergedLeaves });

        var refusal = Assert.Throws<MlsException>(() => clients[0].Group.Commit(new CommitRequest { ForcePath = true })).Refusal;
        Assert.Equal(new MlsRefusal(MlsError.InvalidKey, 2), refusal);

        // Left to choose, the group takes of the pending proposals what makes the commit possible.
        clients[0].Group.Propose(new RemoveProposal(1));
        clients[0].Group.Propose(new RemoveProposal(2));
        var commit = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        Assert.Equal([1, 2], commit.Removed.Select(m => m.Index));
    }
}
