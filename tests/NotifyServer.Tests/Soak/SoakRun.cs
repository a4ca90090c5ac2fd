using System.Diagnostics;
using Marmot.ProviderSimulators;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Soak;

/// <summary>What a soak came to.</summary>
/// <param name="Sent">Device tokens sent in triggers.</param>
/// <param name="Admitted">Pushes the server took on.</param>
/// <param name="Accepted">Of those, taken by a provider.</param>
/// <param name="Ended">Of those, all that came to an end, whichever.</param>
/// <param name="Abandoned">Of those, given up by the stop.</param>
/// <param name="RungTwice">Devices a provider took more than one push for.</param>
/// <param name="MemoryBefore">Resident bytes after the first third.</param>
/// <param name="MemoryAfter">Resident bytes at the end.</param>
/// <param name="LastDelivered">Of the 300 pushes queued at SIGTERM, those delivered.</param>
/// <param name="ExitCode">Of the stop.</param>
internal sealed record SoakReport(
    int Sent, long Admitted, long Accepted, long Ended, long Abandoned, int RungTwice, double MemoryBefore, double MemoryAfter,
    int LastDelivered, int ExitCode);

/// <summary>Steady triggers through both relays while relays flap, APNs storms, says GOAWAY and refuses streams, and the operator exchanges keys; then a stop
/// with 300 pushes queued.</summary>
internal static class SoakRun
{
    private const int LastPushes = 300;

    public static async Task<SoakReport> RunAsync(TimeSpan duration, TextWriter log)
    {
        var deliveries = new Dictionary<string, int>();
        await using var server = await LoadedServer.StartAsync(
            options => options.Concurrency = 50,
            request =>
            {
                if (request.Accepted)
                {
                    lock (deliveries)
                    {
                        deliveries[request.Token] = deliveries.GetValueOrDefault(request.Token) + 1;
                    }
                }
            });
        var clock = Stopwatch.StartNew();
        var sent = 0;
        var memoryBefore = 0.0;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        for (var tick = 0; clock.Elapsed < duration; tick++)
        {
            await timer.WaitForNextTickAsync();
            var devices = Enumerable.Range(sent, 4).Select(n => Device(n, n % 2 == 0)).ToArray();
            sent += devices.Length;
            var trigger = TestTrigger.Create(server.PublicKey, (TokenDialect)(tick % 3), devices, TimeProvider.System);
            await Task.WhenAll(server.Relays.Select(relay => SendAsync(relay, trigger)));
            await DisturbAsync(server, tick);
            if (memoryBefore == 0 && clock.Elapsed > duration / 3)
            {
                memoryBefore = await server.MemoryAsync();
            }

            if (tick % 100 == 99)
            {
                // The records of the simulators would be the only thing that grows.
                server.Providers.Apns.ClearRequests();
                server.Providers.Fcm.ClearRequests();
                await log.WriteLineAsync($"{clock.Elapsed.TotalSeconds,6:0} s  sent {sent}  memory {await server.MemoryAsync() / 1e6:0} MB");
            }
        }

        // Quiet: everything admitted comes to its end.
        server.Providers.Apns.ScriptAll();
        await server.UntilAsync(async () => await server.SumAsync("marmot_notify_push_pending") == 0, TimeSpan.FromMinutes(3));
        var admitted = (long)await server.SumAsync("marmot_notify_pushes_admitted");
        var accepted = (long)await server.SumAsync("marmot_notify_pushes_ended", "end=\"accepted\"");
        var ended = (long)await server.SumAsync("marmot_notify_pushes_ended");
        var abandoned = (long)await server.SumAsync("marmot_notify_pushes_ended", "end=\"abandoned\"");
        var memoryAfter = await server.MemoryAsync();
        int rungTwice;
        lock (deliveries)
        {
            rungTwice = deliveries.Values.Count(count => count > 1);
            deliveries.Clear();
        }

        // SIGTERM with 300 queued behind a slow provider.
        server.ApnsLatency = TimeSpan.FromMilliseconds(300);
        for (var i = 0; i < LastPushes; i += 30)
        {
            await SendAsync(server.Relays[0],
                TestTrigger.Create(server.PublicKey, TokenDialect.MarmotPushV1, [.. Enumerable.Range(sent + i, 30).Select(n => Device(n, apns: true))],
                    TimeProvider.System)); // the sender's date
        }

        await server.UntilAsync(async () => await server.SumAsync("marmot_notify_pushes_admitted") == admitted + LastPushes, TimeSpan.FromSeconds(30));
        server.Process.Terminate();
        var exitCode = await server.Process.WaitForExitAsync(TimeSpan.FromSeconds(60));
        lock (deliveries)
        {
            return new SoakReport(sent, admitted, accepted, ended, abandoned, rungTwice, memoryBefore, memoryAfter,
                deliveries.Values.Count(count => count == 1), exitCode);
        }
    }

    private static async Task DisturbAsync(LoadedServer server, int tick)
    {
        switch (tick % 50)
        {
            case 5:
                server.Relays[0].Drop();
                break;
            case 15:
                server.Providers.Apns.ScriptAll(new SimulatedVerdict { Status = 503, Reason = "ServiceUnavailable", Times = 20 });
                break;
            case 25:
                server.Relays[1].Drop();
                break;
            case 30:
                await server.Providers.Apns.GoAwayAsync();
                break;
            case 35:
                server.RotateCredentials();
                break;
            case 40:
                server.Providers.Apns.ScriptAll(new SimulatedVerdict { Fault = SimulatedFault.RefusedStream, Times = 3 });
                break;
        }
    }

    // A relay that is just being dropped takes nothing; the other one has the trigger too.
    private static async Task SendAsync(TestRelay relay, Protocol.Events.NostrEvent trigger)
    {
        try
        {
            await relay.SendAsync(trigger);
        }
        catch (Exception e) when (e is System.Net.WebSockets.WebSocketException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // Dropped in between.
        }
    }

    private static (DevicePlatform, byte[]) Device(int n, bool apns) => apns
        ? (DevicePlatform.Apns, [.. BitConverter.GetBytes(n), .. new byte[28]])
        : (DevicePlatform.Fcm, System.Text.Encoding.ASCII.GetBytes("device-" + n.ToString(System.Globalization.CultureInfo.InvariantCulture)));
}
