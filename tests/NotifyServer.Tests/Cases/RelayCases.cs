using System.Net;
using System.Net.Sockets;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 38, 39, 41, 42 and 44, the canary, relay limits and ephemeral wraps.</summary>
public class RelayCases
{
    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task Case_38_a_refused_authentication_shows_and_is_tried_again()
    {
        await using var relay = await TestRelay.StartAsync(ChallengeManner.OnConnect);
        relay.RefusesAuth = true;
        await using var server = await RunningServer.StartAsync([relay]);
        await server.Probe.UntilAsync("marmot_notify_relay_auth:refused", 1);
        await server.Probe.UntilAsync("marmot_notify_relay_changes:auth-refused", 1);
        Assert.False(new InboxHealth(server.Service).Check().Ready);

        relay.RefusesAuth = false;
        relay.Drop();
        await relay.SubscribedAsync();
        await RingsAsync(relay, server, 38);
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task Case_39_a_new_challenge_in_the_middle_of_the_session_is_answered_and_nothing_is_missed()
    {
        await using var relay = await TestRelay.StartAsync(ChallengeManner.OnConnect);
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        var reqs = relay.Reqs;

        await relay.ChallengeAgainAsync();
        await relay.AuthenticatedAsync(2);
        await relay.RequestedAsync(reqs + 1);
        await relay.SubscribedAsync(2);
        await RingsAsync(relay, server, 39);
        Assert.Equal(1, relay.Connections);
    }

    [Fact]
    public async Task Case_41_an_overflow_refuses_the_newest_and_the_subscription_lives_on()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options =>
        {
            options.InboxCapacityPerRelay = 16;
            options.EcOperationsPerSecond = 100;
        });
        await relay.SubscribedAsync();
        using var stranger = SecretKey.Generate();
        var content = Convert.ToBase64String(new byte[200]);
        for (var i = 0; i < 300; i++)
        {
            await relay.SendAsync(NostrEvent.Create(stranger, 1059, [["p", server.PublicKey.ToString()]], content, i));
        }

        // The whole flood is judged, and what was taken of it is worked off, before the honest trigger comes.
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        while (server.Probe.Events("queued") + server.Probe.Events("inbox-full") < 300)
        {
            await timer.WaitForNextTickAsync(deadline.Token);
        }

