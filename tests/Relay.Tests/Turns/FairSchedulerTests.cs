using Marmot.Relay.Turns;

namespace Marmot.Relay.Tests.Turns;

public sealed class FairSchedulerTests
{
    [Fact]
    public void As_many_work_at_once_as_there_are_turns()
    {
        var turns = new FairScheduler(2);
        Assert.True(turns.EnterAsync(-1).IsCompleted);
        Assert.True(turns.EnterAsync(-1).IsCompleted);
        Assert.False(turns.TryEnter(-1));
        var third = turns.EnterAsync(-1);
        Assert.False(third.IsCompleted);
        Assert.True(turns.IsWanted);
        turns.Leave(-1);
        Assert.True(third.IsCompleted);
        Assert.False(turns.IsWanted);
    }

    [Fact]
    public void One_address_leaves_a_turn_to_others_and_takes_its_next_when_it_gives_one_back()
    {
        var turns = new FairScheduler(3);
        Assert.True(turns.EnterAsync(1).IsCompleted);
        Assert.True(turns.TryEnter(1));
        Assert.False(turns.TryEnter(1));
        var third = turns.EnterAsync(1);
        Assert.False(third.IsCompleted);
        Assert.True(turns.EnterAsync(2).IsCompleted);
        var other = turns.EnterAsync(3);
        Assert.False(other.IsCompleted);
        turns.Leave(2); // the first in line may not, the second may
        Assert.True(other.IsCompleted);
        Assert.False(third.IsCompleted);
        turns.Leave(3);
        Assert.False(third.IsCompleted);
        turns.Leave(1);
        Assert.True(third.IsCompleted);
        Assert.False(turns.IsWanted);
    }

    [Fact]
    public void Who_comes_after_a_hundred_of_one_lane_waits_for_one_of_them()
    {
        var turns = new FairScheduler(1);
        Assert.True(turns.TryEnter(3));
        var flood = Enumerable.Range(0, 100).Select(_ => turns.EnterAsync(1)).ToArray();
        var honest = turns.EnterAsync(2);
        turns.Leave(3);
        Assert.True(flood[0].IsCompleted);
        Assert.False(honest.IsCompleted);
        turns.Leave(1);
        Assert.True(honest.IsCompleted);
        Assert.False(flood[1].IsCompleted);
    }

    [Fact]
    public void Within_a_lane_first_come_first_served()
    {
        var turns = new FairScheduler(1);
        Assert.True(turns.TryEnter(1));
        var line = Enumerable.Range(0, 5).Select(_ => turns.EnterAsync(1)).ToArray();
        for (var i = 0; i < line.Length; i++)
        {
            turns.Leave(1);
            Assert.Equal(i + 1, line.Count(place => place.IsCompleted));
            Assert.True(line[i].IsCompleted);
        }
    }

    [Fact]
    public void A_slice_ends_only_when_somebody_waits()
    {
        var turns = new FairScheduler(1);
        Assert.True(turns.TryEnter(1));
        Assert.True(turns.YieldAsync(1).IsCompleted);
        var other = turns.EnterAsync(2);
        var again = turns.YieldAsync(1);
        Assert.True(other.IsCompleted);
        Assert.False(again.IsCompleted);
        turns.Leave(2);
        Assert.True(again.IsCompleted);
    }

    [Fact]
    public async Task A_turn_is_free_for_others_while_its_holder_waits_for_something_else()
    {
        var turns = new FairScheduler(1);
        var turn = new FairTurn(turns, 1);
        await turn.EnterAsync();
        var drained = new TaskCompletionSource();
        var waiting = turn.WaitAsync(drained.Task).AsTask();
        Assert.True(turns.TryEnter(2));
        drained.SetResult();
        turns.Leave(2);
        await waiting;
        Assert.False(turns.TryEnter(2));
        turn.Leave();
        turn.Leave(); // nothing
        Assert.True(turns.TryEnter(2));
        Assert.False(turns.TryEnter(2));
    }
}
