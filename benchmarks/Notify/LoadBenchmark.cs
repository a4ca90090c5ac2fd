using System.Collections.Concurrent;
using System.Diagnostics;
using Marmot.NotifyServer;
using Marmot.NotifyServer.Tests.Soak;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Benchmarks.Notify;

/// <summary>The server as a process: time from the relay's frame to the provider's acceptance, at a calm rate and beside a flood of garbage; memory of full
/// limiter tables.</summary>
internal static class LoadBenchmark
{
    private const int TokensPerTrigger = 4;

    /// <summary>A calm rate, nothing else.</summary>
    public static async Task<bool> LatencyAsync(TimeSpan duration)
    {
        await using var load = await Load.StartAsync();
        await load.SendAsync(TimeSpan.FromSeconds(2), relay: 0); // connections, credentials, JIT
        load.Forget();
        await load.SendAsync(duration, relay: 0);
        Console.WriteLine($"End to end, 20 triggers/s of {TokensPerTrigger} tokens, half APNs half FCM, simulators on the same machine:");
        return load.Print("relay frame to acceptance");
    }

    /// <summary>Ten seconds of validly signed garbage on one relay, triggers on the other; then the flooded relay itself.</summary>
    public static async Task<bool> FloodAsync(TimeSpan duration)
    {
        const int Rate = 2_000;
        await using var load = await Load.StartAsync();
        await load.SendAsync(TimeSpan.FromSeconds(2), relay: 1);
        load.Forget();
        using var stranger = SecretKey.Generate();
        var content = Convert.ToBase64String([2, .. System.Security.Cryptography.RandomNumberGenerator.GetBytes(1_000)]);
        var server = load.Server.PublicKey.ToString();
        var garbage = Enumerable.Range(0, (int)(Rate * duration.TotalSeconds))
            .Select(i => NostrEvent.Create(stranger, 1059, [["p", server]], content, i)).ToArray();
        var clock = Stopwatch.StartNew();
        var flood = Task.Run(async () =>
        {
            foreach (var wrap in garbage)
            {
                await load.Server.Relays[0].SendAsync(wrap);
            }
        });
        var triggers = load.SendAsync(duration, relay: 1);
        await flood;
        var flooded = garbage.Length / clock.Elapsed.TotalSeconds;
        await triggers;
        var shed = await load.Server.SumAsync("marmot_notify_events", "inbox-full");
        Console.WriteLine($"Flood: {garbage.Length:N0} garbage wraps on one relay ({flooded:N0}/s, {shed:N0} shed), triggers on another:");
        var holds = load.Print("during the flood, other relay");
        load.Forget();
        var recovered = Stopwatch.StartNew();
        await load.SendAsync(TimeSpan.FromMilliseconds(1), relay: 0);
        Console.WriteLine($"{"flooded relay delivers again after",-44}{recovered.Elapsed.TotalSeconds,8:F2} s (the target is 5)");
        return holds && recovered.Elapsed < TimeSpan.FromSeconds(5);
    }

    /// <summary>100,000 devices and as many encrypted tokens in the limiters.</summary>
    public static bool Memory()
    {
        const int Keys = 100_000;
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var gate = new DeviceGate(new NotifyOptions(), TimeProvider.System);
        var empty = GC.GetTotalMemory(forceFullCollection: true) - before;
        var token = new byte[32];
        for (var i = 0; i < Keys; i++)
        {
            BitConverter.TryWriteBytes(token, i);
            gate.TryTake(gate.Identify("bench", DevicePlatform.Apns, token), out _);
            gate.TryTakeToken(gate.IdentifyToken(token));
        }

        var full = GC.GetTotalMemory(forceFullCollection: true) - before;
        GC.KeepAlive(gate);
        Console.WriteLine(
            $"Limiters: {empty / 1e6:F1} MB empty, {full / 1e6:F1} MB with {Keys:N0} devices and {Keys:N0} tokens ({(double)full / Keys:F0} bytes each; a key "
                + $"more costs nothing)");
        return full - empty < 1_000_000;
    }

    /// <summary>A server and the times of what was sent through it.</summary>
    private sealed class Load : IAsyncDisposable
    {
        private readonly ConcurrentDictionary<string, long> _sent = new();
        private readonly ConcurrentBag<double> _milliseconds = [];
        private int _next;
        private int _tokens;

        public LoadedServer Server { get; private set; } = null!;

        public static async Task<Load> StartAsync()
        {
            var load = new Load();
            load.Server = await LoadedServer.StartAsync(onRequest: request =>
            {
                if (request.Accepted && load._sent.TryRemove(request.Token, out var sent))
                {
                    load._milliseconds.Add(Stopwatch.GetElapsedTime(sent).TotalMilliseconds);
                }
            });
            return load;
        }

        /// <summary>20 triggers a second for so long, and waits for the last acceptance.</summary>
        public async Task SendAsync(TimeSpan duration, int relay)
        {
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
            var clock = Stopwatch.StartNew();
            do
            {
                var devices = Enumerable.Range(0, TokensPerTrigger).Select(_ => Device(Interlocked.Increment(ref _next))).ToArray();
                var trigger = TestTrigger.Create(Server.PublicKey, TokenDialect.MarmotPushV1, devices, TimeProvider.System);
                foreach (var (platform, token) in devices)
                {
                    _sent[platform == DevicePlatform.Apns
                        ? Convert.ToHexStringLower(token)
                        : System.Text.Encoding.ASCII.GetString(token)] = Stopwatch.GetTimestamp();
                }

                _tokens += devices.Length;
                await Server.Relays[relay].SendAsync(trigger);
                await timer.WaitForNextTickAsync();
            }
            while (clock.Elapsed < duration);
            for (var patience = Stopwatch.StartNew(); !_sent.IsEmpty && patience.Elapsed < TimeSpan.FromSeconds(30);)
            {
                await timer.WaitForNextTickAsync();
            }
        }

        public void Forget()
        {
            _sent.Clear();
            _milliseconds.Clear();
            _tokens = 0;
        }

        public bool Print(string name)
        {
            var sorted = _milliseconds.Order().ToArray();
            var share = (double)sorted.Length / _tokens;
            Console.WriteLine(
                $"{name,-44}p50 {sorted[sorted.Length / 2],8:F1} ms   p99 {sorted[(int)(sorted.Length * 0.99)],8:F1} ms   delivered {share:P1} of "
                    + $"{_tokens:N0} (at least 95 %)");
            return share >= 0.95;
        }

        public ValueTask DisposeAsync() => Server.DisposeAsync();

        private static (DevicePlatform, byte[]) Device(int n) => n % 2 == 0
            ? (DevicePlatform.Apns, [.. BitConverter.GetBytes(n), .. new byte[28]])
            : (DevicePlatform.Fcm, System.Text.Encoding.ASCII.GetBytes("device-" + n.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }
}