        Assert.NotEqual(0, server.Probe.Events("inbox-full"));
        await server.Probe.UntilAsync("marmot_notify_events:not-openable", server.Probe.Events("queued"));
        await RingsAsync(relay, server, 41);
        Assert.Equal(1, relay.Connections);
    }

    [Fact]
    public async Task Case_42_a_half_open_connection_is_noticed_and_replaced()
    {
        // A tunnel that swallows all bytes once told to: what a lost network looks like from here.
        await using var relay = await TestRelay.StartAsync();
        await using var tunnel = new Tunnel(new Uri(relay.Url).Port);
        var observer = new LiveObserver();
        var connection = new RelayConnection(
            new RelayConnectionOptions
            {
                Url = new Uri($"ws://127.0.0.1:{tunnel.Port}/"),
                Subscription = () => [new Protocol.Filters.Filter { Kinds = [1059] }],
                PingInterval = TimeSpan.FromMilliseconds(100),
                PongTimeout = TimeSpan.FromMilliseconds(200),
                BackoffBase = TimeSpan.FromMilliseconds(10),
            },
            observer,
            Clock.Running());
        using var stop = new CancellationTokenSource();
        var running = connection.RunAsync(stop.Token);
        await observer.LiveAsync(1);

        tunnel.Swallow();
        await observer.LiveAsync(2);
        Assert.Equal(2, relay.Connections);
        await stop.CancelAsync();
        await running;

        // The defaults of the product stay below two minutes together.
        var defaults = new RelayConnectionOptions { Url = connection.Url };
        Assert.True(defaults.PingInterval + defaults.PongTimeout < TimeSpan.FromMinutes(2));
    }

    [Theory]
    [InlineData("ws://relay.example/", false)]
    [InlineData("wss://abcdefghijklmnop.onion/", false)]
    [InlineData("wss://xn--ü/", false)]
    [InlineData("ws://abcdefghijklmnop.onion/", false)]
    [InlineData("http://relay.example/", false)]
    [InlineData("wss://user:secret@relay.example/", false)]
    [InlineData("ws://127.0.0.1:7777/", true)]
    [InlineData("wss://relay.example/", true)]
    public void Case_44_clear_text_and_onion_relays_are_refused_by_name(string url, bool taken)
    {
        var options = new NotifyOptions { Relays = { url } };
        options.Apps.Add(new NotifyAppOptions { Name = "app", KeyFile = "key" });
        var result = new NotifyOptionsValidator().Validate(null, options);
        Assert.Equal(taken, result.Succeeded);
        if (!taken)
        {
            Assert.Contains("Notify:Relays:0", result.FailureMessage, StringComparison.Ordinal);
        }

        options.AllowPlaintextRelays = true;
        Assert.Equal(taken || url == "ws://relay.example/", new NotifyOptionsValidator().Validate(null, options).Succeeded);
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Ephemeral_wraps_ring_when_the_setting_asks_for_them_and_only_then()
    {
        await using var relay = await TestRelay.StartAsync();
        await using (var server = await RunningServer.StartAsync([relay]))
        {
            await relay.SubscribedAsync();
            Assert.DoesNotContain("21059", relay.LastFilter, StringComparison.Ordinal);
            await relay.SendAsync(Ephemeral(server, 59));
            await server.Probe.EventsAsync("other-kind", 1);
        }

        await using var open = await RunningServer.StartAsync([relay], options => options.AcceptEphemeralWraps = true);
        await relay.SubscribedAsync(2);
        Assert.Contains("21059", relay.LastFilter, StringComparison.Ordinal);
        await relay.SendAsync(Ephemeral(open, 60));
        await open.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, open.Apns.DeliveriesFor(Device.ApnsName(60)));

        static NostrEvent Ephemeral(RunningServer server, byte device)
        {
            using var author = SecretKey.Generate();
            var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1,
                Forge.Token(TokenDialect.MarmotPushV1, Device.Apns(device), server.PublicKey), 1);
            return Protocol.GiftWraps.GiftWrap.Create(rumor, author, server.PublicKey, TimeProvider.System, ephemeral: true);
        }
    }

    [Fact]
    public async Task The_canary_measures_a_relay_that_delivers_and_rings_nobody()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.CanaryInterval = TimeSpan.FromSeconds(1));
        await server.Probe.UntilAsync("marmot_notify_canaries:arrived", 1);
        await server.Probe.EventsAsync("canary", 1);

        Assert.True(new InboxHealth(server.Service).Check().Ready);
        Assert.InRange(server.Service.Relays[0].CanaryAgeSeconds, 0, 60);
        Assert.Empty(server.Apns.Requests);
        Assert.Empty(server.Fcm.Requests);
    }

    [Fact]
    public async Task The_canary_finds_a_relay_that_is_connected_and_delivers_nothing()
    {
        await using var relay = await TestRelay.StartAsync();
        relay.IsDeaf = true;
        var time = Clock.Standing();
        await using var providers = await SimulatedProviders.StartAsync(apns => apns.Clock = time);
        await using var server = await RunningServer.StartAsync([relay], options => options.CanaryInterval = TimeSpan.FromSeconds(5), time,
            providers: providers);
        await relay.SubscribedAsync();
        await server.Probe.UntilAsync("marmot_notify_relay_changes:live", 1);
        Assert.True(new InboxHealth(server.Service).Check().Ready); // live by all signs
        for (var i = 1; i <= CanaryLoop.LostUntilDeaf; i++)
        {
            await MoveUntilAsync(time, TimeSpan.FromSeconds(1), () => server.Probe.Count("marmot_notify_canaries:lost") >= i);
        }

        // It counts as deaf and is connected anew.
        var live = server.Probe.UntilAsync("marmot_notify_relay_changes:live", 2);
        await MoveUntilAsync(time, TimeSpan.FromMilliseconds(50), () => live.IsCompleted);
        var health = new InboxHealth(server.Service).Check();
        Assert.False(health.Ready);
        Assert.Contains("deaf", health.Detail, StringComparison.Ordinal);

        // The first event that comes through ends the alarm.
        await RingsAsync(relay, server, 1);
        Assert.True(new InboxHealth(server.Service).Check().Ready);
    }

    [Fact]
    public async Task A_relay_that_takes_no_trigger_of_ours_is_not_called_deaf()
    {
        await using var relay = await TestRelay.StartAsync();
        relay.RefusesWraps = "restricted: members only";
        await using var server = await RunningServer.StartAsync([relay], options => options.CanaryInterval = TimeSpan.FromSeconds(1));
        await server.Probe.UntilAsync("marmot_notify_canaries:refused", 2);

        Assert.True(new InboxHealth(server.Service).Check().Ready);
        Assert.Equal(1, relay.Connections);
    }

    [Fact]
    [Trait("Spec", "NIP-11")]
    public async Task Limits_of_a_relay_that_hurt_are_read_and_named()
    {
        await using var relay = await TestRelay.StartAsync();
        relay.Information = """
            {"name":"x","limitation":{"max_message_length":65536,"max_content_length":102400,"created_at_lower_limit":3600,"min_pow_difficulty":20,
             "auth_required":true,"restricted_writes":true,"payment_required":true,"max_subscriptions":10}}
            """;
        await using var server = await RunningServer.StartAsync([relay]);
        await server.Probe.UntilAsync("marmot_notify_relay_changes:limits-read", 1);

        string[] expected = [
            "max_message_length", "max_content_length", "created_at_lower_limit", "min_pow_difficulty", "auth_required", "restricted_writes", "payment_required"
        ];
        Assert.Equal(expected, server.Service.Relays[0].Limits.Select(limit => limit.Name));
        Assert.Contains("max_message_length", new InboxHealth(server.Service).Check().Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"limitation":{"max_message_length":131072,"created_at_lower_limit":172800,"min_pow_difficulty":0,"auth_required":false}}""", 0)]
    [InlineData("""{"name":"no limits at all"}""", 0)]
    [InlineData("""{"limitation":{"max_message_length":"many","auth_required":"yes"}}""", 0)]
    [InlineData("""{"limitation":[]}""", 0)]
    [InlineData("[]", -1)]
    [InlineData("<html>", -1)]
    [InlineData("", -1)]
    [Trait("Spec", "NIP-11")]
    public void Limits_that_do_not_hurt_or_make_no_sense_are_passed_over(string document, int limits) =>
        Assert.Equal(limits, RelayLimits.Judge(System.Text.Encoding.UTF8.GetBytes(document))?.Count ?? -1);

    private static async Task RingsAsync(TestRelay relay, RunningServer server, byte device)
    {
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(device)));
        await server.Probe.EndedAsync("accepted", 1);
        Assert.Equal(1, server.Apns.DeliveriesFor(Device.ApnsName(device)));
    }

    private static async Task MoveUntilAsync(FakeTimeProvider time, TimeSpan step, Func<bool> done)
    {
        for (var deadline = Environment.TickCount64 + 30_000; !done();)
        {
            Assert.True(Environment.TickCount64 < deadline, "it does not come about");
            time.Advance(step);
            await Task.Delay(1); // real loops on real sockets need a moment between two steps of the clock
        }
    }

    private sealed class LiveObserver : IRelayConnectionObserver
    {
        private readonly SemaphoreSlim _live = new(0);
        private int _seen;

        public async Task LiveAsync(int count)
        {
            for (; _seen < count; _seen++)
            {
                Assert.True(await _live.WaitAsync(TimeSpan.FromSeconds(30)));
            }
        }

        public void OnEvent(in NostrEventView evt, bool live)
        {
            // None comes.
        }

        public void OnState(RelayState state)
        {
            if (state == RelayState.Live)
            {
                _live.Release();
            }
        }

        public void OnClosed(RejectPrefix prefix, TimeSpan pause)
        {
            // Not in these tests.
        }

        public void OnAuth(bool accepted)
        {
            // Not in these tests.
        }

        public void OnEoseMissing()
        {
            // Not in these tests.
        }

        public void OnReady()
        {
            // Nothing to publish.
        }
    }

    /// <summary>Passes bytes on until told to swallow those of the connections it has; new ones pass.</summary>
    private sealed class Tunnel : IAsyncDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _accepting;
        private readonly int _target;
        private readonly List<Socket> _sockets = [];
        private int _swallowed;
        private int _accepted;

        public Tunnel(int target)
        {
            _target = target;
            _listener.Start();
            _accepting = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public void Swallow() => Volatile.Write(ref _swallowed, Volatile.Read(ref _accepted));

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            _listener.Dispose();
            await _accepting;
            _sockets.ForEach(socket => socket.Dispose());
            _stop.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    var client = await _listener.AcceptSocketAsync(_stop.Token);
                    var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
                    await server.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
                    _sockets.AddRange([client, server]);
                    var number = Interlocked.Increment(ref _accepted);
                    _ = PumpAsync(client, server, number);
                    _ = PumpAsync(server, client, number);
                }
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }

        private async Task PumpAsync(Socket from, Socket to, int number)
        {
            var buffer = new byte[16 * 1024];
            try
            {
                for (int read; (read = await from.ReceiveAsync(buffer, _stop.Token)) > 0;)
                {
                    if (number > Volatile.Read(ref _swallowed))
                    {
                        await to.SendAsync(buffer.AsMemory(0, read), _stop.Token);
                    }
                }
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // Either side has gone.
            }
        }
    }
}
