using Marmot.Hosting.Health;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>A database that is not there when the relay starts, and one that was restarted between two questions.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class AwayDatabaseTests(PostgresFixture postgres)
{
    private const long Now = EventStoreContract.Now;

    [Fact]
    public async Task A_relay_starts_without_its_database_refuses_with_a_reason_and_heals_when_it_comes()
    {
        await using var server = await PostgresServer.StartAsync(); // its own, since it is stopped
        var database = await server.CreateDatabaseAsync(); // empty: the tables are made when it comes
        await server.StopAsync();
        await using var relay = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={database}", "--Cluster:PollInterval=00:00:00.2");
        Assert.Equal(new HealthState(false, "PostgreSQL cannot be reached"), Storage(relay));
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, 445, [["h", "g"]], "early", Now);
        var (accepted, text) = await client.PublishAsync(evt);
        Assert.False(accepted);
        Assert.StartsWith("error: ", text, StringComparison.Ordinal);
        foreach (var question in new[] { "REQ", "COUNT" })
        {
            await client.SendAsync($"[\"{question}\",\"q\",{{\"kinds\":[445]}}]");
            var answer = await client.ReceiveAsync();
            Assert.Equal("CLOSED", answer[0].GetString());
            Assert.StartsWith("error: ", answer[2].GetString(), StringComparison.Ordinal);
        }

        await server.StartAgainAsync();
        await ReadyAsync(relay);
        await client.QueryAsync("{\"kinds\":[445]}", "live", keep: true);
        await using var publisher = await relay.ConnectAsync();
        Assert.True((await publisher.PublishAsync(evt)).Accepted);
        Assert.Equal(evt.Id.ToString(), (await client.ReceiveAsync())[2].GetProperty("id").GetString());
        Assert.Single(await publisher.QueryAsync("{\"kinds\":[445]}"));
    }

    [Fact]
    public async Task A_database_that_is_yet_to_be_made_is_waited_for_and_readyz_gives_the_servers_own_code()
    {
        var settings = new NpgsqlConnectionStringBuilder(await postgres.CreateDatabaseAsync()) { Database = "made_later" };
        await using var relay = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={settings.ConnectionString}", "--Cluster:PollInterval=00:00:00.2");
        Assert.Equal(new HealthState(false, "PostgreSQL refuses: 3D000"), Storage(relay));
        settings.Database = "postgres";
        await using (var source = NpgsqlDataSource.Create(settings))
        {
            await using var create = source.CreateCommand("CREATE DATABASE made_later");
            await create.ExecuteNonQueryAsync();
        }

        await ReadyAsync(relay);
    }

    [Fact]
    [Trait("Spec", "NIP-86")]
    public async Task A_banned_key_is_refused_from_the_first_event_on_after_the_database_came_late()
    {
        await using var server = await PostgresServer.StartAsync();
        string[] settings = [$"--Storage:Postgres={await server.CreateDatabaseAsync()}", "--Cluster:PollInterval=00:01:00"];
        using var key = SecretKey.Generate();
        await using (var before = await RelayHost.StartAsync(Now, null, settings))
        {
            await before.Services.GetRequiredService<Moderation>()
                .ChangeAsync(state => state with { BannedKeys = new() { [key.PublicKey.ToString()] = "spam" } }, CancellationToken.None);
        }

        await server.StopAsync();
        await using var relay = await RelayHost.StartAsync(Now, null, settings);
        await using var client = await relay.ConnectAsync();
        await server.StartAgainAsync();
        string text;
        do
        {
            (var accepted, text) = await client.PublishAsync(NostrEvent.Create(key, 1, [], "spam", Now));
            Assert.False(accepted);
        }
        while (text.StartsWith("error: ", StringComparison.Ordinal));
        Assert.StartsWith("blocked: ", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_first_who_asks_on_each_connection_after_a_restart_notices_nothing(bool clean)
    {
        const int Connections = 4;
        await using var server = await PostgresServer.StartAsync();
        // A machine busy with other tests may be slow to connect; that is not what is asked here.
        var database = $"{await server.CreateDatabaseAsync()};Timeout=60";
        await using var store = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
        using var key = SecretKey.Generate();
        var first = await WriteAsync(store, NostrEvent.Create(key, 1, [], "before", Now));
        for (var round = 0; round < 2; round++)
        {
            // All at once, so that each takes a connection of its own; the second round finds these broken.
            using var together = new Barrier(Connections);
            await Task.WhenAll(Enumerable.Range(0, Connections).Select(_ => Task.Run(async () =>
                Assert.Equal(1, await store.ReadAsync([first], 0, new MeetingSink(together), CancellationToken.None)))));
            if (round == 0)
            {
                await (clean ? server.StopAsync() : server.CrashAsync());
                await server.StartAgainAsync();
            }
        }

        await (clean ? server.StopAsync() : server.CrashAsync());
        await server.StartAgainAsync();
        await WriteAsync(store, NostrEvent.Create(key, 1, [], "after", Now));
        await (clean ? server.StopAsync() : server.CrashAsync());
        await server.StartAgainAsync();
        var answer = await store.TryAnswerAsync([new Filter { Kinds = [1] }], ReadScope.Everything(Now), 10, CancellationToken.None);
        Assert.Equal(2, answer!.Keys.Count);
        Assert.Equal(2UL, answer.Mark);
    }

    private static async Task<StoredKey> WriteAsync(PostgresEventStore store, NostrEvent evt)
    {
        var write = new EventWrite(EventStoreContract.Record(evt));
        await store.WriteAsync([write], CancellationToken.None);
        Assert.Equal(StoreVerdict.Stored, write.Verdict);
        return new StoredKey(write.Arrival, evt.CreatedAt, evt.Id, evt.Kind);
    }

    private static HealthState Storage(RelayHost relay) => relay.Services.GetServices<IHealthPart>().Single(part => part.Name == "storage").Check();

    private static async Task ReadyAsync(RelayHost relay)
    {
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!Storage(relay).Ready)
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(20), Storage(relay).Detail);
            await Task.Delay(10);
        }
    }

    private sealed class MeetingSink(Barrier together) : IStoredEventSink
    {
        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Assert.True(together.SignalAndWait(TimeSpan.FromSeconds(20)));
            return true;
        }
    }
}
