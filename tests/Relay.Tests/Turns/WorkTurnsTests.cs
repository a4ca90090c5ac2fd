using Marmot.Relay.Turns;

namespace Marmot.Relay.Tests.Turns;

public sealed class WorkTurnsTests
{
    [Fact]
    public void As_many_work_at_once_as_there_are_turns()
    {
        var turns = new WorkTurns(2);
        Assert.True(turns.EnterAsync(1).IsCompleted);
        Assert.True(turns.EnterAsync(1).IsCompleted);
        Assert.False(turns.TryEnter());
        var third = turns.EnterAsync(1);
        Assert.False(third.IsCompleted);
        Assert.True(turns.IsWanted);
        turns.Leave();
        Assert.True(third.IsCompleted);
        Assert.False(turns.IsWanted);
    }

    [Fact]
    public void Who_comes_after_a_hundred_of_one_lane_waits_for_one_of_them()
    {
        var turns = new WorkTurns(1);
        Assert.True(turns.TryEnter());
        var flood = Enumerable.Range(0, 100).Select(_ => turns.EnterAsync(1)).ToArray();
        var honest = turns.EnterAsync(2);
        turns.Leave();
        Assert.True(flood[0].IsCompleted);
        Assert.False(honest.IsCompleted);
        turns.Leave();
        Assert.True(honest.IsCompleted);
        Assert.False(flood[1].IsCompleted);
    }

    [Fact]
    public void Within_a_lane_first_come_first_served()
    {
        var turns = new WorkTurns(1);
        Assert.True(turns.TryEnter());
        var line = Enumerable.Range(0, 5).Select(_ => turns.EnterAsync(1)).ToArray();
        for (var i = 0; i < line.Length; i++)
        {
            turns.Leave();
            Assert.Equal(i + 1, line.Count(place => place.IsCompleted));
            Assert.True(line[i].IsCompleted);
        }
    }

    [Fact]
    public void A_slice_ends_only_when_somebody_waits()
    {
        var turns = new WorkTurns(1);
        Assert.True(turns.TryEnter());
        Assert.True(turns.YieldAsync(1).IsCompleted);
        var other = turns.EnterAsync(2);
        var again = turns.YieldAsync(1);
        Assert.True(other.IsCompleted);
        Assert.False(again.IsCompleted);
        turns.Leave();
        Assert.True(again.IsCompleted);
    }

    [Fact]
    public async Task A_turn_is_free_for_others_while_its_holder_waits_for_something_else()
    {
        var turns = new WorkTurns(1);
        var turn = new WorkTurn(turns, 1);
        await turn.EnterAsync();
        var drained = new TaskCompletionSource();
        var waiting = turn.WaitAsync(drained.Task).AsTask();
        Assert.True(turns.TryEnter());
        drained.SetResult();
        turns.Leave();
        await waiting;
        Assert.False(turns.TryEnter());
        turn.Leave();
        turn.Leave(); // nothing
        Assert.True(turns.TryEnter());
        Assert.False(turns.TryEnter());
    }
}
