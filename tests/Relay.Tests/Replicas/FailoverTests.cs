using System.Diagnostics;
using Marmot.Hosting.Health;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>A real standby, its promotion, one that lags, and a database that was put back to an earlier state, each under running replicas.</summary>
public sealed class FailoverTests
{
    private const long Now = EventStoreContract.Now;
    private const string Poll = "--Cluster:PollInterval=00:00:00.2";
    private static readonly string Group = new('f', 64);

    [Fact]
    public async Task Of_several_hosts_the_one_that_takes_writes_is_used_and_after_a_promotion_the_other()
    {
        await using var primary = await PostgresServer.StartAsync();
        var database = await primary.CreateDatabaseAsync();
        await using var standby = await StandbyAsync(primary, database);
        var hosts = WithHosts(database, standby, primary) + ";Target Session Attributes=read-write";
        await using var relay = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={hosts}", Poll);
        await ReadyAsync(relay);
        await using var client = await ListeningAsync(relay);
        var before = await PublishAsync(client);
        await CaughtUpAsync(standby, database, 1);

        await primary.CrashAsync();
        await standby.PromoteAsync();
        await ReadyAsync(relay);
        var after = await PublishAsync(client);
        await using var reader = await relay.ConnectAsync();
        Assert.Equal(new[] { before, after }.Order(), (await reader.QueryAsync($"{{\"#h\":[\"{Group}\"]}}")).Order());
    }

    [Fact]
    public async Task After_a_failover_to_a_standby_that_lags_what_is_acknowledged_is_delivered_live_and_nothing_missing_is_called_known()
    {
        await using var primary = await PostgresServer.StartAsync();
        var database = await primary.CreateDatabaseAsync();
        await using var standby = await StandbyAsync(primary, database);
        var hosts = WithHosts(database, primary, standby);
        await using var relay = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={hosts}", Poll);
        await ReadyAsync(relay);
        await using var client = await ListeningAsync(relay);
        await PublishAsync(client);
        await CaughtUpAsync(standby, database, 1);
        var store = relay.Services.GetRequiredService<PostgresEventStore>();
        var history = store.History;

        // 1. The standby hears no more, and the primary goes on for a while.
        await ExecuteAsync(Only(database, primary), "ALTER SYSTEM SET max_wal_senders = 0");
        await primary.StopAsync();
        await primary.StartAgainAsync();
        await ReadyAsync(relay);
        using var key = SecretKey.Generate();
        var lost = Event(key, "lost");
        await using var publisher = await relay.ConnectAsync();
        for (var i = 0; i < 60; i++)
        {
            await PublishAsync(client, publisher, i == 59 ? lost : null);
        }

        // 2. It takes over: sixty acknowledged events are gone, which the operator chose by a replication that does not wait.
        await primary.CrashAsync();
        await standby.PromoteAsync();
        await ReadyAsync(relay);
        for (var i = 0; i < 10; i++)
        {
            await PublishAsync(client, publisher, i == 0 ? lost : null); // acknowledged, and delivered to a subscription that is older
        }

        Assert.NotEqual(history, store.History);
        Assert.True(Storage(relay).Ready, Storage(relay).Detail);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_database_put_back_to_an_earlier_state_under_running_replicas_is_noticed_and_live_delivery_goes_on(int replicas)
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await using var first = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={database}", Poll);
        await using var second = replicas == 2 ? await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={database}", Poll) : null;
        await ReadyAsync(first);
        await using var publisher = await first.ConnectAsync();
        await using var client = await ListeningAsync(second ?? first);
        await PublishAsync(client, publisher, null);
        await server.StopAsync();
        await server.CopyDataAsync("earlier");
        await server.StartAgainAsync();
        await ReadyAsync(first);
        await ReadyAsync(second ?? first);
        using var key = SecretKey.Generate();
        var lost = Event(key, "lost");
        for (var i = 0; i < 60; i++)
        {
            await PublishAsync(client, publisher, i == 0 ? lost : null);
        }

        await server.StopAsync();
        await server.PutBackAsync("earlier");
        await server.StartAgainAsync();
        await ReadyAsync(first);
        await ReadyAsync(second ?? first);
        for (var i = 0; i < 60; i++)
        {
            await PublishAsync(client, publisher, i == 0 ? lost : null);
        }
    }

