using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Adopted;

/// <summary>
/// Ten histories on which the deployed engine leaves honest members apart. Here they end together, and no generation is used twice; each also with an end of
/// the process after every step.
/// </summary>
[Trait("Spec", "Adopted profile")]
public sealed class HistoryTests
{
    public static TheoryData<bool> Restarts => [false, true];

    [Theory]
    [MemberData(nameof(Restarts))]
    public void A_Two_members_who_commit_the_same_leave_on_their_own_end_together(bool restarts)
    {
        using var circle = new Circle(4) { IsRestless = restarts };
        var leave = circle[3].Leave();
        Tell(circle, leave, 0, 1, 2);
        var first = circle[1].CommitLeaves();
        var second = circle[2].CommitLeaves();
        circle[0].Hear(second, first);
        circle[1].Hear(second);
        circle[2].Hear(first);
        circle[3].Hear(first, second);
        circle.Settle();
        circle.AssertAgreed(circle[0], circle[1], circle[2]);
        Assert.Equal(3, circle[0].Group.Mls.Members.Count);
        Assert.False(circle[3].Group.IsActive);
        Talk(circle, 0, 1, 2);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void B_A_leave_that_waits_in_a_losing_epoch_does_not_stop_the_rival_that_should_win(bool restarts)
    {
        using var circle = new Circle(4, admins: 2) { IsRestless = restarts };
        var loses = circle[1].Rename("loses");
        Tell(circle, loses, 2, 3);
        circle.Settle();
        var leave = circle[3].Leave(); // in the state that loses
        Tell(circle, leave, 1, 2);
        var wins = circle[0].Rename("wins");
        Tell(circle, wins, 1, 2, 3);
        circle[0].Hear(loses, leave);
        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal("wins", circle[0].Group.State.Profile.Name);
        Assert.True(circle[3].Group.MustRepeatLeave, "the wish to leave is uttered again where the group has come to");
        var again = circle[3].Leave();
        Tell(circle, again, 0, 1, 2);
        Tell(circle, circle[2].CommitLeaves(), 0, 1, 3);
        circle.Settle();
        circle.AssertAgreed(circle[0], circle[1], circle[2]);
        Assert.False(circle[3].Group.IsActive);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void C_Who_is_removed_for_a_moment_comes_back_with_the_deeper_rival(bool restarts)
    {
        using var circle = new Circle(4, admins: 2) { IsRestless = restarts };
        var removal = circle[0].Change(new AdoptedChange { Remove = [circle[3].Account] });
        Tell(circle, removal, 2, 3);
        circle.Settle();
        Assert.False(circle[3].Group.IsActive);
        NostrEvent[] deeper = [circle[1].Rename("one"), circle[1].Rename("two")];
        foreach (int index in (int[])[0, 2, 3])
        {
            circle[index].Hear(deeper);
        }

        circle[1].Hear(removal);
        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal(4, circle[0].Group.Mls.Members.Count);
        Assert.True(circle[0].Group.Record.Queue.Count == 1, "the removal that lost is wanted still");
        Talk(circle, 0, 1, 2, 3);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void D_A_removal_and_the_next_commit_together_leave_their_target_able_to_go_on(bool restarts)
    {
        using var circle = new Circle(4, admins: 2) { IsRestless = restarts };
        var removal = circle[0].Change(new AdoptedChange { Remove = [circle[3].Account] });
        var next = circle[0].Rename("next");
        circle[3].Hear(removal, next);
        circle[2].Hear(next, removal);
        circle.Settle();
        Assert.False(circle[3].Group.IsActive);
        NostrEvent[] deeper = [circle[1].Rename("one"), circle[1].Rename("two"), circle[1].Rename("three")];
        circle[3].Hear(deeper[2], deeper[0], deeper[1]);
        circle[2].Hear(deeper);
        circle[0].Hear(deeper);
        circle[1].Hear(removal, next);
        circle.Settle();
        circle.AssertAgreed();
        Talk(circle, 0, 1, 2, 3);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void E_A_commit_that_was_reported_failed_and_reached_a_relay_is_a_candidate_like_any_other(bool restarts)
    {
        using var circle = new Circle(3, admins: 1) { IsRestless = restarts };
        var evt = circle[0].Group.StageChange(new AdoptedChange { Name = "taken after all" })!;
        circle[0].Group.AbandonCommit();
        Assert.Equal("circle", circle[0].Group.State.Profile.Name);
        Tell(circle, evt, 1, 2);
        circle.Settle();
        Assert.Equal("taken after all", circle[1].Group.State.Profile.Name);
        circle[0].Hear(evt);
        circle.Settle();
        circle.AssertAgreed();
        Talk(circle, 0, 1, 2);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void F_and_G_Who_leaves_a_state_and_returns_uses_no_generation_again_and_counts_what_it_said_there(bool restarts)
    {
        using var circle = new Circle(4, admins: 2) { IsRestless = restarts };
        var a = circle[0].Rename("a");
        var b = circle[1].Rename("b");
        circle[2].Hear(b);
        circle.Settle();
        var inB = circle[1].Say("first in b");
        var alsoInB = circle[2].Say("by another in b");
        var inA = circle[0].Say("in a");

        // One voice each: the smaller account's branch is ahead.
        circle[1].Hear(a, inA);
        circle.Settle();
        Assert.Equal(circle[0].Group.TipState, circle[1].Group.TipState);
        Assert.DoesNotContain("first in b", circle[1].Shown);

        // The second voice in b, with the own one, is a quorum.
        circle[1].Hear(alsoInB);
        circle.Settle();
        Assert.Equal("b", circle[1].Group.State.Profile.Name);
        var again = circle[1].Say("again in b");

        foreach (var peer in circle.Peers)
        {
            peer.Hear(again, inA, alsoInB, inB, b, a);
        }

        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal("b", circle[3].Group.State.Profile.Name);
        Assert.Equal(["again in b", "by another in b", "first in b"], circle[3].Shown);
        Talk(circle, 0, 1, 2, 3);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void H_A_late_message_of_a_member_removed_since_is_shown_in_any_order(bool restarts)
    {
        using var circle = new Circle(4) { IsRestless = restarts };
        var late = circle[3].Say("sent before");
        var removal = circle[0].Change(new AdoptedChange { Remove = [circle[3].Account] });
        circle[1].Hear(late, removal);
        circle[2].Hear(removal);
        circle.Settle();
        circle[2].Hear(late);
        circle[0].Hear(late);
        circle.Settle();
        circle.AssertAgreed(circle[0], circle[1], circle[2]);
        Assert.Contains("sent before", circle[2].Shown);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void I_An_addition_that_another_admin_has_made_is_done(bool restarts)
    {
        using var circle = new Circle(3, admins: 2) { IsRestless = restarts };
        using var others = new Circle(1);
        var invitee = others[0].Invitee;
        var first = circle[0].Group.StageChange(new AdoptedChange { Add = [invitee] })!;
        var second = circle[1].Group.StageChange(new AdoptedChange { Add = [invitee] })!;
        circle[0].Group.ConfirmCommit();
        circle[1].Group.ConfirmCommit();
        foreach (var peer in circle.Peers)
        {
            peer.Hear(second, first);
        }

        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal(4, circle[0].Group.Mls.Members.Count);
        Assert.Single(circle[1].Group.Record.Queue); // its commit lost, and what it wanted is true
        Assert.Null(circle[1].Group.StageQueued(out string? dropped));
        Assert.Null(dropped);
        Assert.Empty(circle[1].Group.Record.Queue);
        Talk(circle, 0, 1, 2);
    }

    [Theory]
    [MemberData(nameof(Restarts))]
    public void J_The_same_messages_in_another_order_lead_to_the_same_branch(bool restarts)
    {
        int seed = Random.Shared.Next();
        var dice = new Random(seed);
        using var circle = new Circle(6, admins: 2) { IsRestless = restarts };
        var a = circle[0].Rename("a");
        var b = circle[1].Rename("b");
        circle[2].Hear(a);
        circle[3].Hear(b);
        circle.Settle();
        List<NostrEvent> events =
            [a, b, circle[0].Say("a1"), circle[2].Say("a2"), circle[0].Say("a3"), circle[1].Say("b1"), circle[3].Say("b2"), circle[3].Say("b3")];
        foreach (var peer in circle.Peers)
        {
            var order = events.ToArray();
            dice.Shuffle(order);
            foreach (var evt in order)
            {
                peer.Hear(evt);
                if (dice.Next(2) == 0)
                {
                    circle.Settle();
                }
            }
        }

        circle.Settle();
        Assert.True(circle.Peers.Select(peer => peer.Group.TipState).Distinct().Count() == 1, $"seed {seed}");
        circle.AssertAgreed();
        Talk(circle, 0, 1, 2, 3, 4, 5);
    }

    [Fact]
    public void A_state_that_is_left_and_reopened_from_the_store_goes_on_with_the_generation_after_the_last()
    {
        using var circle = new Circle(2);
        for (int i = 0; i < 20; i++)
        {
            var evt = circle[i % 2].Say($"{i}");
            if (i % 3 == 0)
            {
                circle[i % 2].Restart();
            }

            circle[(i + 1) % 2].Hear(evt);
        }

        Assert.Equal(20, circle.Messages);
        circle.AssertAgreed();
    }

    private static void Tell(Circle circle, NostrEvent evt, params int[] whom)
    {
        foreach (int index in whom)
        {
            circle[index].Hear(evt);
        }
    }

    // All who agree can read each other, and nobody uses a generation again.
    private static void Talk(Circle circle, params int[] members)
    {
        foreach (int index in members)
        {
            var evt = circle[index].Say($"hello from {index}");
            Tell(circle, evt, [.. members.Where(other => other != index)]);
        }

        circle.AssertAgreed([.. members.Select(index => circle[index])]);
    }
}
