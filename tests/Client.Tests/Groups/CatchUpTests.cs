using Marmot.Client.Tests.Support;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Groups;

/// <summary>Many messages of one sender in an order that is not the order they were sent in.</summary>
public sealed class CatchUpTests : IAsyncLifetime
{
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private Member _alice = null!;
    private Member _bob = null!;
    private string _group = "";

    public async Task InitializeAsync()
    {
        _alice = await Member.StartAsync(_network, _clock);
        _bob = await Member.StartAsync(_network, _clock);
        _group = (await _alice.Client.CreateGroupAsync("many", "")).GroupId;
        await _alice.Client.InviteAsync(_group, [_bob.Key]);
        await _bob.Client.AcceptInvitesAsync();
    }

    public async Task DisposeAsync()
    {
        await _alice.DisposeAsync();
        await _bob.DisposeAsync();
    }

    [Theory]
    [InlineData(1300)]
    [InlineData(900)]
    [Trait("Clock", "Date")]
    public async Task Messages_missed_of_which_a_relay_gives_the_last_200_first_are_all_read(int missed)
    {
        await SendAsync(missed);
        int looks = 0;
        _bob.View.OnFetch = (_, events) => looks++ == 0 ? [.. events.Where(IsGroupEvent).Take(200)] : events;
        var first = await _bob.Client.SyncAsync(_group);
        _bob.View.OnFetch = null;
        await _bob.Client.SyncAsync(_group);
        Assert.Equal(0, first.Count(Marmot.Client.Groups.GroupOutcome.Refused));
        AssertAll(missed);
        await _alice.Client.SendAsync(_group, "and on");
        await _bob.Client.SyncAsync(_group);
        Assert.Contains("and on", _bob.Texts(_group));
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task The_last_200_of_1300_wait_over_a_restart_and_are_read_when_the_others_come()
    {
        await SendAsync(1300);
        _bob.View.OnFetch = (_, events) => [.. events.Where(IsGroupEvent).Take(200)];
        await _bob.Client.SyncAsync(_group);
        Assert.Empty(_bob.Texts(_group));
        await _bob.RestartAsync();
        await _bob.Client.SyncAsync(_group);
        AssertAll(1300);
    }

    [Fact]
    public async Task Of_messages_whose_predecessors_no_relay_has_none_is_lost_either()
    {
        await SendAsync(400);
        foreach (var evt in _network[Member.Relay].Events.Where(IsGroupEvent).OrderBy(evt => evt.CreatedAt).Skip(1).Take(150).ToList())
        {
            _network[Member.Relay].Forget(evt.Id);
        }

        await _bob.Client.SyncAsync(_group);
        Assert.True(_bob.Texts(_group).Count >= 249, $"{_bob.Texts(_group).Count} read");
    }

    [Theory]
    [InlineData(150)]
    [InlineData(400)]
    public async Task More_than_100_messages_of_one_second_that_arrive_in_the_order_of_ids_are_all_read(int count)
    {
        await SendAsync(count);
        var dice = new Random(count);
        _bob.View.OnFetch = (_, events) => [.. events.OrderBy(_ => dice.Next())];

        // Dated alike, as a sender who knows no limit dates them: the order is that of the ids, which is chance.
        var relay = _network[Member.Relay];
        var originals = relay.Events.Where(IsGroupEvent).ToList();
        foreach (var evt in originals)
        {
            relay.Forget(evt.Id);
            using var key = Marmot.Protocol.Keys.SecretKey.Generate();
            relay.Publish(NostrEvent.Create(key, evt.Kind, evt.Tags, evt.Content, 1_790_000_100));
        }

        await _bob.Client.SyncAsync(_group);
        AssertAll(count);
    }

    private static bool IsGroupEvent(NostrEvent evt) => evt.Kind == 445;

    private async Task SendAsync(int count)
    {
        // Nothing of the invitation's commit among them: that is read already.
        foreach (var evt in _network[Member.Relay].Events.Where(IsGroupEvent).ToList())
        {
            _network[Member.Relay].Forget(evt.Id);
        }

        for (int i = 0; i < count; i++)
        {
            await _alice.Client.SendAsync(_group, $"message {i}");
        }
    }

    private void AssertAll(int count) =>
        Assert.Equal(Enumerable.Range(0, count).Select(i => $"message {i}").Order(StringComparer.Ordinal), _bob.Texts(_group)
            .Where(text => text.StartsWith("message", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
}
