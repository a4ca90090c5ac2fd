using System.Text.Json;
using Marmot.Hosting.Health;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>Two relays on one database look like one; with Redis between them and without.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class ReplicaTests(PostgresFixture postgres) : IAsyncLifetime
{
    private const long Now = 1_700_000_500;
    private static readonly string Group = new('a', 64);
    private RedisServer _redis = null!;
    private string _database = "";

    public async Task InitializeAsync()
    {
        _redis = await RedisServer.StartAsync();
        _database = await postgres.CreateDatabaseAsync();
    }

    public async Task DisposeAsync() => await _redis.DisposeAsync();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_event_on_one_reaches_subscribers_of_both_once_and_in_one_order(bool redis)
    {
        await using var a = await StartAsync(redis);
        await using var b = await StartAsync(redis);
        await using var listenerA = await a.ConnectAsync();
        await using var listenerB = await b.ConnectAsync();
        await listenerA.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);
        await listenerB.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);

        var sent = (await Task.WhenAll(PublishAsync(a, "a", 150), PublishAsync(b, "b", 150))).SelectMany(ids => ids).ToHashSet();
        var heardA = await HearAsync(listenerA, sent.Count);
        var heardB = await HearAsync(listenerB, sent.Count);
        Assert.Equal(sent, heardA.ToHashSet());
        Assert.Equal(heardA, heardB);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_subscription_opened_under_load_misses_nothing_and_doubles_nothing(bool redis)
    {
        await using var a = await StartAsync(redis);
        await using var b = await StartAsync(redis);
        var publishing = Task.WhenAll(PublishAsync(a, "a", 300), PublishAsync(b, "b", 300));
        var heard = new List<List<string>>();
        for (var i = 0; i < 6; i++)
        {
            await using var client = await (i % 2 == 0 ? a : b).ConnectAsync();
            var stored = await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);
            stored.AddRange(await HearAsync(client, 600 - stored.Count));
            heard.Add(stored);
        }

        var sent = (await publishing).SelectMany(ids => ids).ToHashSet();
        Assert.All(heard, ids =>
        {
            Assert.Equal(600, ids.Count);
            Assert.Equal(sent, ids.ToHashSet());
        });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_deletion_on_one_holds_on_both(bool redis)
    {
        await using var a = await StartAsync(redis);
        await using var b = await StartAsync(redis);
        await using var onA = await a.ConnectAsync();
        await using var onB = await b.ConnectAsync();
        await using var listener = await b.ConnectAsync();
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", Now);
        await listener.QueryAsync("{\"kinds\":[5]}", keep: true);
        Assert.True((await onB.PublishAsync(note)).Accepted);
        Assert.Single(await onA.QueryAsync("{\"kinds\":[1]}"));
        var deletion = NostrEvent.Create(key, 5, [["e", note.Id.ToString()]], "", Now);
        Assert.True((await onA.PublishAsync(deletion)).Accepted);
        Assert.Equal([deletion.Id.ToString()], await HearAsync(listener, 1));
        Assert.Empty(await onB.QueryAsync("{\"kinds\":[1]}"));
        var (accepted, text) = await onB.PublishAsync(note);
        Assert.False(accepted);
        Assert.StartsWith("blocked: ", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_ephemeral_event_reaches_subscribers_of_both_and_is_stored_nowhere(bool redis)
    {
        await using var a = await StartAsync(redis);
        await using var b = await StartAsync(redis);
        await ConnectedAsync(a, b);
        await using var onA = await a.ConnectAsync();
        await using var onB = await b.ConnectAsync();
        await onB.QueryAsync("{\"kinds\":[20001]}", keep: true);
        using var key = SecretKey.Generate();
        foreach (var size in new[] { 10, 20_000 })
        {
            var typing = NostrEvent.Create(key, 20001, [], new string('x', size), Now);
            Assert.True((await onA.PublishAsync(typing)).Accepted);
            Assert.Equal([typing.Id.ToString()], await HearAsync(onB, 1));
        }

        Assert.Empty(await onA.QueryAsync("{\"kinds\":[20001]}"));
    }

    [Fact]
    public async Task Without_redis_events_still_arrive_and_readyz_says_how_and_it_heals()
    {
        await using var a = await StartAsync(redis: true);
        await using var b = await StartAsync(redis: true);
        await ConnectedAsync(a, b);
        await using var listener = await b.ConnectAsync();
        await listener.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);
        var sent = new List<string>();
        sent.AddRange(await PublishAsync(a, "with", 50));

        await _redis.KillAsync();
        sent.AddRange(await PublishAsync(a, "without", 100));
        Assert.Equal(sent, await HearAsync(listener, 150));
        var state = Part(b, "cluster");
        Assert.True(state.Ready);
        Assert.Contains("polling", state.Detail, StringComparison.Ordinal);
        Assert.True(Part(b, "storage").Ready);

        await _redis.StartAgainAsync();
        await ConnectedAsync(a, b);
        Assert.Equal("ok", Part(b, "cluster").Detail);
        var again = await PublishAsync(a, "again", 50);
        Assert.Equal(again, await HearAsync(listener, 50));
    }

    [Fact]
    public async Task When_the_database_dies_under_load_nothing_acknowledged_is_lost_and_it_heals()
    {
        await using var server = await PostgresServer.StartAsync(); // its own, since it is killed
        _database = await server.CreateDatabaseAsync();
        await using var a = await StartAsync(redis: true);
        await using var b = await StartAsync(redis: true);
        await using var listener = await b.ConnectAsync();
        await listener.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", keep: true);
        await using var publisher = await a.ConnectAsync();
        var acknowledged = new HashSet<string>();
        using var key = SecretKey.Generate();
        async Task<int> PublishSomeAsync(string name, int count)
        {
            var refused = 0;
            for (var i = 0; i < count; i++)
            {
                var evt = NostrEvent.Create(key, 445, [["h", Group]], $"{name}{i}", Now);
                var (accepted, text) = await publisher.PublishAsync(evt);
                Assert.True(accepted || text.StartsWith("error: ", StringComparison.Ordinal), text);
                refused += accepted ? 0 : 1;
                if (accepted)
                {
                    acknowledged.Add(evt.Id.ToString());
                }
            }

            return refused;
        }

        for (var round = 0; round < 2; round++)
        {
            Assert.Equal(0, await PublishSomeAsync($"up{round}-", 50));
            var crashing = server.CrashAsync();
            await PublishSomeAsync($"falling{round}-", 50);
            await crashing;
            Assert.Equal(3, await PublishSomeAsync($"down{round}-", 3));
            await EventuallyAsync(() => !Part(a, "storage").Ready && !Part(b, "storage").Ready, "readyz says so");
            await server.StartAgainAsync();
            await EventuallyAsync(() => Part(a, "storage").Ready && Part(b, "storage").Ready, "readyz heals");
        }

        Assert.Equal(0, await PublishSomeAsync("end", 20));
        var stored = await publisher.QueryAsync($"{{\"#h\":[\"{Group}\"]}}");
        Assert.Superset(acknowledged, stored.ToHashSet());
        var heard = await HearAsync(listener, stored.Count);
        Assert.Equal(stored.Count, heard.Distinct().Count());
        Assert.Equal(stored.ToHashSet(), heard.ToHashSet());
    }

    private async Task<RelayHost> StartAsync(bool redis) => await RelayHost.StartAsync(
        Now, null, [$"--Storage:Postgres={_database}", "--Cluster:PollInterval=00:00:00.2", .. redis
            ? [$"--Cluster:Redis={_redis.Endpoint}"]
            : Array.Empty<string>()]);

    // One connection, all under way at once; the ids in the order sent.
    private static async Task<List<string>> PublishAsync(RelayHost relay, string name, int count)
    {
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, count).Select(i => NostrEvent.Create(key, 445, [["h", Group]], $"{name}{i}", Now)).ToList();
        foreach (var evt in events)
        {
            await client.SendAsync([.. "[\"EVENT\","u8, .. evt.Json.Span, (byte)']']);
        }

        for (var i = 0; i < count; i++)
        {
            var (accepted, text) = await client.ReceiveOkAsync();
            Assert.True(accepted, text);
        }

        return [.. events.Select(e => e.Id.ToString())];
    }

    private static async Task<List<string>> HearAsync(TestClient client, int count)
    {
        var ids = new List<string>();
        while (ids.Count < count)
        {
            JsonElement message = await client.ReceiveAsync();
            Assert.Equal("EVENT", message[0].GetString());
            ids.Add(message[2].GetProperty("id").GetString()!);
        }

        return ids;
    }

    private static HealthState Part(RelayHost relay, string name) => relay.Services.GetServices<IHealthPart>().Single(part => part.Name == name).Check();

    private static Task ConnectedAsync(params RelayHost[] relays) =>
        EventuallyAsync(() => relays.All(relay => Part(relay, "cluster").Detail == "ok"), "the bus connects");

    private static async Task EventuallyAsync(Func<bool> condition, string what)
    {
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(20), "never came: " + what);
            await Task.Delay(10);
        }
    }
}
