using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>One test a rule of what a joiner checks in a Welcome (RFC 9420, 12.4.3.1, 11.2, 11.3). Each Welcome is right but for the one thing named.</summary>
[Trait("Spec", "RFC 9420, 12.4.3.1")]
public class JoinRuleTests
{
    private readonly Client[] _clients = Client.InOneGroup(4);
    private readonly Client _joiner = new("client 2"); // a second device of his, so that it may be in a branch too
    private readonly Forger _forger;

    public JoinRuleTests()
    {
        _forger = new Forger(_clients[0]);
        _joiner.NewPackage();
    }

    private void Refuses(MlsError expected, MlsMessage welcome, JoinRequest? request = null)
    {
        Assert.False(Group.TryJoin(welcome, _joiner.Package!, request, out _, out var error));
        Assert.Equal(expected, error);
    }

    private static PreSharedKeyId Psk(ResumptionUsage usage, int nonce = 32) => PreSharedKeyId.Resumption(usage, "group"u8.ToArray(), 1, new byte[nonce]);

    [Fact]
    public void Takes_a_welcome_with_nothing_wrong_which_is_the_control_of_these_tests()
        => Assert.True(Group.TryJoin(_forger.Welcome(_joiner), _joiner.Package!, null, out _, out _));

    [Fact]
    public void Refuses_a_wrong_confirmation_tag() => Refuses(MlsError.BadConfirmationTag, _forger.Welcome(_joiner, tag: new byte[32]));

    [Fact]
    public void Refuses_a_group_info_signed_by_another_member()
        =>
            Refuses(MlsError.BadSignature,
                _forger.Welcome(_joiner,
                    info: i => new GroupInfo { Context = i.Context, Extensions = i.Extensions, ConfirmationTag = i.ConfirmationTag, Signer = 2 }));

    [Fact]
    public void Refuses_a_signer_that_is_no_member()
    {
        foreach (var signer in (uint[])[7, 99, uint.MaxValue])
        {
            Refuses(MlsError.BadSender,
                _forger.Welcome(_joiner,
                    info: i => new GroupInfo { Context = i.Context, Extensions = i.Extensions, ConfirmationTag = i.ConfirmationTag, Signer = signer }));
        }
    }

    [Fact]
    public void Refuses_a_tree_that_is_not_the_one_hashed() =>
        Refuses(MlsError.BadTreeHash, _forger.Welcome(_joiner, context: c => c.With(c.Epoch, new byte[32], c.ConfirmedTranscriptHash, c.Extensions)));

    [Fact]
    public void Refuses_a_tree_without_the_joiners_leaf()
        => Refuses(MlsError.BadTree, _forger.Welcome(_joiner, tree: t =>
        {
            t.Remove(4);
            t.Add(new Client("someone else").NewPackage().Leaf);
            return t;
        }));

    [Fact]
    public void Refuses_a_welcome_without_a_tree() => Refuses(MlsError.MissingTree, _forger.Welcome(_joiner, withTree: false));

    [Fact]
    public void Refuses_an_extension_type_twice_in_the_group_info()
        =>
            Refuses(MlsError.DuplicateExtension,
                _forger.Welcome(_joiner,
                    info: i => new GroupInfo
                    {
                        Context = i.Context,
                        Extensions = [.. i.Extensions, .. i.Extensions],
                        ConfirmationTag = i.ConfirmationTag,
                        Signer = i.Signer,
                    }));

