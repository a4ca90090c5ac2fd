using System.Diagnostics;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests;

/// <summary>The real program, killed with SIGKILL in the middle of a burst, a hundred times on one data directory; the events of every other burst go one by
/// one.</summary>
public sealed class KillTests
{
    private const int Rounds = 100;
    private const int Burst = 80;

    [Fact]
    public async Task Loses_nothing_acknowledged_and_keeps_nothing_half()
    {
        using var folder = new TemporaryFolder();
        var random = new Random(3);
        using var key = SecretKey.Generate();
        var sent = new HashSet<string>();
        var acknowledged = new HashSet<string>();
        var acknowledgedBefore = new HashSet<string>();
        for (var round = 0; round < Rounds; round++)
        {
            using var relay = Start(folder.Path, out var uri);
            try
            {
                await using var client = await ConnectAsync(uri, relay);

                // What the round before was told is served, and nothing else than what it sent.
                var stored = await client.QueryAsync($"{{\"#h\":[\"{Group(round - 1)}\"]}}");
                Assert.Superset(acknowledgedBefore, stored.ToHashSet());
                Assert.Subset(sent, stored.ToHashSet());
                Assert.Equal(stored.Count, stored.Distinct().Count());

                var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
                var burst = Enumerable.Range(0, Burst).Select(i => NostrEvent.Create(key, 445, [["h", Group(round)]], $"{round}/{i}", now)).ToList();
                sent.UnionWith(burst.Select(e => e.Id.ToString()));
                acknowledgedBefore = [];
                var killAfter = random.Next(1, Burst);
                var alone = round % 2 == 1;
                var sending = alone ? Task.CompletedTask : SendAllAsync(client, burst);
                for (var i = 0; i < killAfter; i++)
                {
                    if (alone)
                    {
                        await SendAllAsync(client, [burst[i]]);
                    }

                    var ok = await client.ReceiveAsync();
                    Assert.True(ok[2].GetBoolean(), ok[3].GetString());
                    acknowledgedBefore.Add(ok[1].GetString()!);
                }

                if (alone)
                {
                    await SendAllAsync(client, [burst[killAfter]]);
                }

                relay.Kill(); // SIGKILL
                await sending;
                acknowledged.UnionWith(acknowledgedBefore);
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

        // The store as the last kill left it, and the same store with its index made anew from the log.
        var left = await ReadAllAsync(Path.Combine(folder.Path, RelayHosting.Folder), rebuild: false);
        Assert.Superset(acknowledged, left.ToHashSet());
        Assert.Subset(sent, left.ToHashSet());
        Assert.Equal(left, await ReadAllAsync(Path.Combine(folder.Path, RelayHosting.Folder), rebuild: true));
    }

    private static string Group(int round) => round.ToString("x64", System.Globalization.CultureInfo.InvariantCulture);

    // Ids in answer order; every event whole and verified again.
    private static async Task<List<string>> ReadAllAsync(string directory, bool rebuild)
    {
        await using var store = EmbeddedEventStore.Open(directory, rebuild);
        var keys = await store.QueryAsync(new Filter(), ReadScope.Everything(0), ulong.MaxValue, int.MaxValue, CancellationToken.None);
        Assert.Equal(keys.Count, (await store.ReadStatisticsAsync(CancellationToken.None)).Events);
        var sink = new VerifyingSink();
        Assert.Equal(keys.Count, await store.ReadAsync(keys, 0, sink, CancellationToken.None));
        Assert.Equal(keys.Select(k => k.Id.ToString()), sink.Ids);
        return sink.Ids;
    }

    private sealed class VerifyingSink : IStoredEventSink
    {
        public List<string> Ids { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Assert.True(NostrEventReader.TryRead(json, out var view, out _));
            Assert.True(EventVerifier.TryVerify(view, out _));
            Ids.Add(view.Id.ToString());
            return true;
        }
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
        var port = FreePort.Take(1)[0];
        uri = new Uri($"ws://127.0.0.1:{port}/");
        return Process.Start(new ProcessStartInfo("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=",
            "--Log:Level=Fatal", $"--Storage:DataDirectory={directory}"]))!;
    }

    private static async Task<TestClient> ConnectAsync(Uri uri, Process relay)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(uri.Host, uri.Port);
                break;
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(30) && !relay.HasExited)
            {
                await Task.Delay(5); // not listening yet
            }
        }

        var client = new TestClient();
        await client.ConnectAsync(uri);
        return client;
    }
}
