using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>One test a rule of RFC 9420, 6 and of the order in which proposals are applied (12.3).</summary>
[Trait("Spec", "RFC 9420, 6")]
public class FramingRuleTests
{
    private readonly Client[] _clients = Client.InOneGroup(4);
    private readonly Forger _forger;

    public FramingRuleTests() => _forger = new Forger(_clients[0]);

    private void Refuses(MlsError expected, MlsMessage message)
    {
        Assert.False(_clients[1].Group.TryProcess(message, out _, out var error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void Refuses_application_data_in_a_public_message() => Refuses(MlsError.WrongWireFormat, _forger.Application([1, 2, 3]));

    [Fact]
    public void Refuses_a_wrong_or_missing_membership_tag()
    {
        var message = _forger.Proposal(new RemoveProposal(2));
        Refuses(MlsError.BadMembershipTag, Forger.WithTag(message, new byte[32]));
        Refuses(MlsError.BadMembershipTag, Forger.WithTag(message, []));
        Refuses(MlsError.BadMembershipTag, Forger.WithTag(message, message.Public!.MembershipTag![..31]));
    }

    [Fact]
    public void Refuses_a_private_message_from_a_leaf_outside_the_tree_or_a_blank_one()
    {
        Client.Commits(_clients[0], _clients.Take(3), new CommitRequest { Proposals = [new RemoveProposal(3)] });
        foreach (var leaf in (uint[])[3, 4, 99, uint.MaxValue]) Refuses(MlsError.BadSender, _forger.FromLeaf(leaf));
    }

    [Fact]
    public void Refuses_a_generation_that_was_used_or_lies_too_far_ahead()
    {
        var message = Client.Wire(_clients[0].Group.Protect("once"u8));
        _clients[1].Group.Process(message);
        Refuses(MlsError.GenerationUsed, message);
        Refuses(MlsError.GenerationTooFarAhead, _forger.FromLeaf(2, 1001));
        Refuses(MlsError.GenerationTooFarAhead, _forger.FromLeaf(2, uint.MaxValue));
    }

    [Fact]
    public void Refuses_its_own_messages() => Refuses(MlsError.OwnMessage, Client.Wire(_clients[1].Group.Protect("mine"u8)));

    [Fact]
    public void Refuses_a_remove_of_a_blank_leaf()
    {
        Client.Commits(_clients[0], _clients.Where((_, i) => i != 2), new CommitRequest { Proposals = [new RemoveProposal(2)] });
        Refuses(MlsError.UnknownLeaf, _forger.Proposal(new RemoveProposal(2)));
        Refuses(MlsError.UnknownLeaf, _forger.Commit([new RemoveProposal(2)]));
    }

    [Fact]
    public void A_removed_member_and_a_reinitialised_group_take_nothing_more()
    {
        Client.Commits(_clients[0], _clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        Refuses(MlsError.GroupClosed, Client.Wire(_clients[0].Group.Protect("x"u8)));
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => _clients[1].Group.Protect("x"u8)));

        var last = new Forger(_clients[0]);
        Client.Commits(_clients[0], [_clients[0], _clients[2]], new CommitRequest { Proposals = [new ReInitProposal([9], 1, 1, [])] });
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => _clients[2].Group.Process(last.Proposal(new RemoveProposal(0)))));
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => _clients[2].Group.Process(last.Commit([], last.Path()))));
    }

    [Fact]
    public void What_was_sent_before_a_reinit_is_still_read_after_it()
    {
        var before = Client.Wire(_clients[0].Group.Protect("x"u8));
        Client.Commits(_clients[0], _clients, new CommitRequest { Proposals = [new ReInitProposal([9], 1, 1, [])] });
        Assert.Equal("x"u8, Assert.IsType<ReceivedApplication>(_clients[2].Group.Process(before)).Data);
    }

    [Fact]
    public void An_add_takes_the_leaf_that_a_remove_of_the_same_commit_left_whatever_their_order()
    {
        var newcomer = new Client("newcomer");
        var commit = Client.Commits(_clients[0], _clients, new CommitRequest { Proposals = [new AddProposal(newcomer.NewPackage()), new RemoveProposal(2)] });
        newcomer.Joins(commit.Welcome!);
        Assert.Equal(2, newcomer.Group.OwnLeaf);
        Client.AssertAgree([_clients[0], _clients[1], _clients[3], newcomer]);
    }

    [Fact]
    public void An_external_joiner_takes_the_leftmost_blank_leaf()
    {
        Client.Commits(_clients[0], _clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        var joiner = new Client("joiner");
        joiner.NewPackage();
        (joiner.Group, var commit) = Group.JoinExternally(Client.Wire(_clients[0].Group.GroupInfo()), joiner.Package!);
        Assert.Equal(1, joiner.Group.OwnLeaf);
        _clients[0].Follows(commit);
        Client.AssertAgree([_clients[0], joiner]);
    }

    [Fact]
    public void An_external_commit_not_signed_by_the_leaf_of_its_path_is_refused()
    {
        var joiner = new Client("joiner");
        joiner.NewPackage();
        var (_, commit) = Group.JoinExternally(Client.Wire(_clients[0].Group.GroupInfo()), joiner.Package!);
        var content = commit.Public!.Content.Content.Commit!;
        Refuses(MlsError.BadSignature, _forger.Commit([], content, new Sender(SenderType.NewMemberCommit, 0)));
    }
}