    [Fact]
    public async Task A_server_that_answers_and_takes_no_writes_is_not_ready_though_nobody_writes()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        await using var relay = await RelayHost.StartAsync(Now, null, $"--Storage:Postgres={database}", Poll);
        await ReadyAsync(relay);
        await ExecuteAsync(database, "ALTER SYSTEM SET default_transaction_read_only = on");
        await ExecuteAsync(database, "SELECT pg_reload_conf()");
        await UntilAsync(() => Storage(relay) == new HealthState(false, "PostgreSQL takes no writes: it is read-only"), () => Storage(relay).Detail);
        await ExecuteAsync(database + ";Options=-c default_transaction_read_only=off", "ALTER SYSTEM SET default_transaction_read_only = off");
        await ExecuteAsync(database, "SELECT pg_reload_conf()");
        await ReadyAsync(relay);
    }

    [Fact]
    public async Task A_copy_of_a_database_is_another_deployment_and_the_same_database_stays_the_same()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync();
        Guid id, history;
        await using (var store = await PostgresEventStore.OpenAsync(database + ";Pooling=false", CancellationToken.None))
        {
            (id, history) = await DeploymentAsync(database);
            Assert.Equal(history, store.History);
        }

        await using (var again = await PostgresEventStore.OpenAsync(database + ";Pooling=false", CancellationToken.None))
        {
            Assert.Equal((id, history), await DeploymentAsync(database));
        }

        var dump = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        await server.DumpAsync(database, dump);
        var copy = await server.RestoreAsync(dump);
        File.Delete(dump);
        await using var copied = await PostgresEventStore.OpenAsync(copy, CancellationToken.None);
        var (otherId, otherHistory) = await DeploymentAsync(copy);
        Assert.NotEqual(id, otherId);
        Assert.NotEqual(history, otherHistory);
    }

    private static async Task<(Guid Id, Guid History)> DeploymentAsync(string database)
    {
        await using var source = NpgsqlDataSource.Create(database + ";Pooling=false");
        await using var command = source.CreateCommand("SELECT id, history FROM relay.deployment");
        await using var reader = await command.ExecuteReaderAsync();
        Assert.True(await reader.ReadAsync());
        return (reader.GetGuid(0), reader.GetGuid(1));
    }

    private static NostrEvent Event(SecretKey key, string text) => NostrEvent.Create(key, 445, [["h", Group]], text, Now);

    private static async Task<TestClient> ListeningAsync(RelayHost relay)
    {
        var client = await relay.ConnectAsync();
        await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}", "live", keep: true);
        return client;
    }

    private static async Task<string> PublishAsync(TestClient listener)
    {
        using var key = SecretKey.Generate();
        var evt = Event(key, $"{Guid.NewGuid()}");
        await listener.SendAsync($"[\"EVENT\",{System.Text.Encoding.UTF8.GetString(evt.Json.Span)}]");
        var (ok, live) = (false, false);
        while (!ok || !live)
        {
            var message = await listener.ReceiveAsync();
            if (message[0].GetString() == "OK")
            {
                Assert.True(message[2].GetBoolean(), message[3].GetString());
                Assert.Equal("", message[3].GetString());
                ok = true;
            }
            else
            {
                live = message[2].GetProperty("id").GetString() == evt.Id.ToString();
            }
        }

        return evt.Id.ToString();
    }

    // Acknowledged as new, and delivered to who listens.
    private static async Task PublishAsync(TestClient listener, TestClient publisher, NostrEvent? evt)
    {
        using var key = SecretKey.Generate();
        evt ??= Event(key, $"{Guid.NewGuid()}");
        Assert.Equal((true, ""), await publisher.PublishAsync(evt));
        Assert.Equal(evt.Id.ToString(), (await listener.ReceiveAsync())[2].GetProperty("id").GetString());
    }

    private static async Task<PostgresServer> StandbyAsync(PostgresServer primary, string database)
    {
        await using (await PostgresEventStore.OpenAsync(database + ";Pooling=false", CancellationToken.None))
        {
            // the tables are made before the copy
        }

        return await primary.StartStandbyAsync();
    }

    private static string Only(string database, PostgresServer server) => WithHosts(database, server);

    private static string WithHosts(string database, params PostgresServer[] servers) => new NpgsqlConnectionStringBuilder(database)
    {
        Host = string.Join(',', servers.Select(server => $"127.0.0.1:{server.Port}")),
        Port = servers[0].Port,
        HostRecheckSeconds = 0,
    }.ConnectionString;

    private static async Task CaughtUpAsync(PostgresServer standby, string database, long arrival)
    {
        await using var source = NpgsqlDataSource.Create(Only(database, standby));
        await using var command = source.CreateCommand("SELECT last FROM relay.head");
        var started = Stopwatch.GetTimestamp();
        while ((long)(await command.ExecuteScalarAsync())! < arrival)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(30), "the standby does not follow");
            await Task.Delay(10);
        }
    }

    private static async Task ExecuteAsync(string database, string sql)
    {
        await using var source = NpgsqlDataSource.Create(database + ";Pooling=false");
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private static HealthState Storage(RelayHost relay) => relay.Services.GetServices<IHealthPart>().Single(part => part.Name == "storage").Check();

    private static Task ReadyAsync(RelayHost relay) => UntilAsync(() => Storage(relay).Ready, () => Storage(relay).Detail);

    private static async Task UntilAsync(Func<bool> done, Func<string> say)
    {
        var started = Stopwatch.GetTimestamp();
        var readyFor = 0;
        while (readyFor < 20) // for a fifth of a second on end: a look that came before the change does not count
        {
            readyFor = done() ? readyFor + 1 : 0;
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60), say());
            await Task.Delay(10);
        }
    }
}
