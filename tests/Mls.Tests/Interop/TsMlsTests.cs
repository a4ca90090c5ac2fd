using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tests.Groups;

namespace Marmot.Mls.Tests.Interop;

/// <summary>ts-mls 2.0.0-rc.10, the library under the other Marmot client, as a live peer: every operation in both directions.</summary>
[Trait("Spec", "RFC 9420")]
public sealed class TsMlsTests : IDisposable
{
    private static readonly byte[] GroupData = [0, 2, 7];
    private static readonly Extension[] Extensions = [new(Client.GroupData, GroupData)];

    private readonly TsMlsPeer _peer = new();

    public void Dispose() => _peer.Dispose();

    private void AssertAgree(Client[] ours, params string[] theirs)
    {
        var expected = Agreement.Of(ours[0].Group);
        Assert.All(ours, o => Assert.Equal(expected, Agreement.Of(o.Group)));
        Assert.All(_peer.Agree(theirs), a => Assert.Equal(expected, a));
    }

    private void AssertTalk(Client ours, string theirs)
    {
        var data = "a line of text"u8.ToArray();
        Assert.Equal([Convert.ToHexStringLower(data)], _peer.Process([theirs], ours.Group.Protect(data, padTo: 64)));
        Assert.Equal(data, Assert.IsType<ReceivedApplication>(ours.Group.Process(_peer.Send(theirs, data))).Data);
    }

    /// <summary>Ours creates the group and adds the peer.</summary>
    private Client WithPeer(string theirs, out StagedCommit added)
    {
        var alice = new Client("alice").Creates(extensions: Extensions);
        added = alice.Group.Commit(new CommitRequest { Proposals = [new AddProposal(_peer.Generate(theirs))] });
        alice.Group.Merge(added);
        _peer.Join(theirs, added.Welcome!);
        return alice;
    }

    [Fact]
    public void The_peer_joins_a_group_that_we_created()
    {
        var alice = WithPeer("ts", out _);
        AssertAgree([alice], "ts");
        AssertTalk(alice, "ts");
    }

    [Fact]
    public void We_join_a_group_that_the_peer_created()
    {
        _peer.Generate("ts");
        _peer.Create("ts", "their group", GroupData);
        var alice = new Client("alice");
        var (_, welcome) = _peer.Commit("ts", add: [alice.NewPackage()]);
        alice.Joins(welcome!);
        AssertAgree([alice], "ts");
        AssertTalk(alice, "ts");
        Assert.Equal(GroupData, Assert.Single(alice.Group.Extensions).Data);
    }

    [Fact]
    public void Either_side_adds_a_member_of_either_side()
    {
        var alice = WithPeer("ts 1", out _);
        var bob = new Client("bob");
        var (byPeer, welcome) = _peer.Commit("ts 1", add: [bob.NewPackage()]);
        alice.Follows(byPeer);
        bob.Joins(welcome!);
        AssertAgree([alice, bob], "ts 1");

        var carol = new Client("carol");
        var byUs = Client.Commits(bob, [alice, bob],
            new CommitRequest { Proposals = [new AddProposal(_peer.Generate("ts 2")), new AddProposal(carol.NewPackage())] });
        _peer.Process(["ts 1"], byUs.Message!);
        _peer.Join("ts 2", byUs.Welcome!);
        carol.Joins(byUs.Welcome!);
        AssertAgree([alice, bob, carol], "ts 1", "ts 2");

        (byPeer, welcome) = _peer.Commit("ts 2", add: [_peer.Generate("ts 3")]);
        foreach (var our in (Client[])[alice, bob, carol]) our.Follows(byPeer);
        _peer.Process(["ts 1"], byPeer);
        _peer.Join("ts 3", welcome!);
        AssertAgree([alice, bob, carol], "ts 1", "ts 2", "ts 3");
        AssertTalk(carol, "ts 3");
    }

    [Fact]
    public void Either_side_renews_its_keys()
    {
        var alice = WithPeer("ts", out _);
        for (var round = 0; round < 3; round++)
        {
            var byUs = alice.Group.Commit(new CommitRequest { ForcePath = true });
            alice.Group.Merge(byUs);
            _peer.Process(["ts"], byUs.Message!);
            AssertAgree([alice], "ts");
            var (byPeer, _) = _peer.Commit("ts");
            Assert.True(alice.Follows(byPeer).HasPath);
            AssertAgree([alice], "ts");
        }
        AssertTalk(alice, "ts");
    }

    [Fact]
    public void Either_side_removes_and_the_removed_member_cannot_follow()
    {
        var alice = WithPeer("ts 1", out _);
        var others = Enumerable.Range(0, 3).Select(i => new Client($"other {i}")).ToArray();
        var added = Client.Commits(alice, [alice],
            new CommitRequest { Proposals = [.. others.Select(o => new AddProposal(o.NewPackage())), new AddProposal(_peer.Generate("ts 2"))] });
        _peer.Process(["ts 1"], added.Message!);
        foreach (var other in others) other.Joins(added.Welcome!);
        var leaf = _peer.Join("ts 2", added.Welcome!);

        var byUs = Client.Commits(others[0], [alice, .. others], new CommitRequest { Proposals = [new RemoveProposal((uint)leaf)] });
        Assert.Equal(["active"], _peer.Process(["ts 1"], byUs.Message!));
        // This version fails inside when it is the one removed; what counts is that it does not follow.
        Assert.Throws<TsMlsRefusal>(() => _peer.Process(["ts 2"], byUs.Message!));
        Assert.Throws<TsMlsRefusal>(() => _peer.Process(["ts 2"], alice.Group.Protect("after"u8)));
        AssertAgree([alice, .. others], "ts 1");

        // One Remove alone would come without a path; two make the peer send one.
        var (byPeer, _) = _peer.Commit("ts 1", remove: [others[1].Group.OwnLeaf, others[2].Group.OwnLeaf]);
        foreach (var our in (Client[])[alice, .. others]) our.Follows(byPeer);
        Assert.True(others[1].Group.IsClosed && others[2].Group.IsClosed);
        AssertAgree([alice, others[0]], "ts 1");
        AssertTalk(alice, "ts 1");
    }