    [Fact]
    public void Refuses_a_path_secret_that_does_not_give_the_keys_of_the_tree()
    {
        // The signer has committed before, so that a node above it and the joiner has a key.
        Client.Commits(_clients[0], _clients, new CommitRequest { ForcePath = true });
        Client.Commits(_clients[0], _clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        Refuses(MlsError.BadPath, _forger.Welcome(_joiner, secrets: s => s with { PathSecret = SecretBytes.Random(32) }));
    }

    [Fact]
    public void Refuses_a_path_secret_where_no_node_is_shared() =>
        Refuses(MlsError.BadPath, _forger.Welcome(_joiner, secrets: s => s with { PathSecret = SecretBytes.Random(32) }));

    [Fact]
    public void Refuses_a_leaf_that_the_application_does_not_accept()
        =>
            Refuses(MlsError.CredentialRefused, _forger.Welcome(_joiner),
                new JoinRequest { Rules = new GroupRules { AcceptLeaf = (_, leaf) => !leaf.Credential.Content.AsSpan().SequenceEqual("client 2"u8) } });

    [Fact]
    public void Refuses_a_leaf_that_lacks_a_required_capability()
        =>
            Refuses(MlsError.MissingCapability,
                _forger.Welcome(_joiner,
                    context: c => c.With(c.Epoch, c.TreeHash, c.ConfirmedTranscriptHash, [new RequiredCapabilities([0x7777], [], []).ToExtension()])));

    [Fact]
    public void Refuses_an_unknown_psk() =>
        Refuses(MlsError.BadPsk, _forger.Welcome(_joiner, secrets: s => s with { Psks = [PreSharedKeyId.External([1], new byte[32])] }));

    [Fact]
    public void Refuses_a_psk_whose_nonce_has_the_wrong_length() =>
        Refuses(MlsError.BadPsk, _forger.Welcome(_joiner, secrets: s => s with { Psks = [Psk(ResumptionUsage.Branch, nonce: 31)] }));

    [Fact]
    public void Refuses_more_than_one_psk_of_a_reinit_or_branch()
        =>
            Refuses(MlsError.BadPsk, _forger.Welcome(_joiner, secrets: s => s with { Psks = [Psk(ResumptionUsage.Branch), Psk(ResumptionUsage.ReInit)] }),
                new JoinRequest { Predecessor = _clients[1].Group });

    [Fact]
    public void Refuses_a_welcome_of_another_suite()
    {
        var other = Client.InOneGroup(2, suite: 3);
        var added = new Client("added", 3);
        var welcome = other[0].Group.Commit(new CommitRequest { Proposals = [new AddProposal(added.NewPackage())] }).Welcome!;
        Refuses(MlsError.KeyPackageMismatch, welcome);
    }

    /// <summary>A Welcome to a group that names its predecessor: the same group id and members, and the joiner.</summary>
    private MlsMessage Successor(Group predecessor, PreSharedKeyId id, ulong epoch = 1, Func<RatchetTree, RatchetTree>? tree = null,
        SecretBytes? resumption = null)
    {
        var psk = PskSecret.Compute(predecessor.Suite, [(id, resumption ?? predecessor.Current.Secrets.Resumption.Clone())]).ToArray();
        return _forger.Welcome(_joiner, tree, c => c.With(epoch, c.TreeHash, c.ConfirmedTranscriptHash, c.Extensions), secrets: s => s with { Psks = [id] },
            pskSecret: psk);
    }

    /// <summary>All members close their group in favour of this one; gives the joiner's view of it.</summary>
    private Group ReInitialised(string groupId = "group", Extension[]? extensions = null)
    {
        Client.Commits(_clients[0], _clients,
            new CommitRequest { Proposals = [new ReInitProposal(System.Text.Encoding.UTF8.GetBytes(groupId), 1, 1, extensions ?? Client.MarmotExtensions)] });
        return _clients[1].Group;
    }

    private static PreSharedKeyId LastPsk(Group predecessor) =>
        PreSharedKeyId.Resumption(ResumptionUsage.ReInit, predecessor.GroupId.ToArray(), predecessor.Epoch, new byte[32]);

    [Theory]
    [InlineData(1, MlsError.None)]
    [InlineData(2, MlsError.BadPsk)]
    public void Refuses_a_branch_that_is_not_in_its_first_epoch(ulong epoch, MlsError expected)
    {
        var predecessor = _clients[1].Group;
        Group.TryJoin(Successor(predecessor, Psk(ResumptionUsage.Branch), epoch), _joiner.Package!, new JoinRequest { Predecessor = predecessor },
            out _, out var error);
        Assert.Equal(expected, error);
    }

    [Fact]
    public void Refuses_a_branch_with_someone_who_is_no_member_of_the_old_group()
    {
        var predecessor = _clients[1].Group;
        var welcome = Successor(predecessor, Psk(ResumptionUsage.Branch), tree: t =>
        {
            t.Add(new Client("stranger").NewPackage().Leaf);
            return t;
        });
        Refuses(MlsError.CredentialRefused, welcome, new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_branch_of_another_suite()
    {
        var predecessor = Client.InOneGroup(2, suite: 3)[0].Group;
        Refuses(MlsError.KeyPackageMismatch, Successor(predecessor, Psk(ResumptionUsage.Branch)), new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_welcome_that_does_not_come_from_the_group_it_shall_continue()
        => Refuses(MlsError.BadPsk, _forger.Welcome(_joiner), new JoinRequest { Predecessor = _clients[1].Group });

    [Fact]
    public void Refuses_a_successor_when_its_predecessor_is_not_given()
    {
        var predecessor = ReInitialised();
        Refuses(MlsError.BadPsk, Successor(predecessor, LastPsk(predecessor)));
    }

    [Fact]
    public void Refuses_a_successor_of_a_group_whose_secrets_are_gone()
    {
        var predecessor = ReInitialised();
        var welcome = Successor(predecessor, LastPsk(predecessor));
        predecessor.Dispose();
        Refuses(MlsError.BadPsk, welcome, new JoinRequest { Predecessor = predecessor });
    }

    [Theory]
    [InlineData(1, MlsError.None)]
    [InlineData(0, MlsError.BadPsk)]
    [InlineData(2, MlsError.BadPsk)]
    public void Refuses_a_successor_that_is_not_in_its_first_epoch(ulong epoch, MlsError expected)
    {
        var predecessor = ReInitialised();
        Group.TryJoin(Successor(predecessor, LastPsk(predecessor), epoch), _joiner.Package!, new JoinRequest { Predecessor = predecessor },
            out _, out var error);
        Assert.Equal(expected, error);
    }

    [Fact]
    public void Refuses_a_successor_that_lacks_a_member_of_the_old_group()
    {
        var predecessor = ReInitialised();
        var welcome = Successor(predecessor, LastPsk(predecessor), tree: t =>
        {
            t.Remove(3);
            return t;
        });
        Refuses(MlsError.BadReInit, welcome, new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_successor_of_a_group_that_was_not_reinitialised()
    {
        var predecessor = _clients[1].Group;
        Refuses(MlsError.BadReInit, Successor(predecessor, LastPsk(predecessor)), new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_successor_by_the_psk_of_an_epoch_before_the_reinit()
    {
        var resumption = _clients[1].Group.Current.Secrets.Resumption.Clone();
        var predecessor = ReInitialised();
        Refuses(MlsError.BadPsk, Successor(predecessor, Psk(ResumptionUsage.ReInit), resumption: resumption), new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_successor_whose_group_id_is_not_that_of_the_reinit()
    {
        var predecessor = ReInitialised("another id");
        Refuses(MlsError.BadReInit, Successor(predecessor, LastPsk(predecessor)), new JoinRequest { Predecessor = predecessor });
    }

    [Fact]
    public void Refuses_a_successor_whose_extensions_are_not_those_of_the_reinit()
    {
        var predecessor = ReInitialised(extensions: [Client.MarmotExtensions[0]]);
        Refuses(MlsError.BadReInit, Successor(predecessor, LastPsk(predecessor)), new JoinRequest { Predecessor = predecessor });
    }
}
