using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>One test a rule of RFC 9420, 12.1 and 12.2: a forged commit breaks exactly that rule.</summary>
[Trait("Spec", "RFC 9420, 12.2")]
public class ProposalRuleTests
{
    private readonly Client[] _clients = Client.InOneGroup(4);
    private readonly Forger _forger;

    public ProposalRuleTests() => _forger = new Forger(_clients[0]);

    private void Refuses(MlsError expected, params Proposal[] proposals) => RefusesMessage(expected, _forger.Commit(proposals, _forger.Path()));

    private void RefusesMessage(MlsError expected, MlsMessage message)
    {
        Assert.False(_clients[1].Group.TryProcess(message, out _, out var error));
        Assert.Equal(expected, error);
    }

    private byte[] Pend(int sender, Proposal proposal)
    {
        var message = new Forger(_clients[sender]).Proposal(proposal);
        return Assert.IsType<ReceivedProposal>(_clients[1].Group.Process(message)).Reference;
    }

    private LeafNode UpdateLeaf(int sender) => new Forger(_clients[sender]).Leaf(_clients[sender].Group.Leaf(sender)!, LeafNodeSource.Update, _forger.NewKey());

    /// <summary>A key package with both signatures right and something that this library does not make.</summary>
    private static KeyPackage Forged(Client client, byte[]? encryptionKey = null, Credential? credential = null, Extension[]? leafExtensions = null,
        Extension[]? extensions = null, ushort version = 1)
    {
        var good = client.NewPackage();
        var leaf = new LeafNode
        {
            EncryptionKey = encryptionKey ?? good.Leaf.EncryptionKey,
            SignatureKey = good.Leaf.SignatureKey,
            Credential = credential ?? good.Leaf.Credential,
            Capabilities = good.Leaf.Capabilities,
            Source = LeafNodeSource.KeyPackage,
            Lifetime = Lifetime.Unlimited,
            Extensions = leafExtensions ?? [],
        }.Signed(client.Suite, client.SigningKey, [], 0);
        return new KeyPackage { Version = version, CipherSuite = client.Suite.Id, InitKey = good.InitKey, Leaf = leaf, Extensions = extensions ?? [] }
            .Signed(client.Suite, client.SigningKey);
    }

    private static KeyPackage Package() => new Client("new").NewPackage();

    [Fact]
    public void A_commit_that_breaks_no_rule_fails_only_at_its_forged_tag() => Refuses(MlsError.BadConfirmationTag);

    [Fact]
    public void Refuses_a_remove_of_the_committer() => Refuses(MlsError.RemoveOfCommitter, new RemoveProposal(0));

    [Fact]
    public void Refuses_a_remove_of_a_leaf_outside_the_tree() => Refuses(MlsError.UnknownLeaf, new RemoveProposal(4));

    [Fact]
    public void Refuses_a_remove_of_a_leaf_index_beyond_int() => Refuses(MlsError.UnknownLeaf, new RemoveProposal(uint.MaxValue));

    [Fact]
    public void Refuses_two_removes_of_one_leaf() => Refuses(MlsError.LeafChangedTwice, new RemoveProposal(2), new RemoveProposal(2));

    [Fact]
    public void Refuses_an_update_and_a_remove_of_one_leaf()
        =>
            RefusesMessage(MlsError.LeafChangedTwice,
                _forger.Commit([new RemoveProposal(2)], _forger.Path(), null, null, Pend(2, new UpdateProposal(UpdateLeaf(2)))));

    [Fact]
    public void Refuses_two_updates_of_one_leaf()
        =>
            RefusesMessage(MlsError.LeafChangedTwice,
                _forger.Commit([], _forger.Path(), null, null, Pend(2, new UpdateProposal(UpdateLeaf(2))), Pend(2, new UpdateProposal(UpdateLeaf(2)))));

    [Fact]
    public void Refuses_an_update_by_the_committer() => Refuses(MlsError.UpdateByCommitter, new UpdateProposal(UpdateLeaf(0)));

    [Fact]
    public void Refuses_an_update_that_keeps_the_encryption_key()
        =>
            RefusesMessage(MlsError.EncryptionKeyReused, new Forger(_clients[2])
                .Proposal(new UpdateProposal(new Forger(_clients[2]).Leaf(_clients[2].Group.Leaf(2)!, LeafNodeSource.Update))));