    [Fact]
    public void Proposals_of_either_side_are_committed_by_reference()
    {
        var alice = WithPeer("ts 1", out _);
        var bob = new Client("bob");
        var carol = new Client("carol");

        var byPeer = _peer.Propose("ts 1", add: bob.NewPackage());
        Assert.IsType<ReceivedProposal>(alice.Group.Process(byPeer));
        var commit = alice.Group.Commit();
        Assert.Equal(Sender.Member(1), Assert.Single(commit.Proposals).Sender);
        alice.Group.Merge(commit);
        _peer.Process(["ts 1"], commit.Message!);
        bob.Joins(commit.Welcome!);
        AssertAgree([alice, bob], "ts 1");

        var byUs = bob.Group.Propose(new AddProposal(carol.NewPackage()));
        alice.Group.Process(byUs);
        _peer.Process(["ts 1"], byUs);
        var (answer, welcome) = _peer.Commit("ts 1");
        alice.Follows(answer);
        bob.Follows(answer);
        carol.Joins(welcome!);
        AssertAgree([alice, bob, carol], "ts 1");

        var update = carol.Group.ProposeUpdate();
        _peer.Process(["ts 1"], update);
        alice.Group.Process(update);
        bob.Group.Process(update);
        var updated = Client.Commits(bob, [alice, bob, carol], new CommitRequest());
        Assert.Equal(carol.Group.OwnLeaf, Assert.Single(updated.Updated).Index);
        _peer.Process(["ts 1"], updated.Message!);
        AssertAgree([alice, bob, carol], "ts 1");
        AssertTalk(carol, "ts 1");
    }

    [Fact]
    public void A_path_that_the_peer_encrypts_to_keys_that_its_own_commit_replaces_is_refused()
    {
        // Two Updates make this version send a path, but it encrypts to the leaves' old keys (RFC 9420, 12.4.1: the tree after the proposals counts).
        var alice = WithPeer("ts", out _);
        Client[] updaters = [new("bob"), new("carol")];
        var added = Client.Commits(alice, [alice], new CommitRequest { Proposals = [.. updaters.Select(u => new AddProposal(u.NewPackage()))] });
        _peer.Process(["ts"], added.Message!);
        foreach (var updater in updaters) updater.Joins(added.Welcome!);
        foreach (var updater in updaters)
        {
            var update = updater.Group.ProposeUpdate();
            _peer.Process(["ts"], update);
            foreach (var other in ((Client[])[alice, .. updaters]).Where(c => c != updater)) other.Group.Process(update);
        }
        var state = updaters[0].Group.Serialize();
        var (commit, _) = _peer.Commit("ts");
        Assert.False(updaters[0].Group.TryProcess(commit, out _, out var error));
        Assert.Equal(MlsError.DecryptionFailed, error);
        Assert.Equal(state, updaters[0].Group.Serialize());
    }

    [Theory]
    [InlineData("remove")]
    [InlineData("context extensions")]
    [InlineData("update")]
    public void A_commit_that_lacks_its_required_path_is_refused(string kind)
    {
        var alice = WithPeer("ts", out _);
        var bob = new Client("bob");
        var added = Client.Commits(alice, [alice], new CommitRequest { Proposals = [new AddProposal(bob.NewPackage())] });
        _peer.Process(["ts"], added.Message!);
        bob.Joins(added.Welcome!);
        if (kind == "update")
        {
            var update = bob.Group.ProposeUpdate();
            alice.Group.Process(update);
            _peer.Process(["ts"], update);
        }
        var state = alice.Group.Serialize();
        var (commit, _) = kind switch
        {
            "remove" => _peer.Commit("ts", remove: [bob.Group.OwnLeaf]),
            "update" => _peer.Commit("ts"),
            _ => _peer.Commit("ts", groupData: [0, 2, 8]),
        };
        Assert.False(alice.Group.TryProcess(commit, out _, out var error));
        Assert.Equal(MlsError.PathRequired, error);
        Assert.Equal(state, alice.Group.Serialize());
    }

    [Fact]
    public void A_self_remove_is_not_committed_while_the_peer_cannot_read_it()
    {
        var alice = WithPeer("ts", out _);
        var bob = new Client("bob");
        var added = Client.Commits(alice, [alice], new CommitRequest { Proposals = [new AddProposal(bob.NewPackage())] });
        _peer.Process(["ts"], added.Message!);
        bob.Joins(added.Welcome!);
        var leave = bob.Group.Propose(new SelfRemoveProposal());
        Assert.Throws<TsMlsRefusal>(() => _peer.Process(["ts"], leave));
        alice.Group.Process(leave);
        Assert.Equal(MlsError.UnsupportedProposal, Client.Refusal(() => alice.Group.Commit(new CommitRequest { IncludePending = (_, _) => true })));
        // Left to the group, it stays out and the group goes on.
        var commit = alice.Group.Commit();
        Assert.Empty(commit.Proposals);
        alice.Group.Merge(commit);
        _peer.Process(["ts"], commit.Message!);
        bob.Follows(commit.Message!);
        AssertAgree([alice, bob], "ts");
    }
}
