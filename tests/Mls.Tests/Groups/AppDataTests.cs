using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>The dictionary of application data and its proposals, each rule of the draft on its own.</summary>
[Trait("Spec", "draft-ietf-mls-extensions, 4")]
public class AppDataTests
{
    private static readonly Capabilities Supported = Capabilities.Of([ExtensionType.AppDataDictionary],
        [ProposalType.AppDataUpdate, ProposalType.AppEphemeral, ProposalType.SelfRemove]);

    private static Extension Required(params ushort[] proposals) => new RequiredCapabilities([ExtensionType.AppDataDictionary], proposals, []).ToExtension();

    private static readonly Extension[] WithData = [
        AppDataDictionary.Empty.With(0x8001, [1]).With(0x8003, [3]).ToExtension(), Required(ProposalType.AppDataUpdate)
    ];

    private static Client[] InOneGroup(int count, Extension[]? extensions = null, GroupRules? rules = null, Capabilities? capabilities = null)
    {
        var clients = Enumerable.Range(0, count).Select(i => new Client($"client {i}", rules: rules)).ToArray();
        clients[0].NewPackage(capabilities ?? Supported);
        clients[0].Group = Group.Create("group"u8.ToArray(), clients[0].Package!, extensions ?? WithData, clients[0].Rules);
        var commit = clients[0].Group.Commit(new CommitRequest
        {
            Proposals = [.. clients.Skip(1).Select(c => new AddProposal(c.NewPackage(capabilities ?? Supported)))],
        });
        clients[0].Group.Merge(commit);
        foreach (var client in clients.Skip(1)) client.Joins(commit.Welcome!);
        return clients;
    }

    private static AppDataDictionary Data(Group group)
    {
        Assert.True(AppDataDictionary.TryFind(group.Extensions, out var dictionary));
        return dictionary;
    }

    private static AppDataUpdateProposal Set(ushort component, params byte[] data) => new(component, data);

    private static AppDataUpdateProposal Remove(ushort component) => new(component, null);