    [Fact]
    public void Refuses_an_update_whose_leaf_is_signed_for_another_place()
        => RefusesMessage(MlsError.BadSignature, new Forger(_clients[2]).Proposal(new UpdateProposal(UpdateLeaf(3))));

    [Fact]
    public void Refuses_an_update_whose_leaf_has_another_source()
        =>
            RefusesMessage(MlsError.WrongLeafSource, new Forger(_clients[2])
                .Proposal(new UpdateProposal(new Forger(_clients[2]).Leaf(_clients[2].Group.Leaf(2)!, LeafNodeSource.Commit, _forger.NewKey()))));

    [Fact]
    public void Refuses_two_adds_of_one_client()
    {
        var client = new Client("twice");
        Refuses(MlsError.DuplicateMember, new AddProposal(client.NewPackage()), new AddProposal(client.NewPackage()));
    }

    [Fact]
    public void Refuses_an_add_of_a_member() => Refuses(MlsError.DuplicateMember, new AddProposal(_clients[2].NewPackage()));

    [Fact]
    public void Takes_an_add_of_a_member_who_is_removed_in_the_same_commit()
    {
        Client.Commits(_clients[0], [_clients[1], _clients[3]],
            new CommitRequest { Proposals = [new RemoveProposal(2), new AddProposal(_clients[2].NewPackage())] });
        Client.AssertAgree([_clients[0], _clients[1], _clients[3]]);
    }

    [Fact]
    public void Refuses_an_add_for_another_suite() => Refuses(MlsError.KeyPackageMismatch, new AddProposal(new Client("other", 3).NewPackage()));

    [Fact]
    public void Refuses_an_add_whose_signature_is_wrong()
    {
        var bytes = Package().ToBytes();
        bytes[^1] ^= 1;
        Assert.True(KeyPackage.TryRead(bytes, out var forged, out _));
        Refuses(MlsError.BadSignature, new AddProposal(forged!));
    }

    [Fact]
    public void Refuses_an_add_whose_init_key_is_its_encryption_key()
    {
        var client = new Client("new");
        var good = client.NewPackage();
        var forged = new KeyPackage { Version = 1, CipherSuite = 1, InitKey = good.Leaf.EncryptionKey, Leaf = good.Leaf, Extensions = [] }
            .Signed(client.Suite, client.SigningKey);
        Refuses(MlsError.InitKeyReused, new AddProposal(forged));
    }

    [Fact]
    public void Refuses_an_add_whose_leaf_is_not_from_a_key_package()
    {
        var forged = new KeyPackage { Version = 1, CipherSuite = 1, InitKey = _forger.NewKey(), Leaf = UpdateLeaf(2), Extensions = [] };
        Refuses(MlsError.WrongLeafSource, new AddProposal(forged));
    }

    [Fact]
    public void Refuses_an_add_of_another_version()
    {
        var good = Package();
        Refuses(MlsError.KeyPackageMismatch,
            new AddProposal(new KeyPackage { Version = 2, CipherSuite = 1, InitKey = good.InitKey, Leaf = good.Leaf, Extensions = [] }));
    }

    [Fact]
    public void Refuses_a_key_package_whose_version_is_not_that_of_its_message()
    {
        Assert.False(MlsMessage.TryRead(MlsMessage.Of(Forged(new Client("new"), version: 2)).ToBytes(), out _, out var error));
        Assert.Equal(MlsError.UnsupportedVersion, error);
        Assert.True(MlsMessage.TryRead(MlsMessage.Of(Forged(new Client("new"))).ToBytes(), out _, out _));
    }

