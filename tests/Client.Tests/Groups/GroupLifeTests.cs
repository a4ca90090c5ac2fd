using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Tests.Support;
using Marmot.TestKit;

namespace Marmot.Client.Tests.Groups;

public class GroupLifeTests : IAsyncLifetime
{
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock;
    private readonly bool _datesCompare; // what is told by comparing dates of events is not known when all clocks step
    private readonly List<Member> _members = [];

    public GroupLifeTests()
        : this(new ManualClock(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000)))
    {
    }

    private protected GroupLifeTests(ManualClock clock, bool datesCompare = true) => (_clock, _datesCompare) = (clock, datesCompare && !Clock.Steps);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.DisposeAsync();
        }
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task Three_members_join_talk_and_agree_on_every_epoch()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await bob.Client.SelfUpdateAsync(group);
        await SyncAsync(group, alice, carol);
        await alice.Client.SendAsync(group, "hello");
        await bob.Client.SendAsync(group, "hi alice");
        await carol.Client.SendAsync(group, "and me");
        await SyncAsync(group, alice, bob, carol);
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(["and me", "hello", "hi alice"], alice.Texts(group).Order(StringComparer.Ordinal));
        Assert.Equal(alice.Texts(group).Order(), bob.Texts(group).Order());
        Assert.Equal(alice.Texts(group).Order(), carol.Texts(group).Order());
        Assert.Equal(2ul, alice.State(group).Epoch);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_removed_member_learns_of_it_and_reads_nothing_more()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.RemoveAsync(group, carol.Key);
        await SyncAsync(group, bob, carol);
        await alice.Client.SendAsync(group, "without carol");
        await SyncAsync(group, bob, carol);
        Assert.False(carol.State(group).IsActive);
        Assert.DoesNotContain("without carol", carol.Texts(group));
        Assert.Contains("without carol", bob.Texts(group));
        await Assert.ThrowsAsync<ClientException>(() => carol.Client.SendAsync(group, "still here?"));
        AssertAgree(group, alice, bob);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_member_leaves_by_self_remove_that_a_non_admin_commits()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await carol.Client.LeaveAsync(group);
        await SyncAsync(group, alice, bob);
        Assert.Equal(1, bob.State(group).PendingProposals);
        Assert.Single(await bob.Client.CommitPendingAsync(group));
        await SyncAsync(group, alice, carol);
        Assert.False(carol.State(group).IsActive);
        AssertAgree(group, alice, bob);
        Assert.Equal(2, alice.State(group).Leaves.Count);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task An_admin_steps_down_before_leaving_and_the_last_admin_cannot()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await Assert.ThrowsAsync<ClientException>(() => alice.Client.LeaveAsync(group));
        await Assert.ThrowsAsync<ClientException>(() => alice.Client.UpdateGroupAsync(group, new GroupChange { Admins = [] }));
        await alice.Client.UpdateGroupAsync(group, new GroupChange { Admins = [bob.Key] });
        await SyncAsync(group, bob, carol);
        await alice.Client.LeaveAsync(group);
        await SyncAsync(group, bob, carol);
        await bob.Client.CommitPendingAsync(group);
        await SyncAsync(group, alice, carol);
        Assert.False(alice.State(group).IsActive);
        AssertAgree(group, bob, carol);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task Of_two_commits_in_one_second_everybody_takes_the_one_with_the_smaller_id()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.SelfUpdateAsync(group);
        await bob.Client.SelfUpdateAsync(group); // both have merged their own
        await SyncAsync(group, carol, alice, bob);
        AssertAgree(group, alice, bob, carol);
        await SyncAsync(group, alice, bob, carol);
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(2ul, carol.State(group).Epoch);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_better_commit_that_comes_late_takes_the_epochs_back_and_lost_messages_are_sent_again()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        bob.View.IsOffline = true;
        await Assert.ThrowsAsync<ClientException>(() => bob.Client.SelfUpdateAsync(group)); // dated first, published last
        _clock.Advance(TimeSpan.FromSeconds(5));
        await alice.Client.SelfUpdateAsync(group);
        await SyncAsync(group, carol);
        await carol.Client.SendAsync(group, "on the branch that loses");
        await carol.Client.SelfUpdateAsync(group);
        await SyncAsync(group, alice);
        Assert.Equal(3ul, alice.State(group).Epoch);
        bob.View.IsOffline = false;
        await SyncAsync(group, bob);
        var report = await carol.Client.SyncAsync(group);
        Assert.Equal(1, report.Count(GroupOutcome.RolledBack));
        Assert.Equal(1, report.Resent);
        await SyncAsync(group, alice, bob, carol);
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(2ul, alice.State(group).Epoch);
        foreach (var member in new[] { alice, bob, carol })
        {
            Assert.Equal(["on the branch that loses"], member.Texts(group));
        }
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task An_offline_member_catches_up_over_many_epochs_in_one_look()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        for (int i = 0; i < 4; i++)
        {
            await alice.Client.SendAsync(group, $"a{i}");
            await bob.Client.SendAsync(group, $"b{i}");
            await alice.Client.SelfUpdateAsync(group);
            await SyncAsync(group, bob);
            await bob.Client.SelfUpdateAsync(group);
            await SyncAsync(group, alice);
            _clock.Advance(TimeSpan.FromSeconds(1));
        }

        await SyncAsync(group, carol, alice, bob);
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(alice.Texts(group).Order(), carol.Texts(group).Order());
        Assert.Equal(8, carol.Texts(group).Count);
        Assert.False(_datesCompare && carol.State(group).NeedsInvitation);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_member_who_committed_alone_for_more_than_five_epochs_is_told_that_he_needs_an_invitation_and_is_back_by_one()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        carol.View.OnPublish = (_, evt) => evt.Kind == 445 ? (RelayAnswer.Accepted, "", false) : null; // a relay that says yes and loses everything
        for (int i = 0; i < 7; i++)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            await carol.Client.SelfUpdateAsync(group);
            await alice.Client.SelfUpdateAsync(group);
            await SyncAsync(group, bob);
        }

        carol.View.OnPublish = null;
        _clock.Advance(TimeSpan.FromMinutes(10));
        await bob.Client.SendAsync(group, "without carol");
        await SyncAsync(group, carol, alice, bob, carol);
        Assert.True(carol.State(group).NeedsInvitation || !_datesCompare);
        Assert.False(_datesCompare && alice.State(group).NeedsInvitation);
        Assert.NotEqual(alice.State(group).EpochAuthenticator, carol.State(group).EpochAuthenticator);
        await carol.RestartAsync();
        Assert.True(carol.State(group).NeedsInvitation || !_datesCompare);

        // Her place on the others' branch is taken back first: nobody is lured out of a group by a second place in it.
        await alice.Client.RemoveAsync(group, carol.Key);
        await alice.Client.InviteAsync(group, [carol.Key]);
        Assert.Single((await carol.Client.AcceptInvitesAsync()).Joined);
        await SyncAsync(group, bob, carol);
        AssertAgree(group, alice, bob, carol);
        await carol.Client.SendAsync(group, "back again");
        await SyncAsync(group, alice, bob);
        Assert.Contains("back again", alice.Texts(group));
        Assert.False(_datesCompare && carol.State(group).NeedsInvitation);
        Assert.DoesNotContain("without carol", carol.Texts(group));
    }

    [Fact]
    public async Task After_a_restart_everybody_goes_on_where_he_was()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.SendAsync(group, "before");
        await alice.RestartAsync();
        await bob.RestartAsync();
        await SyncAsync(group, bob);
        await bob.Client.SendAsync(group, "after");
        await SyncAsync(group, alice, carol);
        await carol.RestartAsync();
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(["after", "before"], carol.Texts(group).Order(StringComparer.Ordinal));
    }

    private static void AssertAgree(string group, params Member[] members)
    {
        var first = members[0].State(group);
        foreach (var member in members)
        {
            var state = member.State(group);
            Assert.Equal((first.Epoch, first.EpochAuthenticator, first.TreeHash, first.ConfirmedTranscriptHash, first.Check),
                (state.Epoch, state.EpochAuthenticator, state.TreeHash, state.ConfirmedTranscriptHash, state.Check));
        }
    }

    private static async Task SyncAsync(string group, params Member[] members)
    {
        foreach (var member in members)
        {
            await member.Client.SyncAsync(group);
        }
    }

    private async Task<(Member Alice, Member Bob, Member Carol, string Group)> ThreeAsync()
    {
        for (int i = 0; i < 3; i++)
        {
            _members.Add(await Member.StartAsync(_network, _clock));
        }

        var (alice, bob, carol) = (_members[0], _members[1], _members[2]);
        string group = (await alice.Client.CreateGroupAsync("three", "a story")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Key, carol.Key]);
        Assert.Single((await bob.Client.AcceptInvitesAsync()).Joined);
        Assert.Single((await carol.Client.AcceptInvitesAsync()).Joined);
        AssertAgree(group, alice, bob, carol);
        return (alice, bob, carol, group);
    }
}

/// <summary>The same stories while each reading of the clock is hours away from the last.</summary>
public sealed class GroupLifeUnderASteppingClockTests()
    : GroupLifeTests(new ManualClock(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000), steps: true), datesCompare: false);
