using Marmot.Client.Tests.Support;

namespace Marmot.Client.Tests.Groups;

/// <summary>Clocks that are a day wrong and then put right.</summary>
[Trait("Clock", "Date")]
public sealed class WrongClockTests : IAsyncLifetime
{
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _alicesClock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private readonly ManualClock _bobsClock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private Member _alice = null!;
    private Member _bob = null!;
    private string _group = "";

    public async Task InitializeAsync()
    {
        _alice = await Member.StartAsync(_network, _alicesClock);
        _bob = await Member.StartAsync(_network, _bobsClock);
        _group = (await _alice.Client.CreateGroupAsync("clocks", "")).GroupId;
        await _alice.Client.InviteAsync(_group, [_bob.Key]);
        await _bob.Client.AcceptInvitesAsync();
    }

    public async Task DisposeAsync()
    {
        await _alice.DisposeAsync();
        await _bob.DisposeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task After_a_message_dated_a_day_ahead_and_a_clock_put_right_everything_goes_on_with_right_dates(bool restart)
    {
        _alicesClock.Set(Day);
        await _alice.Client.SendAsync(_group, "tomorrow");
        _alicesClock.Set(-Day);
        if (restart)
        {
            await _alice.RestartAsync();
        }

        long now = _alicesClock.GetUtcNow().ToUnixTimeSeconds();
        var sent = await _alice.Client.SendAsync(_group, "today").WaitAsync(TimeSpan.FromSeconds(30));
        Assert.InRange(sent.Published.CreatedAt, now, now + 60);
        var commit = Assert.Single(await _alice.Client.SelfUpdateAsync(_group));
        Assert.InRange(commit.CreatedAt, now, now + 60);
        await _bob.Client.SyncAsync(_group);
        Assert.Equal(["today", "tomorrow"], _bob.Texts(_group).Order(StringComparer.Ordinal));
        Assert.Equal(_alice.State(_group).EpochAuthenticator, _bob.State(_group).EpochAuthenticator);
    }

    [Fact]
    public async Task While_one_group_waits_for_the_clock_another_is_written_to_and_read()
    {
        string other = (await _alice.Client.CreateGroupAsync("other", "")).GroupId;

        // The clock was four minutes ahead, which is within reason: dates are kept up with, until sending waits.
        _alicesClock.Set(TimeSpan.FromSeconds(240));
        await _alice.Client.SendAsync(_group, "ahead");
        _alicesClock.Set(TimeSpan.FromSeconds(-240));
        for (int i = 1; i < 64; i++)
        {
            await _alice.Client.SendAsync(_group, "in the same second");
        }

        var waiting = _alice.Client.SendAsync(_group, "waits");
        await Task.Delay(300);
        Assert.False(waiting.IsCompleted);
        await _alice.Client.SendAsync(other, "not held up").WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(1, _alice.Client.CountMessages(other));
        await _alice.Client.SyncAsync(_group).WaitAsync(TimeSpan.FromSeconds(20));
        Assert.False(waiting.IsCompleted);
        _alicesClock.Advance(TimeSpan.FromSeconds(10));
        await waiting.WaitAsync(TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task What_came_while_the_clock_of_the_reader_was_a_day_ahead_is_read_once_it_is_right()
    {
        _bobsClock.Set(Day);
        await _bob.Client.SyncAsync(_group);
        await _bob.Client.AcceptInvitesAsync();
        _bobsClock.Set(-Day);
        _alicesClock.Advance(TimeSpan.FromHours(2));
        _bobsClock.Advance(TimeSpan.FromHours(2));
        await _alice.Client.SendAsync(_group, "two hours later");
        await _bob.RestartAsync(); // the process knows nothing of the step
        await _bob.Client.SyncAsync(_group);
        Assert.Contains("two hours later", _bob.Texts(_group));
    }

    [Fact]
    public async Task An_event_is_dated_after_the_commit_that_began_its_epoch_and_a_commit_after_the_proposals_it_covers()
    {
        // Alice's clock is two minutes ahead; within reason.
        _alicesClock.Set(TimeSpan.FromMinutes(2));
        var commit = Assert.Single(await _alice.Client.SelfUpdateAsync(_group));
        await _bob.Client.SyncAsync(_group);
        var message = await _bob.Client.SendAsync(_group, "after it");
        Assert.True(message.Published.CreatedAt > commit.CreatedAt);

        // Bob leaves with a date ahead; the commit that takes him out is dated later still.
        _alicesClock.Set(-TimeSpan.FromMinutes(2));
        _bobsClock.Set(TimeSpan.FromMinutes(3));
        var leave = Assert.Single(await _bob.Client.LeaveAsync(_group));
        await _alice.Client.SyncAsync(_group);
        var taken = await _alice.Client.CommitPendingAsync(_group);
        Assert.True(taken[0].CreatedAt > leave.CreatedAt);
    }
}
