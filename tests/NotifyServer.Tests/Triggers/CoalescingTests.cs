using Marmot.Hosting;
using Marmot.NotifyServer.Tests.Support;

namespace Marmot.NotifyServer.Tests.Triggers;

/// <summary>One push when a device's window opens, one when it ends if more was hinted meanwhile; a hint is never left without a push after it.</summary>
public class CoalescingTests
{
    private static readonly TimeSpan Tenth = TimeSpan.FromSeconds(0.1);
    private readonly FakeTimeProvider _time = Clock.Standing();

    [Fact]
    public async Task A_hint_inside_the_window_rings_once_more_at_its_end()
    {
        await using var rig = new PipelineRig(_time);
        await rig.HintAsync(Device.Apns(1));
        Assert.Equal(1, rig.Sent.Count);

        _time.Advance(TimeSpan.FromSeconds(0.5));
        await rig.HintAsync(Device.Apns(1));
        _time.Advance(Tenth);
        await rig.HintAsync(Device.Apns(1)); // the one that waits stands for this one too
        Assert.Equal(1, rig.Probe.Count("marmot_notify_pushes_held"));
        Assert.Equal(1, rig.Probe.Lost("coalesced"));
        _time.Advance(TimeSpan.FromSeconds(1.3));
        Assert.Equal(1, rig.Sent.Count);

        _time.Advance(Tenth);
        await rig.Probe.EndedAsync("accepted", 2);
        _time.Advance(TimeSpan.FromMinutes(1));
        await rig.HintAsync(Device.Apns(1)); // long after: at once
        Assert.Equal(3, rig.Sent.Count);
        Assert.Equal(1, rig.Probe.Count("marmot_notify_pushes_held"));
    }

    [Fact]
    public async Task Hints_that_keep_coming_ring_once_a_window_and_the_last_one_is_rung_for()
    {
        await using var rig = new PipelineRig(_time);
        for (var i = 0; i < 51; i++)
        {
            await rig.HintAsync(Device.Apns(1));
            _time.Advance(Tenth);
        }

        await rig.Probe.EndedAsync("accepted", 3); // at 0, 2 and 4 seconds
        Assert.Equal(3, rig.Sent.Count);
        _time.Advance(TimeSpan.FromSeconds(1)); // the last hint came at 5.0; the window ends at 6
        await rig.Probe.EndedAsync("accepted", 4);
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(4, rig.Sent.Count);
        Assert.Equal(51, rig.Sent.Count + rig.Probe.Lost("coalesced"));
    }

    [Fact]
    public async Task A_device_twice_in_one_trigger_is_one_hint_and_nothing_waits_for_it()
    {
        await using var rig = new PipelineRig(_time);
        await rig.HintAsync(Device.Apns(8), Device.Apns(8));
        Assert.Equal(1, rig.Probe.Lost("coalesced"));
        Assert.Equal(0, rig.Lane.Pending);

        _time.Advance(TimeSpan.FromSeconds(1));
        await rig.HintAsync(Device.Apns(8), Device.Apns(8), Device.Apns(9));
        Assert.Equal(1, rig.Lane.Pending);
        _time.Advance(TimeSpan.FromSeconds(1));
        await rig.Probe.EndedAsync("accepted", 3);
        Assert.Equal(0, rig.Lane.Pending);
    }

    [Fact]
    public async Task What_is_held_takes_a_place_of_the_queue_and_begins_its_life_when_the_window_ends()
    {
        await using var rig = new PipelineRig(_time, options =>
        {
            options.QueueCapacity = 1;
            options.HintLifetime = TimeSpan.FromSeconds(30);
            options.CoalescingWindow = TimeSpan.FromMinutes(1);
        });
        await rig.HintAsync(Device.Apns(1));
        await rig.HintAsync(Device.Apns(1));
        Assert.Equal("queue-full", await rig.HintAsync(Device.Apns(2)));

        _time.Advance(TimeSpan.FromMinutes(1));
        await rig.Probe.EndedAsync("accepted", 2);
        Assert.Equal(_time.GetUptime() + TimeSpan.FromSeconds(30), rig.Sent.LastDeadline);
        Assert.Equal("done", await rig.HintAsync(Device.Apns(2)));
        Assert.Equal(3, rig.Sent.Count);
    }

    [Fact]
    public async Task A_stop_sends_what_is_held_at_once()
    {
        await using var rig = new PipelineRig(_time, options => options.CoalescingWindow = TimeSpan.FromMinutes(1));
        for (byte i = 1; i <= 20; i++)
        {
            await rig.HintAsync(Device.Apns(i));
            await rig.HintAsync(Device.Apns(i));
        }

        Assert.Equal(20, rig.Lane.Pending);
        await rig.Lane.DrainAsync(CancellationToken.None);
        Assert.Equal(40, rig.Sent.Count);
        Assert.Equal(0, rig.Lane.Abandoned);
    }

    [Fact]
    public async Task With_the_window_off_every_hint_rings_at_once()
    {
        await using var rig = new PipelineRig(_time, options => options.CoalescingWindow = TimeSpan.Zero);
        for (var i = 0; i < 10; i++)
        {
            await rig.HintAsync(Device.Apns(1));
        }

        Assert.Equal(10, rig.Sent.Count);
        Assert.Equal(0, rig.Probe.Count("marmot_notify_pushes_held"));
    }
}
