using System.Text.RegularExpressions;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.TestKit;
using Npgsql;

namespace Marmot.Relay.Tests.Storage.Postgres;

[Collection(PostgresFixture.Collection)]
public sealed partial class PostgresEventStoreTests(PostgresFixture postgres) : EventStoreContract
{
    private readonly TemporaryFolder _folder = new();
    private string? _database;

    private protected override async Task<IEventStore> OpenAsync() =>
        await PostgresEventStore.OpenAsync(_database ??= await postgres.CreateDatabaseAsync(), CancellationToken.None);

    // Both ways between embedded and PostgreSQL: this one's export goes into either, and into the embedded store's own suite the other way round.
    private protected override async Task<IReadOnlyList<IEventStore>> OpenOthersAsync() =>
    [
        await PostgresEventStore.OpenAsync(await postgres.CreateDatabaseAsync(), CancellationToken.None),
        EmbeddedEventStore.Open(_folder.File("embedded")),
    ];

    // The way of a program that is older than the rule, and has not met it in the database either.
    private protected override async Task StoreAsEarlierVersionsDidAsync(params NostrEvent[] events)
    {
        await ExecuteAsync("ALTER TABLE relay.events DROP CONSTRAINT events_never_stored");
        await ExecuteAsync("""DELETE FROM relay.migrations WHERE "MigrationId" LIKE '%History'""");
        await ExecuteAsync("DROP TABLE relay.deployment CASCADE");
        await ExecuteAsync("DROP FUNCTION relay.origin, relay.timeline, relay.notice_history, relay.enter");
        await using var source = NpgsqlDataSource.Create(_database + ";Pooling=false");
        foreach (var evt in events)
        {
            await using var command = source.CreateCommand(
                "SELECT relay.put(ARRAY[$1], ARRAY[$2], ARRAY[$3], ARRAY[$4], ARRAY[$5], ARRAY[NULL::bigint], ARRAY[NULL::bytea], ARRAY[$6], "
                    + "ARRAY[]::integer[], ARRAY[]::bytea[])");
            var record = Record(evt);
            command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = record.Id.Span.ToArray() });
            command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = record.PublicKey.Span.ToArray() });
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = record.CreatedAt });
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = PostgresWriteBatch.Rank(record.Id) });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = record.Kind });
            command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = StoredBytes.Pad(record.Json) });
            await command.ExecuteNonQueryAsync();
        }

        async Task ExecuteAsync(string sql)
        {
            await using var source = NpgsqlDataSource.Create(_database + ";Pooling=false");
            await using var command = source.CreateCommand(sql);
            await command.ExecuteNonQueryAsync();
        }
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Takes_what_an_embedded_store_exported()
    {
        using var key = SecretKey.Generate();
        var doomed = NostrEvent.Create(key, 1, [], "doomed", Now);
        NostrEvent[] events =
        [
            doomed, NostrEvent.Create(key, 10002, [], "old", Now), NostrEvent.Create(key, 10002, [], "new", Now + 1),
            NostrEvent.Create(key, 5, [["e", doomed.Id.ToString()]], "", Now + 2), NostrEvent.Create(key, 445, [["h", "g"]], "group", Now),
        ];
        using var lines = new MemoryStream();
        await using (var embedded = EmbeddedEventStore.Open(_folder.File("embedded")))
        {
            await embedded.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
            Assert.Equal(3, await EventExport.RunAsync(embedded, new Filter(), lines, Now));
        }

        Assert.Equal(new EventImport.Result(3, 0, 0), await EventImport.RunAsync(Store, new MemoryStream(lines.ToArray())));
        Assert.Equal([events[3].Id, events[2].Id, events[4].Id], (await QueryAsync(new Filter())).Select(k => k.Id));
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(doomed));
    }

    [Fact]
    public async Task Overwrites_what_is_removed_in_the_files_of_the_table()
    {
        using var key = SecretKey.Generate();
        var random = new Random(5);
        string Marker(int i) => $"MARK-{i:d5}-{new string((char)('a' + (i % 26)), 24)}";
        var events = Enumerable.Range(0, 400).Select(i => NostrEvent.Create(
            key, 1, [["t", $"{i % 4}"]], string.Concat(Enumerable.Repeat(Marker(i), random.Next(3, i % 20 == 1 ? 1200 : 120))), Now + i)).ToList();
        foreach (var batch in events.Chunk(50))
        {
            await Store.WriteAsync([.. batch.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        }

        await CheckpointAsync();
        Assert.Equal(400, await MarkersOnDiskAsync());

        var chosen = await QueryAsync(new Filter { Tags = new Dictionary<char, string[]> { ['t'] = ["1"] } });
        Assert.Equal(100, await Store.RemoveAsync(chosen, erase: true, CancellationToken.None));
        var store = (PostgresEventStore)Store;
        while (await store.EraseAsync(CancellationToken.None))
        {
        }

        Assert.Equal(0, (await Store.ReadStatisticsAsync(CancellationToken.None)).AwaitingErasure);
        await CheckpointAsync();
        Assert.Equal(300, await MarkersOnDiskAsync());
        Assert.Equal(300, (await QueryAsync(new Filter())).Count);
    }

    private async Task CheckpointAsync() => await ScalarAsync("CHECKPOINT");

    private async Task<object?> ScalarAsync(string sql)
    {
        await using var source = NpgsqlDataSource.Create(_database + ";Pooling=false");
        await using var command = source.CreateCommand(sql);
        return await command.ExecuteScalarAsync();
    }

    // How many of the numbered markers stand anywhere in the database's own files; the log is another matter, see docs/operate.md.
    private async Task<int> MarkersOnDiskAsync()
    {
        var folder = Path.Combine((string)(await ScalarAsync("SHOW data_directory"))!, "base",
            $"{await ScalarAsync("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")}");
        var found = new HashSet<string>();
        foreach (var file in Directory.EnumerateFiles(folder))
        {
            var text = System.Text.Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file));
            found.UnionWith(MarkerPattern().Matches(text).Select(match => match.Value));
        }

        return found.Count;
    }

    [GeneratedRegex("MARK-[0-9]{5}-")]
    private static partial Regex MarkerPattern();

    [Fact]
    public async Task A_replica_of_an_earlier_version_cannot_bring_what_no_relay_may_hold()
    {
        using var key = SecretKey.Generate();
        var record = Record(NostrEvent.Create(key, 449, [], "", Now));
        await using var source = NpgsqlDataSource.Create(_database + ";Pooling=false");
        await using var command = source.CreateCommand("INSERT INTO relay.events (arrival, created_at, rank, kind, id, author) VALUES (1, 1, 1, 449, $1, $1)");
        command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = record.Id.Span.ToArray() });
        Assert.Equal(PostgresErrorCodes.CheckViolation, (await Assert.ThrowsAsync<PostgresException>(() => command.ExecuteNonQueryAsync())).SqlState);
    }
}