    private static void Refuses(MlsError expected, Client[] clients, params Proposal[] proposals)
    {
        Assert.Equal(expected, Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Proposals = proposals })));
        Assert.False(clients[1].Group.TryProcess(Client.Wire(new Forger(clients[0]).Commit(proposals)), out _, out var refusal));
        Assert.Equal(expected, refusal);
    }

    [Theory]
    [InlineData("0008 8001 01 03 010203")]
    [InlineData("0008 8001 01 00")]
    [InlineData("0008 8001 02")]
    [InlineData("0009 8005 02 aabb")]
    [InlineData("000a")]
    public void Proposals_have_their_own_wire_form(string hex)
    {
        var bytes = Convert.FromHexString(hex.Replace(" ", ""));
        var reader = new TlsReader(bytes);
        var proposal = Proposal.Read(ref reader);
        Assert.Equal(0, reader.Remaining);
        Assert.IsNotType<CustomProposal>(proposal);
        Assert.Equal(bytes, TlsWriter.Encode(proposal));
    }

    [Theory]
    [InlineData("0008 8001 00")]
    [InlineData("0008 8001 03 00")]
    [InlineData("0008 8001 01 05 0102")]
    [InlineData("0008 80")]
    public void Operations_that_are_none_and_cut_ones_are_refused(string hex) => Assert.Equal(MlsError.Malformed, Client.Refusal(() =>
    {
        var reader = new TlsReader(Convert.FromHexString(hex.Replace(" ", "")));
        Proposal.Read(ref reader);
    }));

    [Theory]
    [InlineData("00", true)]
    [InlineData("04 0002 01 00", true)]
    [InlineData("06 0001 00 0002 00", true)]
    [InlineData("06 0002 00 0001 00", false)] // not ascending
    [InlineData("06 0001 00 0001 00", false)] // twice
    [InlineData("03 0001 00 00", false)] // trailing
    [InlineData("03 0001 01", false)]
    [InlineData("", false)]
    public void A_dictionary_is_ascending_without_doubles(string hex, bool valid)
    {
        var bytes = Convert.FromHexString(hex.Replace(" ", ""));
        Assert.Equal(valid, AppDataDictionary.TryRead(bytes, out var dictionary));
        if (valid) Assert.Equal(bytes, dictionary.ToExtension().Data);
    }

    [Theory]
    [InlineData("00", true)]
    [InlineData("04 0001 8001", true)]
    [InlineData("04 8001 0001", false)]
    [InlineData("04 8001 8001", false)]
    [InlineData("03 8001 80", false)]
    [InlineData("02 8001 00", false)]
    public void A_list_of_components_is_ascending_without_doubles(string hex, bool valid)
    {
        var bytes = Convert.FromHexString(hex.Replace(" ", ""));
        Assert.Equal(valid, ComponentsList.TryRead(bytes, out var list));
        if (valid) Assert.Equal(bytes, list.ToBytes());
        Assert.Equal("0400018001", Convert.ToHexStringLower(ComponentsList.Of(0x8001, 1, 1).ToBytes()));
    }

    [Fact]
    public void Updates_insert_replace_and_remove_without_a_path_and_keep_the_extension_in_its_place()
    {
        var clients = InOneGroup(3);
        var commit = Client.Commits(clients[0], clients,
            new CommitRequest { Proposals = [Set(0x8002, 2, 2), Set(0x8001, 9), Remove(0x8003)], Format = WireFormat.PublicMessage });
        Assert.False(commit.HasPath);
        Client.AssertAgree(clients);
        foreach (var client in clients)
        {
            Assert.Equal([ExtensionType.AppDataDictionary, ExtensionType.RequiredCapabilities], client.Group.Extensions.Select(e => e.Type));
            Assert.Equal([0x8001, 0x8002], Data(client.Group).Components);
            Assert.Equal([9], Data(client.Group)[0x8001]!);
            Assert.Equal([2, 2], Data(client.Group)[0x8002]!);
        }
        Assert.Equal([1], AppDataDictionary.TryFind(commit.ExtensionsBefore, out var before) ? before[0x8001]! : []);
        Client.AssertTalk(clients);
    }

    [Fact]
    public void The_dictionary_is_added_at_the_end_where_there_was_none()
    {
        var clients = InOneGroup(2, [Required(ProposalType.AppDataUpdate)]);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [Set(0x8001, 1)] });
        Client.AssertAgree(clients);
        Assert.Equal([ExtensionType.RequiredCapabilities, ExtensionType.AppDataDictionary], clients[1].Group.Extensions.Select(e => e.Type));
    }

    [Fact]
    public void It_is_not_added_while_a_member_does_not_support_it()
    {
        var without = Capabilities.Of([], [ProposalType.AppDataUpdate]);
        var clients = InOneGroup(2, [], capabilities: without);
        Refuses(MlsError.MissingCapability, clients, Set(0x8001, 1));
    }

    [Fact]
    public void An_update_goes_with_an_add_and_with_other_extensions_in_one_commit()
    {
        var clients = InOneGroup(2);
        var joiner = new Client("joiner");
        Extension[] changed = [WithData[0], Required(ProposalType.AppDataUpdate, ProposalType.SelfRemove)];
        var commit = Client.Commits(clients[0], clients,
            new CommitRequest { Proposals = [Set(0x8001, 5), new AddProposal(joiner.NewPackage(Supported)), new GroupContextExtensionsProposal(changed)] });
        Assert.True(commit.HasPath); // the change of the extensions needs one
        joiner.Joins(commit.Welcome!);
        Client[] all = [.. clients, joiner];
        Client.AssertAgree(all);
        Assert.Equal([5], Data(joiner.Group)[0x8001]!);
        Client.AssertTalk(all);
    }

    [Fact]
    public void Several_updates_of_one_component_apply_in_order()
    {
        // A component that counts: its update is added to its state, in each member alike.
        var rules = new GroupRules
        {
            UpdateComponent = (component, state, update) => component == 0x8005 ? [(byte)((state?[0] ?? 0) * 2 + update[0])] : update,
        };
        var clients = InOneGroup(2, rules: rules);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [Set(0x8005, 1), Set(0x8005, 5), Set(0x8001, 7), Set(0x8001, 8)] });
        Client.AssertAgree(clients);
        Assert.Equal([7], Data(clients[1].Group)[0x8005]!);
        Assert.Equal([8], Data(clients[1].Group)[0x8001]!);
    }

    [Fact]
    public void Updates_that_do_not_go_together_are_refused()
    {
        var clients = InOneGroup(2);
        Refuses(MlsError.BadAppDataUpdate, clients, Remove(0x8001), Remove(0x8001));
        Refuses(MlsError.BadAppDataUpdate, clients, Set(0x8001, 1), Remove(0x8001));
        Refuses(MlsError.BadAppDataUpdate, clients, Remove(0x8001), Set(0x8001, 1));
        Refuses(MlsError.BadAppDataUpdate, clients, Remove(0x9999));
    }

    [Fact]
    public void What_the_component_does_not_accept_makes_the_list_invalid()
    {
        var clients = InOneGroup(2, rules: new GroupRules { UpdateComponent = (component, _, update) => component == 0x8001 ? null : update });
        Refuses(MlsError.BadAppDataUpdate, clients, Set(0x8003, 1), Set(0x8001, 1));
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [Set(0x8003, 1)] });
    }

    [Fact]
    public void Extensions_may_not_touch_the_dictionary_where_the_group_requires_updates()
    {
        var clients = InOneGroup(2);
        Refuses(MlsError.AppDataByExtensions, clients, new GroupContextExtensionsProposal([WithData[1]]));
        Refuses(MlsError.AppDataByExtensions, clients,
            new GroupContextExtensionsProposal([AppDataDictionary.Empty.With(0x8001, [1]).ToExtension(), WithData[1]]));
        Refuses(MlsError.AppDataByExtensions, clients, new GroupContextExtensionsProposal([AppDataDictionary.Empty.ToExtension()]));
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [new GroupContextExtensionsProposal([WithData[1], WithData[0]])] });

        var none = InOneGroup(2, [WithData[1]]);
        Refuses(MlsError.AppDataByExtensions, none, new GroupContextExtensionsProposal(WithData));
    }

    [Fact]
    public void Extensions_may_replace_the_dictionary_where_updates_are_not_required()
    {
        var clients = InOneGroup(2, [WithData[0]]);
        Client.Commits(clients[0], clients,
            new CommitRequest { Proposals = [new GroupContextExtensionsProposal([AppDataDictionary.Empty.With(0x8009, [1]).ToExtension()])] });
        Client.AssertAgree(clients);
        Assert.Equal([0x8009], Data(clients[1].Group).Components);
    }

    [Fact]
    public void A_dictionary_that_cannot_be_read_is_refused_everywhere()
    {
        Extension bad = new(ExtensionType.AppDataDictionary, [6, 0, 2, 0, 0, 1, 0]);
        var clients = InOneGroup(3, [WithData[0]]);
        Refuses(MlsError.Malformed, clients, new GroupContextExtensionsProposal([bad]));
        Assert.False(clients[1].Group.TryProcess(Client.Wire(new Forger(clients[0]).Proposal(new GroupContextExtensionsProposal([bad]))), out _, out _));
        Assert.Equal(MlsError.Malformed, Client.Refusal(() =>
        {
            var creator = new Client("creator");
            creator.NewPackage(Supported);
            Group.Create([1], creator.Package!, [bad]);
        }));
        Assert.Equal(MlsError.Malformed, Client.Refusal(() => new Client("leaf").NewPackage(Supported, leafExtensions: [bad])));

        var forger = new Forger(clients[2]);
        var leaf = forger.Leaf(clients[2].Group.Leaf(2)!, LeafNodeSource.Update, forger.NewKey(), extensions: [bad]);
        clients[1].Group.Process(Client.Wire(forger.Proposal(new UpdateProposal(leaf))));
        Assert.False(
            clients[1].Group.TryProcess(Client.Wire(new Forger(clients[0]).Commit([], null, null, null, clients[1].Group.Current.Proposals[0].Reference)),
                out _, out var refusal));
        Assert.Equal(new MlsRefusal(MlsError.Malformed, 2), refusal);
    }

    [Fact]
    public void Proposals_that_a_member_does_not_support_are_refused()
    {
        var clients = InOneGroup(2, [WithData[0]], capabilities: Capabilities.Of([ExtensionType.AppDataDictionary], []));
        Refuses(MlsError.UnsupportedProposal, clients, Set(0x8001, 1));
        Refuses(MlsError.UnsupportedProposal, clients, new AppEphemeralProposal(0x8001, [1]));
    }

    [Fact]
    public void Who_does_not_support_what_the_group_requires_is_not_added()
    {
        var clients = InOneGroup(2);
        var candidate = new Client("candidate").NewPackage(Capabilities.Of([ExtensionType.AppDataDictionary], [ProposalType.SelfRemove]));
        Refuses(MlsError.MissingCapability, clients, new AddProposal(candidate));
    }

    [Fact]
    public void Ephemeral_data_goes_with_a_commit_in_its_order_and_changes_nothing()
    {
        var clients = InOneGroup(3);
        var context = clients[0].Group.Extensions;
        var commit = clients[0].Group.Commit(new CommitRequest { Proposals = [new AppEphemeralProposal(5, [1]), new AppEphemeralProposal(5, [2])] });
        Assert.False(commit.HasPath);
        clients[0].Group.Merge(commit);
        var staged = clients[1].Follows(commit.Message!);
        Assert.Equal([[1], [2]], staged.Proposals.Select(p => Assert.IsType<AppEphemeralProposal>(p.Proposal).Data));
        Assert.Equal(context, clients[0].Group.Extensions);
        clients[2].Follows(commit.Message!);
        Client.AssertAgree(clients);
    }

    [Fact]
    public void A_proposal_is_committed_by_reference_by_another_member_also_of_an_external_sender()
    {
        var service = new Client("service");
        Extension[] extensions = [.. WithData, ExternalSender.ToExtension([new ExternalSender(service.Signature.PublicKey, Credential.Basic("service"u8))])];
        var clients = InOneGroup(3, extensions);
        var proposal = clients[1].Group.Propose(Set(0x8001, 4), WireFormat.PublicMessage);
        var external = new Forger(clients[0]).Proposal(Set(0x8002, 6), new Sender(SenderType.External, 0), service.SigningKey);
        foreach (var client in clients)
        {
            if (client != clients[1]) client.Group.Process(Client.Wire(proposal));
            client.Group.Process(Client.Wire(external));
        }
        Client.Commits(clients[2], clients, new CommitRequest());
        Client.AssertAgree(clients);
        Assert.Equal([4], Data(clients[0].Group)[0x8001]!);
        Assert.Equal([6], Data(clients[0].Group)[0x8002]!);
    }

    [Fact]
    public void A_staged_update_survives_a_restart_and_a_lost_one_leaves_nothing()
    {
        var clients = InOneGroup(2);
        var staged = clients[0].Group.Commit(new CommitRequest { Proposals = [Set(0x8001, 4), new AppEphemeralProposal(5, [1])] });
        Assert.True(Group.TryRestore(clients[0].Group.Serialize(), null, out var restored));
        Assert.Equal(2, restored!.PendingCommit!.Proposals.Count);
        restored.Merge(restored.PendingCommit);
        clients[1].Follows(staged.Message!);
        Assert.Equal(restored.EpochAuthenticator, clients[1].Group.EpochAuthenticator);
        Assert.Equal([4], Data(restored)[0x8001]!);

        clients[0].Group.Discard(staged);
        Assert.Equal([1], Data(clients[0].Group)[0x8001]!);
    }

    [Fact]
    public void The_last_resort_mark_is_known_in_either_form()
    {
        var client = new Client("client");
        KeyPackage Package(params Extension[] extensions) => KeyPackageSecrets.Create(client.Suite, client.Signature, Credential.Basic("x"u8),
            Capabilities.Of([ExtensionType.AppDataDictionary, ExtensionType.LastResort], []), Lifetime.Unlimited, extensions).KeyPackage;
        Assert.True(Package(new Extension(ExtensionType.LastResort, [])).IsLastResort);
        var marked = Package(AppDataDictionary.Empty.With(ComponentId.LastResortKeyPackage, []).ToExtension());
        Assert.True(marked.IsLastResort);
        Assert.Equal("0400", Convert.ToHexStringLower(marked.Extensions[0].Data.AsSpan(2)));
        Assert.Equal(MlsError.None, marked.Verify(null));
        Assert.False(Package(AppDataDictionary.Empty.With(0x8004, []).ToExtension()).IsLastResort);
        Assert.False(Package().IsLastResort);
    }

    [Fact]
    public void A_leaf_keeps_its_dictionary_when_it_renews_its_keys()
    {
        var dictionary = AppDataDictionary.Empty.With(ComponentId.AppComponents, ComponentsList.Of(0x8001).ToBytes()).ToExtension();
        var (alice, bob) = (new Client("alice"), new Client("bob"));
        alice.NewPackage(Supported, leafExtensions: [dictionary]);
        alice.Group = Group.Create([1], alice.Package!, WithData);
        bob.Joins(Client.Commits(alice, [alice], new CommitRequest { Proposals = [new AddProposal(bob.NewPackage(Supported))] }).Welcome!);
        Client.Commits(alice, [alice, bob], new CommitRequest { ForcePath = true });
        var leaf = bob.Group.Leaf(0)!;
        Assert.Equal(LeafNodeSource.Commit, leaf.Source);
        Assert.Equal(dictionary.Data, Assert.Single(leaf.Extensions).Data);
    }
}
