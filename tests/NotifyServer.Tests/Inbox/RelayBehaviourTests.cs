using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests.Inbox;

/// <summary>The server against relays that behave in every way relays do.</summary>
public class RelayBehaviourTests
{
    [Theory]
    [InlineData(ChallengeManner.OnConnect)]
    [InlineData(ChallengeManner.WithRefusal)]
    [InlineData(ChallengeManner.WhenNeeded)]
    [Trait("Spec", "NIP-42")]
    public async Task Case_38_a_relay_that_demands_authentication_is_heard(ChallengeManner challenges)
    {
        await using var relay = await TestRelay.StartAsync(challenges);
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(1)));
    }

    [Theory]
    [InlineData("rate-limited: slow down")]
    [InlineData("error: shutting down idle subscription")]
    [InlineData("no prefix at all")]
    [Trait("Spec", "NIP-01")]
    public async Task Case_38_a_closed_subscription_is_asked_for_again(string reason)
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        await relay.CloseAsync(reason);
        await relay.SubscribedAsync(2);

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);
    }

    [Fact]
    public async Task Case_38_a_refusal_shows_on_readyz()
    {
        await using var relay = await TestRelay.StartAsync();
        relay.CloseReasons.Enqueue("restricted: not you");
        await using var server = await RunningServer.StartAsync([relay]);
        await server.Probe.UntilAsync("marmot_notify_relay_closed:restricted", 1);

        var health = new InboxHealth(server.Service).Check();
        Assert.False(health.Ready);
        Assert.Contains("refused", health.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Case_40_a_relay_that_never_sends_eose_is_taken_as_live()
    {
        await using var relay = await TestRelay.StartAsync(sendsEose: false);
        await using var server = await RunningServer.StartAsync([relay], options => options.EoseTimeout = TimeSpan.FromMilliseconds(200));
        await server.Probe.UntilAsync("marmot_notify_relay_changes:eose-missing", 1);

        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);
    }

    [Fact]
    public async Task Case_37_a_relay_that_flaps_a_hundred_times_gets_a_fresh_subscription_each_time()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay],
            options => options.ReconnectBase = options.ReconnectMax = TimeSpan.FromMilliseconds(10));
        for (var i = 1; i <= 100; i++)
        {
            await relay.SubscribedAsync(i);
            relay.Drop();
        }

        await relay.SubscribedAsync(101);
        Assert.Equal(relay.Subscriptions.Count, relay.Subscriptions.Distinct().Count());
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);
    }

    [Fact]
    public async Task A_relay_that_comes_up_just_after_the_server_is_asked_often_at_first()
    {
        var options = new NotifyOptions();
        var time = new HastyTime(TimeSpan.FromSeconds(15));
        using var stop = new CancellationTokenSource();
        var connection = new RelayConnection(
            new RelayConnectionOptions
            {
                Url = new Uri($"ws://127.0.0.1:{FreePort.Take(1)[0]}/"),
                BackoffBase = options.ReconnectBase,
                BackoffGrowth = InboxRelay.ReconnectGrowth,
                BackoffMax = options.ReconnectMax,
                ConnectTimeout = TimeSpan.FromSeconds(15),
            },
            new Deaf(),
            time);
        var running = connection.RunAsync(stop.Token);
        await time.FiredAsync(40);
        await stop.CancelAsync();
        await running;

        var pauses = time.Fired.Select(pause => pause.TotalSeconds).ToArray();
        Assert.InRange(pauses[0], 0, 0.2);
        Assert.InRange(pauses.Take(8).Sum(), 0, 4);
        Assert.All(pauses, pause => Assert.InRange(pause, 0, 60));
        Assert.All(pauses.Skip(30), pause => Assert.InRange(pause, 6, 60)); // a relay that stays away is not pestered
    }

    /// <summary>Timers fire at once and are written down; all but the deadline of a connection attempt.</summary>
    private sealed class HastyTime(TimeSpan never) : TimeProvider
    {
        private readonly SemaphoreSlim _fired = new(0);

        public System.Collections.Concurrent.ConcurrentQueue<TimeSpan> Fired { get; } = new();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime == never || dueTime == Timeout.InfiniteTimeSpan)
            {
                return base.CreateTimer(callback, state, dueTime, period);
            }

            Fired.Enqueue(dueTime);
            _fired.Release();
            return base.CreateTimer(callback, state, TimeSpan.Zero, period);
        }

        public async Task FiredAsync(int count)
        {
            for (var i = 0; i < count; i++)
            {
                Assert.True(await _fired.WaitAsync(TimeSpan.FromSeconds(30)));
            }
        }
    }

    private sealed class Deaf : IRelayConnectionObserver
    {
        public void OnEvent(in NostrEventView evt, bool live)
        {
        }

        public void OnState(RelayState state)
        {
        }

        public void OnClosed(RejectPrefix prefix, TimeSpan pause)
        {
        }

        public void OnAuth(bool accepted)
        {
        }

        public void OnEoseMissing()
        {
        }

        public void OnReady()
        {
        }
    }

    [Fact]
    public async Task Case_36_starts_without_any_relay_and_recovers()
    {
        string url;
        await using (var gone = await TestRelay.StartAsync())
        {
            url = gone.Url;
        }

        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.Relays.Insert(0, url));
        await relay.SubscribedAsync();
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);
        Assert.True(new InboxHealth(server.Service).Check().Ready);
    }

    [Fact]
    public async Task Case_43_events_of_subscriptions_never_made_are_ignored()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        var trigger = server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1));
        await relay.SendRawAsync($"""["EVENT","someone-elses",{System.Text.Encoding.UTF8.GetString(trigger.Json.Span)}]""");
        await relay.SendRawAsync("not json at all");
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(2)));
        await server.Probe.EndedAsync("accepted", 1);

        Assert.Equal(0, server.Apns.RequestsFor(Device.ApnsName(1)));
        Assert.Equal(1, server.Probe.Events("queued"));
    }

    [Fact]
    [Trait("Spec", "NIP-17")]
    public async Task Publishes_its_inbox_relays_on_each_relay()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.PublishedAsync(1);

        Assert.True(relay.Published.TryPeek(out var list));
        Assert.Equal(10050, list.Kind);
        Assert.Equal(server.PublicKey, list.PublicKey);
        Assert.True(list.TryVerify(out _));
        Assert.Equal(relay.Url, list.TagValue("relay"));
    }

    [Fact]
    [Trait("Spec", "NIP-17")]
    public async Task Publishes_its_inbox_relays_again_where_they_were_deleted()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.InboxListInterval = TimeSpan.FromSeconds(1));
        await relay.PublishedAsync(1);
        await server.Probe.UntilAsync("marmot_notify_inbox_lists:present", 2);
        Assert.Single(relay.Published);

        relay.Published.Clear();
        await relay.PublishedAsync(1);
        await server.Probe.UntilAsync("marmot_notify_inbox_lists:published", 2);
        Assert.True(server.Service.Relays[0].IsListed);
    }

    [Fact]
    [Trait("Spec", "NIP-17")]
    public async Task A_relay_that_takes_the_list_no_more_shows_as_unlisted()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.InboxListInterval = TimeSpan.FromSeconds(1));
        await server.Probe.UntilAsync("marmot_notify_inbox_lists:present", 1);
        Assert.True(server.Service.Relays[0].IsListed);

        relay.RefusesLists = "blocked: not you";
        relay.Published.Clear();
        await server.Probe.UntilAsync("marmot_notify_inbox_lists:blocked", 1);
        Assert.False(server.Service.Relays[0].IsListed);
        Assert.Empty(relay.Published);
    }

    [Fact]
    [Trait("Spec", "NIP-17")]
    public async Task A_relay_that_does_not_answer_the_question_gets_no_list_after_list()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.InboxListInterval = TimeSpan.FromSeconds(1));
        await relay.PublishedAsync(1);
        relay.RefusesQueries = "rate-limited: later";
        await server.Probe.UntilAsync("marmot_notify_inbox_lists:no-answer", 3);
        Assert.Single(relay.Published);
        Assert.True(server.Service.Relays[0].IsListed); // as far as anybody knows
    }
}