    [Fact]
    public void A_key_package_is_not_made_with_what_its_capabilities_do_not_list()
    {
        var client = new Client("new");
        var unlisted = new Extension(0x7777, []);
        Assert.Equal(MlsError.None, Create(Credential.Basic("x"u8)));
        Assert.Equal(MlsError.MissingCapability, Create(new Credential(9, [1])));
        Assert.Equal(MlsError.MissingCapability, Create(Credential.Basic("x"u8), leafExtensions: [unlisted]));
        Assert.Equal(MlsError.MissingCapability, Create(Credential.Basic("x"u8), extensions: [unlisted]));
        Assert.Equal(MlsError.DuplicateExtension,
            Create(Credential.Basic("x"u8), extensions: [new Extension(ExtensionType.LastResort, []), new Extension(ExtensionType.LastResort, [])]));

        MlsError Create(Credential credential, Extension[]? extensions = null, Extension[]? leafExtensions = null)
        {
            try
            {
                KeyPackageSecrets.Create(client.Suite, client.Signature, credential, Client.Supported, Lifetime.Unlimited, extensions, leafExtensions)
                    .Dispose();
                return MlsError.None;
            }
            catch (MlsException refusal)
            {
                return refusal.Error;
            }
        }
    }

    [Fact]
    public void Takes_a_key_package_with_an_unknown_extension()
    {
        Client.Commits(_clients[0], _clients,
            new CommitRequest { Proposals = [new AddProposal(Forged(new Client("new"), extensions: [new Extension(0x1a1a, [7])]))] });
        Client.AssertAgree(_clients);
    }

    [Fact]
    public void Refuses_an_add_that_lacks_a_required_capability()
        =>
            Refuses(MlsError.MissingCapability,
                new AddProposal(new Client("new").NewPackage(Capabilities.Of([Client.GroupData, ExtensionType.LastResort], []))));

    [Fact]
    public void Refuses_an_add_that_lacks_an_extension_of_the_group()
        =>
            Refuses(MlsError.MissingCapability,
                new AddProposal(new Client("new").NewPackage(Capabilities.Of([ExtensionType.LastResort], [ProposalType.SelfRemove]))));

    [Fact]
    public void Refuses_an_add_whose_leaf_has_an_extension_it_does_not_list()
        => Refuses(MlsError.MissingCapability, new AddProposal(Forged(new Client("new"), leafExtensions: [new Extension(0x7777, [])])));

    [Fact]
    public void Refuses_an_add_with_a_credential_type_it_does_not_list()
        => Refuses(MlsError.MissingCapability, new AddProposal(Forged(new Client("new"), credential: new Credential(9, [1]))));

    [Fact]
    public void Refuses_an_add_with_a_credential_type_others_do_not_support()
    {
        var client = new Client("new");
        var package = KeyPackageSecrets.Create(client.Suite, client.Signature, new Credential(9, [1]), Client.Supported with { Credentials = [1, 9] },
            Lifetime.Unlimited).KeyPackage;
        Refuses(MlsError.MissingCapability, new AddProposal(package));
    }

    [Fact]
    public void Refuses_an_expired_add_when_a_time_is_given()
    {
        var package = new Client("new").NewPackage(lifetime: new Lifetime(1000, 2000));
        var message = _forger.Commit([new AddProposal(package)], _forger.Path());
        Assert.False(_clients[1].Group.TryProcess(message, out _, out var error, DateTimeOffset.FromUnixTimeSeconds(2001)));
        Assert.Equal(MlsError.LifetimeExpired, error);
        Assert.Equal(MlsError.LifetimeExpired, package.Verify(DateTimeOffset.FromUnixTimeSeconds(999)));
        Assert.Equal(MlsError.None, package.Verify(DateTimeOffset.FromUnixTimeSeconds(2000)));
    }

    [Fact]
    public void Refuses_an_add_whose_encryption_key_is_in_the_tree()
    {
        var forged = Forged(new Client("new"), encryptionKey: _clients[2].Group.Leaf(2)!.EncryptionKey);
        Refuses(MlsError.DuplicateKey, new AddProposal(forged));
    }

