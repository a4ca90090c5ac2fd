using System.Collections.Concurrent;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>Several deployments on one Redis, and one deployment whose database was put back.</summary>
[Collection(PostgresTests.Name)]
public sealed class ClusterIdentityTests(PostgresFixture postgres, RedisFixture redis) : IClassFixture<RedisFixture>
{
    // What the relay keeps of it; its own tests hold when the values change.
    private const string Table = "CREATE SCHEMA relay; CREATE TABLE relay.deployment (id uuid NOT NULL, history uuid NOT NULL); INSERT INTO relay.deployment "
        + "VALUES (gen_random_uuid(), gen_random_uuid())";

    private RedisEndpoint Endpoint => new("127.0.0.1", redis.Server.Port);

    [Fact]
    public async Task Two_databases_on_one_redis_hear_nothing_of_each_other_and_share_no_claim()
    {
        await using var a = new ClusterIdentity(await DatabaseAsync(), "", NullLogger.Instance);
        await using var b = new ClusterIdentity(await DatabaseAsync(), "", NullLogger.Instance);
        await KnownAsync(a, b);
        Assert.NotEqual(a.Current!.Prefix, b.Current!.Prefix);
        await using var busA = new RedisBus(Endpoint, a, NullLogger.Instance);
        await using var busB = new RedisBus(Endpoint, b, NullLogger.Instance);
        await using var peerOfA = new RedisBus(Endpoint, a, NullLogger.Instance);
        var (earB, earOfPeer) = (new ClusterBusContract.Ear(), new ClusterBusContract.Ear());
        await ListenAsync((busB, earB), (peerOfA, earOfPeer));
        busA.Publish("x", "of a"u8.ToArray());
        await earOfPeer.HearsAsync("of a");
        Assert.Equal(0, earB.Count);

        await using var ledgerA = new RedisLedger(Endpoint, a, NullLogger.Instance);
        await using var ledgerB = new RedisLedger(Endpoint, b, NullLogger.Instance);
        await ClaimLedgerContract.ConnectedAsync(ledgerA);
        await ClaimLedgerContract.ConnectedAsync(ledgerB);
        var hash = ClaimLedgerContract.Any();
        Assert.Equal(ClaimAnswer.Owned, await ledgerA.ClaimAsync(hash, ClaimLedgerContract.Any(), ClaimLedgerContract.Long, CancellationToken.None));
        Assert.Equal(ClaimAnswer.Owned, await ledgerB.ClaimAsync(hash, ClaimLedgerContract.Any(), ClaimLedgerContract.Long, CancellationToken.None));
    }

