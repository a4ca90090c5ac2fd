using System.Net;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Budgets;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Ingest;

public sealed class WorkBudgetsTests
{
    private const long Now = 1_700_000_500;

    [Fact]
    public void A_burst_passes_then_the_rate_holds_and_debt_is_waited_for()
    {
        var clock = Clock.Standing();
        var budgets = new WorkBudgets(clock, 100, TimeSpan.FromSeconds(10));
        Assert.True(budgets.TryTake("a"u8, 999));
        Assert.True(budgets.TryTake("a"u8, 101)); // one is left: it passes and ends in debt
        Assert.False(budgets.TryTake("a"u8, 1));
        Assert.True(budgets.TryTake("b"u8, 1));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(budgets.TryTake("a"u8, 1));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(budgets.TryTake("a"u8, 1));
        budgets.Charge("b"u8, 5000);
        Assert.False(budgets.TryTake("b"u8, 1));
    }

    [Fact]
    public void A_debt_is_no_deeper_than_a_full_bucket()
    {
        var clock = Clock.Standing();
        var budgets = new WorkBudgets(clock, 100, TimeSpan.FromSeconds(10));
        Assert.Equal(TimeSpan.Zero, budgets.Charge("a"u8, 999));
        Assert.Equal(10.01, budgets.Charge("a"u8, 1_000_000).TotalSeconds, 1e-9);
        clock.Advance(TimeSpan.FromSeconds(9.9));
        Assert.False(budgets.TryTake("a"u8, 1));
        clock.Advance(TimeSpan.FromSeconds(0.2));
        Assert.True(budgets.TryTake("a"u8, 1));
    }

    [Fact]
    public void In_debt_everything_counts_tenfold()
    {
        var clock = Clock.Standing();
        var budgets = new WorkBudgets(clock, 100, TimeSpan.FromSeconds(10));
        Assert.Equal(0.01, budgets.Charge("a"u8, 1000).TotalSeconds, 1e-9);
        Assert.Equal(0.51, budgets.Charge("a"u8, 5).TotalSeconds, 1e-9);
        clock.Advance(TimeSpan.FromSeconds(0.6));
        Assert.Equal(TimeSpan.Zero, budgets.Charge("a"u8, 5));
    }

    [Fact]
    public void Everything_is_forgotten_with_the_daily_salt()
    {
        var clock = Clock.Standing();
        var budgets = new WorkBudgets(clock, 1, TimeSpan.FromSeconds(10));
        clock.Advance(TimeSpan.FromHours(24) - TimeSpan.FromSeconds(1));
        budgets.Charge("a"u8, 10_000_000);
        Assert.False(budgets.TryTake("a"u8, 1));
        clock.Advance(TimeSpan.FromSeconds(2));
        Assert.True(budgets.TryTake("a"u8, 1));
    }

    [Fact]
    public void Addresses_are_counted_by_prefix_and_loopback_only_when_told_so()
    {
        var budgets = new RelayBudgets(Clock.Running(), new RelayOptions());
        Assert.Null(budgets.PrefixOf(IPAddress.Loopback));
        Assert.Equal(budgets.PrefixOf(IPAddress.Parse("192.0.2.1")), budgets.PrefixOf(IPAddress.Parse("::ffff:192.0.2.1")));
        Assert.NotEqual(budgets.PrefixOf(IPAddress.Parse("192.0.2.1")), budgets.PrefixOf(IPAddress.Parse("192.0.2.2")));
        Assert.Equal(budgets.PrefixOf(IPAddress.Parse("2001:db8:1:200::1")), budgets.PrefixOf(IPAddress.Parse("2001:db8:1:2ff:9::7")));
        Assert.NotEqual(budgets.PrefixOf(IPAddress.Parse("2001:db8:1:200::1")), budgets.PrefixOf(IPAddress.Parse("2001:db8:1:300::1")));
        Assert.NotNull(new RelayBudgets(Clock.Running(), new RelayOptions { LimitLoopback = true }).PrefixOf(IPAddress.Loopback));
    }

    [Fact]
    public async Task An_address_that_makes_too_much_work_is_refused_on_every_connection()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=2500", "--Relay:LimitLoopback=true");
        await using var first = await relay.ConnectAsync();
        await using var second = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.True((await first.PublishAsync(NostrEvent.Create(key, 1, [], new string('x', 200_000), Now))).Accepted); // seconds of debt
        Assert.StartsWith("rate-limited: ", (await first.PublishAsync(NostrEvent.Create(key, 1, [], "y", Now))).Text, StringComparison.Ordinal);
        await second.SendAsync("[\"REQ\",\"a\",{}]");
        var closed = await second.ReceiveAsync();
        Assert.Equal("CLOSED", closed[0].GetString());
        Assert.StartsWith("rate-limited: ", closed[2].GetString(), StringComparison.Ordinal);
        var refusal = await Assert.ThrowsAsync<System.Net.WebSockets.WebSocketException>(relay.ConnectAsync);
        Assert.Contains("'429'", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_in_debt_is_read_from_again_when_it_has_waited()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=4500", "--Relay:LimitLoopback=true");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.True((await client.PublishAsync(NostrEvent.Create(key, 1, [], new string('x', 400_000), Now))).Accepted);
        await Task.Delay(100); // it waits two seconds
        await client.SendAsync("[\"COUNT\",\"a\",{}]"); // lies in a socket that a packet of this size does not wake now
        Assert.Equal("CLOSED", (await client.ReceiveAsync())[0].GetString());
    }

    [Fact]
    public async Task A_group_or_recipient_takes_so_much_and_others_are_not_touched()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerTarget=50");
        await using var client = await relay.ConnectAsync();
        string full = new('a', 64), other = new('b', 64);
        var answers = new List<(bool Accepted, string Text)>();
        for (var i = 0; i < 20; i++)
        {
            using var key = SecretKey.Generate();
            answers.Add(await client.PublishAsync(NostrEvent.Create(key, 445, [["h", full]], $"{i}", Now)));
        }

        Assert.True(answers[0].Accepted);
        Assert.StartsWith("rate-limited: ", answers[^1].Text, StringComparison.Ordinal);
        using var sender = SecretKey.Generate();
        Assert.True((await client.PublishAsync(NostrEvent.Create(sender, 445, [["h", other]], "x", Now))).Accepted);
        Assert.True((await client.PublishAsync(NostrEvent.Create(sender, 1059, [["p", full]], "x", Now))).Accepted);
    }
}