    [Fact]
    public void Refuses_a_psk_whose_nonce_has_the_wrong_length()
        => Refuses(MlsError.BadPsk, new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[31])));

    [Fact]
    public void Refuses_reinit_and_branch_psks_outside_their_flow()
    {
        foreach (var usage in (ResumptionUsage[])[ResumptionUsage.ReInit, ResumptionUsage.Branch])
        {
            Refuses(MlsError.BadPsk, new PreSharedKeyProposal(PreSharedKeyId.Resumption(usage, "group"u8.ToArray(), 1, new byte[32])));
        }
    }

    [Fact]
    public void Refuses_one_psk_twice()
        =>
            Refuses(MlsError.DuplicatePsk, new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32])),
                new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32])));

    [Fact]
    public void Takes_one_key_under_two_nonces()
    {
        var clients = Client.InOneGroup(2, rules: new GroupRules { ExternalPsk = _ => [1, 2, 3] });
        byte[][] nonces = [new byte[32], [.. Enumerable.Repeat((byte)1, 32)]];
        Client.Commits(clients[0], clients,
            new CommitRequest { Proposals = [.. nonces.Select(n => new PreSharedKeyProposal(PreSharedKeyId.External([1], n)))] });
        Client.AssertAgree(clients);
    }

    [Fact]
    public void Refuses_an_unknown_psk() => Refuses(MlsError.BadPsk, new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32])));

    [Fact]
    public void Refuses_two_changes_of_the_context_extensions()
        =>
            Refuses(MlsError.DuplicateGroupContextExtensions, new GroupContextExtensionsProposal(Client.MarmotExtensions),
                new GroupContextExtensionsProposal(Client.MarmotExtensions));

    [Fact]
    public void Refuses_an_extension_type_twice()
        => Refuses(MlsError.DuplicateExtension, new GroupContextExtensionsProposal([new Extension(Client.GroupData, []), new Extension(Client.GroupData, [])]));

    [Fact]
    public void Refuses_context_extensions_that_a_member_does_not_support()
        => Refuses(MlsError.MissingCapability, new GroupContextExtensionsProposal([new Extension(0x7777, [])]));

    [Fact]
    public void Refuses_required_capabilities_that_a_member_lacks()
        => Refuses(MlsError.MissingCapability, new GroupContextExtensionsProposal([new RequiredCapabilities([], [0x7777], []).ToExtension()]));

    [Fact]
    public void Refuses_a_reinit_with_company() => Refuses(MlsError.ReInitNotAlone, new ReInitProposal([1], 1, 1, []), new RemoveProposal(2));

    [Fact]
    public void Refuses_a_reinit_to_a_lower_version() => Refuses(MlsError.BadReInit, new ReInitProposal([1], 0, 1, []));

    [Fact]
    public void Refuses_an_external_init_by_a_member() => Refuses(MlsError.ExternalInitNotAllowed, new ExternalInitProposal(new byte[32]));

    [Fact]
    public void Refuses_a_proposal_type_that_members_do_not_support() => Refuses(MlsError.UnsupportedProposal, new CustomProposal(0x7777, [1]));

    [Fact]
    public void Refuses_a_self_remove_by_value() => Refuses(MlsError.BadSender, new SelfRemoveProposal());

    [Fact]
    public void Refuses_a_self_remove_of_the_committer()
    {
        var reference = Pend(0, new SelfRemoveProposal());
        RefusesMessage(MlsError.RemoveOfCommitter, _forger.Commit([], _forger.Path(), null, null, reference));
    }

    [Fact]
    public void Refuses_a_reference_to_a_proposal_it_has_not_seen()
        => RefusesMessage(MlsError.UnknownProposal, _forger.Commit([], _forger.Path(), null, null, new byte[32]));

    [Fact]
    public void Refuses_a_leaf_whose_credential_the_application_does_not_accept()
    {
        var clients = Client.InOneGroup(3,
            rules: new GroupRules
            {
                AcceptLeaf = (old, leaf) => leaf.Credential.Content.Length < 20 && (old is null || old.Credential.SameAs(leaf.Credential)),
            });
        var forger = new Forger(clients[0]);
        var message = forger.Commit([new AddProposal(new Client(new string('x', 30)).NewPackage())], forger.Path());
        Assert.False(clients[1].Group.TryProcess(message, out _, out var error));
        Assert.Equal(MlsError.CredentialRefused, error);
        var path = forger.Path();
        path = path with { Leaf = forger.Leaf(path.Leaf, LeafNodeSource.Commit, credential: Credential.Basic("other"u8)) };
        Assert.False(clients[1].Group.TryProcess(forger.Commit([], path), out _, out error));
        Assert.Equal(MlsError.CredentialRefused, error);
    }
}