    [Fact]
    public async Task Two_databases_with_one_prefix_ignore_each_other_and_warn_once()
    {
        var prefix = redis.NextName();
        await using var a = new ClusterIdentity(await DatabaseAsync(), prefix, NullLogger.Instance);
        await using var b = new ClusterIdentity(await DatabaseAsync(), prefix, NullLogger.Instance);
        await KnownAsync(a, b);
        var log = new Lines();
        await using var busA = new RedisBus(Endpoint, a, NullLogger.Instance);
        await using var busB = new RedisBus(Endpoint, b, log);
        await using var peerOfB = new RedisBus(Endpoint, b, NullLogger.Instance);
        var ear = new ClusterBusContract.Ear();
        await ListenAsync((busB, ear));
        await Eventually.TrueAsync(() => busA.IsConnected && peerOfB.IsConnected, "the senders");
        for (var i = 0; i < 20; i++)
        {
            busA.Publish("x", "foreign"u8.ToArray());
        }

        await Eventually.TrueAsync(() => log.Said.Count(line => line.Contains("another deployment", StringComparison.Ordinal)) == 1, "the warning");
        peerOfB.Publish("x", "own"u8.ToArray());
        await ear.HearsAsync("own");
        Assert.Single(log.Said, line => line.Contains("another deployment", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_new_history_is_noticed_and_what_was_said_and_claimed_in_the_old_one_does_not_count()
    {
        var database = await DatabaseAsync();
        await using var before = new ClusterIdentity(database, "", NullLogger.Instance);
        await KnownAsync(before);
        await using var bus = new RedisBus(Endpoint, before, NullLogger.Instance);
        await using var ledger = new RedisLedger(Endpoint, before, NullLogger.Instance);
        var ear = new ClusterBusContract.Ear();
        await ListenAsync((bus, ear));
        await ClaimLedgerContract.ConnectedAsync(ledger);
        var hash = ClaimLedgerContract.Any();
        Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(hash, ClaimLedgerContract.Any(), ClaimLedgerContract.Long, CancellationToken.None));

        await ExecuteAsync(database, "UPDATE relay.deployment SET history = gen_random_uuid()");
        await using var after = new ClusterIdentity(database, "", NullLogger.Instance);
        await KnownAsync(after);
        await using var restarted = new RedisBus(Endpoint, after, NullLogger.Instance);
        await Eventually.TrueAsync(() => restarted.IsConnected, "the restarted replica");
        var gaps = ear.Gaps;
        if (before.Current!.History != after.Current!.History)
        {
            restarted.Publish("x", "of the new history"u8.ToArray());
            await Eventually.TrueAsync(() => ear.Gaps > gaps, "a gap instead of the message");
        }

        // It asked the database itself then, well before the interval is over, and both understand each other again.
        await Eventually.TrueAsync(() => before.Current!.History == after.Current!.History && bus.IsConnected, "the new history");
        Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(hash, ClaimLedgerContract.Any(), ClaimLedgerContract.Long, CancellationToken.None));
        await Eventually.TrueAsync(
            async () =>
            {
                restarted.Publish("x", "understood"u8.ToArray());
                await Task.Delay(20);
                return ear.Heard.Contains("understood");
            },
            "a message");
    }

    [Fact]
    public async Task A_database_without_the_relays_tables_and_none_at_all_have_the_prefix_alone()
    {
        await using var empty = new ClusterIdentity(await postgres.Server.CreateDatabaseAsync(), "", NullLogger.Instance);
        await using var none = new ClusterIdentity("", "", NullLogger.Instance);
        await using var named = new ClusterIdentity("", "mine", NullLogger.Instance);
        await KnownAsync(empty, none, named);
        Assert.Equal(ClusterIdentity.DefaultPrefix, empty.Current!.Prefix);
        Assert.Equal(ClusterIdentity.DefaultPrefix, none.Current!.Prefix);
        Assert.Equal("mine", named.Current!.Prefix);
    }

    [Fact]
    public async Task While_the_database_was_never_asked_nothing_is_sent_and_the_reason_is_told()
    {
        await using var unknown = new ClusterIdentity("Host=127.0.0.1;Port=1;Username=nobody;Database=none", "", NullLogger.Instance);
        await using var bus = new RedisBus(Endpoint, unknown, NullLogger.Instance);
        await using var ledger = new RedisLedger(Endpoint, unknown, NullLogger.Instance);
        await Eventually.TrueAsync(() => bus.Trouble!.Contains("which deployment", StringComparison.Ordinal), "the reason");
        Assert.False(ledger.IsConnected);
        await Assert.ThrowsAsync<RedisUnavailableException>(
            async () => await ledger.ClaimAsync(ClaimLedgerContract.Any(), ClaimLedgerContract.Any(), ClaimLedgerContract.Long, CancellationToken.None));
    }

    private static Task KnownAsync(params ClusterIdentity[] identities) =>
        Eventually.TrueAsync(() => identities.All(identity => identity.Current is not null), "the identities");

    private static async Task ListenAsync(params (RedisBus Bus, ClusterBusContract.Ear Ear)[] members)
    {
        foreach (var (bus, ear) in members)
        {
            bus.Subscribe("x", ear);
        }

        await Eventually.TrueAsync(() => members.All(member => member.Bus.IsConnected && member.Ear.Gaps > 0), "all subscribed");
    }

    private static async Task ExecuteAsync(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
#pragma warning disable CA2100 // the statements are this file's own
        await using var command = new NpgsqlCommand(sql, connection);
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync();
    }

    private async Task<string> DatabaseAsync()
    {
        var database = await postgres.Server.CreateDatabaseAsync();
        await ExecuteAsync(database, Table);
        return database;
    }

    private sealed class Lines : ILogger
    {
        public ConcurrentQueue<string> Said { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Said.Enqueue(formatter(state, exception));
    }
}
