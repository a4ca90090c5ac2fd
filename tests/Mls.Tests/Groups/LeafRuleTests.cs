using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>What leaves must have in common and what not (RFC 9420, 7.3), where a single leaf looks right: each test breaks one rule.</summary>
[Trait("Spec", "RFC 9420, 7.3")]
public class LeafRuleTests
{
    private readonly Client[] _clients = Client.InOneGroup(4);
    private readonly Forger _forger;

    public LeafRuleTests() => _forger = new Forger(_clients[0]);

    private void Refuses(MlsError expected, MlsMessage message)
    {
        Assert.False(_clients[1].Group.TryProcess(message, out _, out var error));
        Assert.Equal(expected, error);
    }

    /// <summary>A leaf with the signature key of another member, who has signed it himself.</summary>
    private LeafNode WithSignatureKeyOf(int other, int place, LeafNodeSource source, LeafNode from, byte[] encryptionKey)
        => new LeafNode
        {
            EncryptionKey = encryptionKey,
            SignatureKey = _clients[other].Signature.PublicKey,
            Credential = from.Credential,
            Capabilities = from.Capabilities,
            Source = source,
            ParentHash = from.ParentHash,
            Extensions = from.Extensions,
        }.Signed(_clients[0].Suite, _clients[other].SigningKey, "group"u8, place);

