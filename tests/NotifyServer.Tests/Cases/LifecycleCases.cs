using System.Net;
using System.Net.Sockets;
using Marmot.Hosting.Admin;
using Marmot.Hosting.Metrics;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Push;
using Marmot.TestKit;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 35, 61 to 66: starting, stopping, breaking. Signals and modes are those of Unix, where the server runs.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class LifecycleCases
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Case_35_slow_requests_to_the_admin_port_end_and_shut_nobody_out()
    {
        using var metrics = new PrometheusText();
        var admin = new AdminServer(
            Microsoft.Extensions.Options.Options.Create(new Hosting.Settings.AdminOptions { Urls = "http://127.0.0.1:0" }), [], metrics,
            NullLoggerFactory.Instance);
        await admin.StartAsync(CancellationToken.None);
        var address = new Uri(admin.Addresses.First());
        var slow = new List<TcpClient>();
        for (var i = 0; i < 50; i++)
        {
            var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, address.Port);
            await client.GetStream().WriteAsync("GET /metr"u8.ToArray());
            slow.Add(client);
        }

        using var http = new HttpClient();
        Assert.Equal("ok\n", await http.GetStringAsync(new Uri(address, "/healthz")));
        using var body = new StringContent(new string('x', 100_000));
        using var refused = await http.PostAsync(new Uri(address, "/metrics"), body);
        Assert.False(refused.IsSuccessStatusCode);

        // Each of the slow ones is answered 408 and closed.
        foreach (var client in slow)
        {
            using var reader = new StreamReader(client.GetStream());
            Assert.Contains("408", await reader.ReadToEndAsync().WaitAsync(Patience), StringComparison.Ordinal);
            client.Dispose();
        }

        await admin.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Case_61_a_stop_with_five_hundred_queued_pushes_sends_them_all_and_takes_no_new_trigger()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await SimulatedProviders.StartAsync(apns => apns.Latency = TimeSpan.FromMilliseconds(20));
        await using var server = await RunningServer.StartAsync([relay], options => options.Concurrency = 20, providers: providers);
        await relay.SubscribedAsync();
        for (var i = 0; i < 20; i++)
        {
            await relay.SendAsync(
                server.Trigger(TokenDialect.MarmotPushV1,
                    [.. Enumerable.Range(i * 25, 25).Select(n => ((DevicePlatform, byte[]))(DevicePlatform.Apns, BitConverter.GetBytes(n)))]));
        }

        await server.Probe.EventsAsync("queued", 20);
        await server.Service.StopAsync(CancellationToken.None).WaitAsync(Patience);
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));

        Assert.Equal(500, server.Probe.Ended("accepted"));
        Assert.Equal(0, server.Probe.Ended("abandoned"));
        Assert.Equal(500, server.Apns.Requests.Count(request => request.Accepted));
        Assert.Equal(20, server.Probe.Events("queued"));
    }

    [Fact]
    public async Task Case_62_a_stop_while_no_relay_answers_ends()
    {
        var port = FreePort.Take(1)[0];
        await using var server = await RunningServer.StartAsync([], options => options.Relays.Add($"ws://127.0.0.1:{port}/"));
        await server.Service.StopAsync(CancellationToken.None).WaitAsync(Patience);
    }

    [Fact]
    public async Task Case_62_a_stop_in_the_middle_of_an_authentication_ends()
    {
        await using var relay = await TestRelay.StartAsync(ChallengeManner.OnConnect);
        relay.IgnoresAuth = true;
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.AuthenticatedAsync(1);
        await server.Service.StopAsync(CancellationToken.None).WaitAsync(Patience);
    }

    [Fact]
    public async Task Case_62_a_stop_while_a_push_waits_a_minute_counts_it_as_abandoned()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay], options => options.DrainTimeout = TimeSpan.FromMilliseconds(300));
        await relay.SubscribedAsync();
        server.Apns.ScriptAll(new SimulatedVerdict { Status = 429, Reason = "TooManyRequests", RetryAfter = "60" });
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(62), Device.Apns(63)));
        await server.Probe.UntilAsync("marmot_notify_push_retries", 2);
        await server.Service.StopAsync(CancellationToken.None).WaitAsync(Patience);

        Assert.Equal(2, server.Probe.Ended("abandoned"));
        Assert.Equal(2, server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Abandoned);
    }

    [Fact]
    public async Task Case_63_a_second_signal_ends_the_process_at_once()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await SimulatedProviders.StartAsync();
        using var folder = new TemporaryFolder();
        var options = RunningServer.CreateOptions(folder.Path, providers, [relay.Url]);
        options.DrainTimeout = TimeSpan.FromMinutes(5);
        options.ProviderTimeout = TimeSpan.FromMinutes(1);
        var (process, admin) = await ServerProgram.StartNotifyAsync(folder.Path, options);
        await using (process)
        {
            using (admin)
            {
                await relay.SubscribedAsync();
                providers.Apns.BlackHole = true;
                using var key = NotifyServer.Apps.KeyFile.Load(options.Apps[0].KeyFile);
                await relay.SendAsync(TestTrigger.Create(key.PublicKey, TokenDialect.MarmotPushV1, [Device.Apns(63)], TimeProvider.System));
                await providers.Apns.WaitForRequestsAsync(1, CancellationToken.None).WaitAsync(Patience);
                process.Terminate();
                await process.WritesAsync("pushes pending");
                process.Terminate();
                Assert.Equal(0, await process.WaitForExitAsync(Patience));
            }
        }
    }

    [Fact]
    public async Task Case_64_a_loop_that_breaks_stops_the_process_with_exit_code_one()
    {
        await using var relay = await TestRelay.StartAsync();
        var time = new BreakingTime();
        using var lifetime = new WatchedLifetime();
        var extras = new ServerExtras { Lifetime = lifetime };
        await using var server = await RunningServer.StartAsync([relay], time: time, extras: extras);
        await relay.SubscribedAsync();
        time.IsBroken = true;
        relay.Drop();
        await lifetime.Stopped.WaitAsync(Patience);
        time.IsBroken = false;

        Assert.Equal([1], extras.ExitCodes);
    }

    [Fact]
    public async Task Case_65_wrong_settings_a_taken_port_and_a_missing_key_end_the_start_with_their_names()
    {
        using var folder = new TemporaryFolder();
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var data = $"--Storage:DataDirectory={folder.Path}";
        string[] ports = ["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=http://127.0.0.1:0"];

        await FailsAsync(2, ["--Notify:Relays:0=ws://relay.example", "--Notify:Concurrency=0", .. ports], "Notify:Relays:0", "Notify:Concurrency");
        await FailsAsync(2, ["--Notify:Relays:0=wss://relay.example", "--Notify:Aps:0:Name=x", .. ports], "Notify:Aps", "Notify:Apps");
        await FailsAsync(2, [.. App("app"), "--Notify:Apps:0:Apns:KeyFile=/nowhere.p8", .. ports], "Notify:Apps:0:Apns:KeyFile");
        var key = Path.Combine(folder.Path, "open.key");
        await File.WriteAllTextAsync(key, new string('1', 64));
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        await FailsAsync(2, ["--Notify:Relays:0=wss://relay.example", "--Notify:Apps:0:Name=app", $"--Notify:Apps:0:KeyFile={key}", .. ports],
            "open.key", "chmod 600");
        await FailsAsync(2, [.. App("app"), "--Public:Urls=http://127.0.0.1:0", $"--Admin:Urls=http://127.0.0.1:{port}"],
            port.ToString(System.Globalization.CultureInfo.InvariantCulture));

        string[] App(string name) =>
            ["--Notify:Relays:0=wss://relay.example", $"--Notify:Apps:0:Name={name}", $"--Notify:Apps:0:KeyFile={Path.Combine(folder.Path, "made.key")}"];

        async Task FailsAsync(int code, string[] arguments, params string[] named)
        {
            await using var process = ServerProgram.Start(["notify", data, .. arguments]);
            Assert.Equal(code, await process.WaitForExitAsync(TimeSpan.FromSeconds(60)));
            Assert.All(named, name => Assert.Contains(name, process.Output, StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Cases_36_62_and_66_with_all_relays_down_the_server_runs_unready_serves_metrics_and_stops_with_zero()
    {
        await using var providers = await SimulatedProviders.StartAsync();
        using var folder = new TemporaryFolder();
        var options = RunningServer.CreateOptions(folder.Path, providers, [$"ws://127.0.0.1:{FreePort.Take(1)[0]}/"]);
        options.ReconnectBase = options.ReconnectMax = TimeSpan.FromSeconds(60);
        var (process, admin) = await ServerProgram.StartNotifyAsync(folder.Path, options);
        await using (process)
        {
            using (admin)
            {
                await process.WritesAsync("listening as");
                using var ready = await admin.GetAsync(new Uri("readyz", UriKind.Relative));
                Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
                await ServerProgram.PollAsync(process, async () =>
                    (await admin.GetStringAsync(new Uri("metrics", UriKind.Relative))).Contains("marmot_notify_relay_live{", StringComparison.Ordinal));
                process.Terminate();
                Assert.Equal(0, await process.WaitForExitAsync(Patience));
            }
        }
    }

    private sealed class BreakingTime : TimeProvider
    {
        public bool IsBroken { get; set; }

        public override long GetTimestamp() => IsBroken ? throw new NotSupportedException("the clock broke") : base.GetTimestamp();
    }

    private sealed class WatchedLifetime : IHostApplicationLifetime, IDisposable
    {
        private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Stopped => _stopped.Task;

        public CancellationToken ApplicationStarted => CancellationToken.None;

        public CancellationToken ApplicationStopping => CancellationToken.None;

        public CancellationToken ApplicationStopped => CancellationToken.None;

        public void StopApplication() => _stopped.TrySetResult();

        public void Dispose() => _stopped.TrySetCanceled();
    }
}
