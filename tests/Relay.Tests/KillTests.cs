using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>The real program, killed with SIGKILL in the middle of a pipelined burst, again and again on one data directory.</summary>
public sealed class KillTests
{
    private const int Rounds = 4;
    private const string Group = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

    [Fact]
    public async Task Loses_nothing_acknowledged_and_keeps_nothing_half()
    {
        var directory = Directory.CreateTempSubdirectory("marmot-kill-").FullName;
        var random = new Random(3);
        using var key = SecretKey.Generate();
        var sent = new HashSet<string>();
        var acknowledged = new HashSet<string>();
        for (var round = 0; round <= Rounds; round++)
        {
            using var relay = Start(directory, out var uri);
            try
            {
                await using var client = await ConnectAsync(uri);
                var stored = await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}");
                Assert.Superset(acknowledged, stored.ToHashSet());
                Assert.Subset(sent, stored.ToHashSet());
                Assert.Equal(stored.Count, stored.Distinct().Count());
                Assert.Equal(stored, await client.QueryAsync("{\"kinds\":[445]}"));
                if (round == Rounds)
                {
                    break;
                }

                var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
                var burst = Enumerable.Range(0, 300)
                    .Select(i => NostrEvent.Create(key, 445, [["h", Group]], $"{round}/{i}", now)).ToList();
                sent.UnionWith(burst.Select(e => e.Id.ToString()));
                var killAfter = random.Next(1, 250);
                var sending = SendAllAsync(client, burst);
                for (var i = 0; i < killAfter; i++)
                {
                    var ok = await client.ReceiveAsync();
                    Assert.True(ok[2].GetBoolean(), ok[3].GetString());
                    acknowledged.Add(ok[1].GetString()!);
                }

                relay.Kill(); // SIGKILL
                await sending;
            }
            finally
            {
                if (!relay.HasExited)
                {
                    relay.Kill();
                }

                await relay.WaitForExitAsync();
            }
        }

        Directory.Delete(directory, recursive: true);
    }

    private static async Task SendAllAsync(TestClient client, List<NostrEvent> events)
    {
        try
        {
            foreach (var evt in events)
            {
                await client.SendAsync($"[\"EVENT\",{Encoding.UTF8.GetString(evt.Json.Span)}]");
            }
        }
        catch (WebSocketException)
        {
            // the relay was killed while we sent: that is the point
        }
    }

    private static Process Start(string directory, out Uri uri)
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        var port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        uri = new Uri($"ws://127.0.0.1:{port}/");
        var start = new ProcessStartInfo("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=",
            "--Log:Level=Fatal", $"--Storage:DataDirectory={directory}"]);
        return Process.Start(start)!;
    }

    private static async Task<TestClient> ConnectAsync(Uri uri)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            var client = new TestClient();
            try
            {
                await client.ConnectAsync(uri);
                return client;
            }
            catch (WebSocketException) when (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(30))
            {
                await client.DisposeAsync(); // not listening yet
            }
        }
    }
}