    [Fact]
    public void Refuses_an_update_to_the_signature_key_of_another_member()
    {
        var leaf = WithSignatureKeyOf(3, 2, LeafNodeSource.Update, _clients[2].Group.Leaf(2)!, _forger.NewKey());
        var update = new Forger(_clients[2]).Proposal(new UpdateProposal(leaf));
        var reference = Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(update)).Reference;
        Refuses(MlsError.DuplicateKey, _forger.Commit([], _forger.Path(), null, null, reference));
    }

    [Fact]
    public void Refuses_a_path_with_the_signature_key_of_another_member()
    {
        var path = _forger.Path();
        Refuses(MlsError.DuplicateKey,
            _forger.Commit([], path with { Leaf = WithSignatureKeyOf(3, 0, LeafNodeSource.Commit, path.Leaf, path.Leaf.EncryptionKey) }));
    }

    [Fact]
    public void A_joiner_refuses_a_parent_with_the_key_of_a_leaf()
    {
        Client.Commits(_clients[0], _clients, new CommitRequest { ForcePath = true });
        var joiner = new Client("joiner");
        joiner.NewPackage();
        var info = _forger.GroupInfo(tree =>
        {
            var old = tree.Parent(1)!;
            tree.SetParent(1, new ParentNode { EncryptionKey = tree.Leaf(2)!.EncryptionKey, ParentHash = old.ParentHash, UnmergedLeaves = old.UnmergedLeaves });
            return tree;
        });
        Assert.Equal(MlsError.DuplicateKey, Client.Refusal(() => Group.JoinExternally(info, joiner.Package!)));
    }

    [Theory]
    [InlineData(new ushort[] { 1, 9 }, MlsError.BadConfirmationTag)] // nothing wrong but the forged tag
    [InlineData(new ushort[] { 9 }, MlsError.MissingCapability)]
    public void Refuses_an_add_that_does_not_support_a_credential_type_in_use(ushort[] credentials, MlsError expected)
    {
        var both = Client.Supported with { Credentials = [1, 9] };
        var (alice, bob, carol) = (new Client("alice"), new Client("bob"), new Client("carol"));
        alice.NewPackage(both);
        alice.Group = Group.Create("group"u8.ToArray(), alice.Package!, Client.MarmotExtensions);
        bob.Joins(Client.Commits(alice, [alice], new CommitRequest { Proposals = [new AddProposal(bob.NewPackage(both))] }).Welcome!);
        var package = KeyPackageSecrets.Create(carol.Suite, carol.Signature, new Credential(9, [1]), Client.Supported with { Credentials = credentials },
            Lifetime.Unlimited).KeyPackage;
        Assert.False(bob.Group.TryProcess(new Forger(alice).Commit([new AddProposal(package)]), out _, out var error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void External_senders_propose_adds_removes_psks_reinits_and_context_changes_and_nothing_else()
    {
        var service = new Client("service");
        var clients = Client.InOneGroup(3,
            extensions: [
                .. Client.MarmotExtensions, ExternalSender.ToExtension([new ExternalSender(service.Signature.PublicKey, Credential.Basic("service"u8))])
            ]);
        var forger = new Forger(clients[0]);
        Assert.Equal(MlsError.None, Give(new RemoveProposal(2)));
        Assert.Equal(MlsError.None, Give(new AddProposal(new Client("new").NewPackage())));
        Assert.Equal(MlsError.None, Give(new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32]))));
        Assert.Equal(MlsError.None, Give(new ReInitProposal([1], 1, 1, [])));
        Assert.Equal(MlsError.None, Give(new GroupContextExtensionsProposal(Client.MarmotExtensions)));

        Assert.Equal(MlsError.BadSender, Give(new UpdateProposal(forger.Leaf(clients[0].Group.Leaf(0)!, LeafNodeSource.Update, forger.NewKey()))));
        Assert.Equal(MlsError.BadSender, Give(new ExternalInitProposal(new byte[32])));
        Assert.Equal(MlsError.BadSender, Give(new SelfRemoveProposal()));
        Assert.Equal(MlsError.BadSender, Give(new CustomProposal(0x7777, [])));
        Assert.Equal(MlsError.BadSender, Give(new RemoveProposal(2), index: 1));
        Assert.Equal(MlsError.BadSignature, Give(new RemoveProposal(2), key: clients[0].SigningKey));
        Assert.False(clients[1].Group.TryProcess(forger.Commit([], forger.Path(), new Sender(SenderType.External, 0), service.SigningKey), out _,
            out var error));
        Assert.Equal(MlsError.BadSender, error);

        MlsError Give(Proposal proposal, uint index = 0, SecretBytes? key = null)
        {
            clients[1].Group.TryProcess(Client.Wire(forger.Proposal(proposal, new Sender(SenderType.External, index), key ?? service.SigningKey)),
                out _, out var error);
            return error;
        }
    }

    [Fact]
    public void A_leaf_that_has_verified_is_not_verified_again_at_its_place_and_is_at_another()
    {
        byte[] groupId = [.. "group"u8];
        var clients = Client.InOneGroup(2);
        var suite = clients[0].Suite;
        Client.Commits(clients[0], clients, new CommitRequest { ForcePath = true });
        var leaf = clients[1].Group.Leaf(0)!; // verified when the commit came
        Assert.Equal(LeafNodeSource.Commit, leaf.Source);
        Assert.Equal(0, Allocated(() => leaf.CheckSignature(suite, groupId, 0)));
        Assert.Equal(MlsError.BadSignature, Client.Refusal(() => leaf.CheckSignature(suite, groupId, 1)));
        Assert.Equal(MlsError.BadSignature, Client.Refusal(() => leaf.CheckSignature(suite, [1], 0)));

        // One that was altered is another object, and verified.
        var package = new Client("new").NewPackage().Leaf;
        Assert.Equal(0, Allocated(() => package.CheckSignature(suite, groupId, 7)));
        var altered = new LeafNode
        {
            EncryptionKey = package.EncryptionKey,
            SignatureKey = package.SignatureKey,
            Credential = Credential.Basic("other"u8),
            Capabilities = package.Capabilities,
            Source = package.Source,
            Lifetime = package.Lifetime,
            Extensions = package.Extensions,
            Signature = package.Signature,
        };
        Assert.Equal(MlsError.BadSignature, Client.Refusal(() => altered.CheckSignature(suite, groupId, 7)));

        static long Allocated(Action check)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            check();
            return GC.GetAllocatedBytesForCurrentThread() - before; // a verification builds what was signed
        }
    }

    [Theory]
    [InlineData(12)]
    [InlineData(70)]
    public void A_joiner_names_the_first_bad_leaf_however_many_cores_look(int members)
    {
        var clients = Client.InOneGroup(members);
        var joiner = new Client("joiner");
        joiner.NewPackage();
        var welcome = new Forger(clients[0]).Welcome(joiner, tree =>
        {
            foreach (var bad in (int[])[members - 1, members - 3, 5])
            {
                var old = tree.Leaf(bad)!;
                tree.SetLeaf(bad,
                    new LeafNode
                    {
                        EncryptionKey = old.EncryptionKey,
                        SignatureKey = old.SignatureKey,
                        Credential = old.Credential,
                        Capabilities = old.Capabilities,
                        Source = old.Source,
                        Lifetime = new Lifetime(1, 2),
                        Extensions = old.Extensions,
                        Signature = old.Signature
                    });
            }
            return tree;
        });
        for (var run = 0; run < 20; run++)
        {
            Assert.False(Group.TryJoin(welcome, joiner.Package!, null, out _, out var refusal));
            Assert.Equal(new MlsRefusal(MlsError.BadSignature, 5), refusal);
        }
    }
}
