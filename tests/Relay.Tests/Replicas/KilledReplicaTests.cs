using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>The real program as one of two replicas, killed with SIGKILL in the middle of a burst, again and again.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class KilledReplicaTests(PostgresFixture postgres)
{
    private const int Rounds = 3;
    private static readonly string Group = new('e', 64);

    [Fact]
    public async Task Subscribers_of_the_other_get_everything_the_dead_one_acknowledged()
    {
        var database = await postgres.CreateDatabaseAsync();
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        await using var survivor = await RelayHost.StartAsync(now, null, $"--Storage:Postgres={database}", "--Cluster:PollInterval=00:00:00.2");
        await using var listener = await survivor.ConnectAsync();
        await listener.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);
        var random = new Random(4);
        using var key = SecretKey.Generate();
        var acknowledged = new HashSet<string>();
        for (var round = 0; round < Rounds; round++)
        {
            var port = FreePort.Take(1)[0];
            var victim = ChildProcess.Start("dotnet", [
                Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll"), $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=", "--Log:Level=Fatal",
                $"--Storage:Postgres={database}"]);
            var sending = Task.CompletedTask;
            TestClient? client = null;
            try
            {
                client = await ConnectAsync(new Uri($"ws://127.0.0.1:{port}/"));
                var burst = Enumerable.Range(0, 300).Select(i => NostrEvent.Create(key, 445, [["h", Group]], $"{round}/{i}", now)).ToList();
                sending = SendAllAsync(client, burst);
                var killAfter = random.Next(1, 250);
                for (var i = 0; i < killAfter; i++)
                {
                    var ok = await client.ReceiveAsync();
                    Assert.True(ok[2].GetBoolean(), ok[3].GetString());
                    acknowledged.Add(ok[1].GetString()!);
                }
            }
            finally
            {
                await victim.DisposeAsync(); // SIGKILL
            }

            await sending;
            await client.DisposeAsync();
        }

        await using var reader = await survivor.ConnectAsync();
        var stored = await reader.QueryAsync($"{{\"#h\":[\"{Group}\"]}}");
        Assert.Superset(acknowledged, stored.ToHashSet());
        var heard = new List<string>();
        while (heard.Count < stored.Count)
        {
            heard.Add((await listener.ReceiveAsync())[2].GetProperty("id").GetString()!);
        }

        Assert.Equal(stored.ToHashSet(), heard.ToHashSet());
        Assert.Equal(stored.Count, heard.Count);
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
            // the replica was killed while we sent: that is the point
        }
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
            catch (WebSocketException) when (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60))
            {
                await client.DisposeAsync(); // not listening yet
                await Task.Delay(50);
            }
        }
    }
}
