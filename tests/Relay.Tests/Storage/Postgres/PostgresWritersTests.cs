using System.Diagnostics.CodeAnalysis;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Storage.Postgres.Schema;
using Npgsql;

namespace Marmot.Relay.Tests.Storage.Postgres;

/// <summary>Several processes on one database, as replicas and the operator's commands are.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class PostgresWritersTests(PostgresFixture postgres)
{
    private const long Now = EventStoreContract.Now;

    [Fact]
    public async Task Arrival_numbers_of_several_writers_have_no_holes_and_appear_in_order()
    {
        const int Writers = 4, Batches = 25, BatchSize = 8;
        var database = await postgres.CreateDatabaseAsync();
        await using var reader = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
        var writing = Task.WhenAll(Enumerable.Range(0, Writers).Select(w => Task.Run(() => WriteAsync(database, w, Batches, BatchSize))));

        // Follows by number while they write: whoever has seen n has seen everything up to n, so nothing may turn up behind the position.
        var seen = new List<ulong>();
        var position = 0UL;
        while (position < Writers * Batches * BatchSize)
        {
            var head = await reader.ReadHeadAsync(CancellationToken.None);
            while (position < head)
            {
                position = await reader.ReadArrivalsAsync(position, head, 7, (arrival, _) => seen.Add(arrival), CancellationToken.None);
            }
        }

        await writing;
        Assert.Equal(Enumerable.Range(1, Writers * Batches * BatchSize).Select(n => (ulong)n), seen);
    }

    [Fact]
    public async Task Writers_that_delete_and_replace_each_others_events_never_block_each_other()
    {
        var database = await postgres.CreateDatabaseAsync();
        using var key = SecretKey.Generate();
        var notes = Enumerable.Range(0, 60).Select(i => NostrEvent.Create(key, 1, [["t", "x"]], $"{i}", Now)).ToList();
        await Task.WhenAll(Enumerable.Range(0, 3).Select(w => Task.Run(async () =>
        {
            await using var store = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
            var random = new Random(w);
            for (var round = 0; round < 20; round++)
            {
                var batch = new List<NostrEvent>();
                for (var i = 0; i < 10; i++)
                {
                    var note = notes[random.Next(notes.Count)];
                    batch.Add(random.Next(4) switch
                    {
                        0 => NostrEvent.Create(key, 5, [["e", note.Id.ToString()]], $"{w}/{round}/{i}", Now),
                        1 => NostrEvent.Create(key, 10000 + random.Next(3), [], $"{w}/{round}/{i}", Now + random.Next(100)),
                        2 => NostrEvent.Create(key, 1, [["expiration", $"{Now + random.Next(10)}"]], $"{w}/{round}/{i}", Now),
                        _ => note,
                    });
                }

                await store.WriteAsync([.. batch.Select(e => new EventWrite(EventStoreContract.Record(e)))], CancellationToken.None);
                await store.MaintainAsync(Now + 5, CancellationToken.None);
                var some = await store.QueryAsync(new Filter { Kinds = [5], Limit = 2 }, ReadScope.Everything(Now), store.HighWaterMark, 2,
                    CancellationToken.None);
                await store.RemoveAsync(some, erase: true, CancellationToken.None);
                await store.EraseAsync(CancellationToken.None);
            }
        })));

        await using var after = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
        var slots = await after.QueryAsync(new Filter { Kinds = [10000, 10001, 10002] }, ReadScope.Everything(Now), after.HighWaterMark, 100,
            CancellationToken.None);
        Assert.Equal(3, slots.Count);
        var statistics = await after.ReadStatisticsAsync(CancellationToken.None);
        var all = await after.QueryAsync(new Filter(), ReadScope.Everything(long.MinValue), after.HighWaterMark, int.MaxValue, CancellationToken.None);
        Assert.Equal(statistics.Events, all.Count);
    }

    [Fact]
    public async Task Replicas_that_start_together_on_an_empty_database_make_the_tables_once()
    {
        var database = await postgres.Server.CreateDatabaseAsync();
        var ran = await Task.WhenAll(Enumerable.Range(0, 4)
            .Select(_ => Task.Run(() => RelayMigrator.RunAsync(database + ";Pooling=false", CancellationToken.None))));
        Assert.Single(ran, migrations => migrations > 0); // one made them all
        Assert.Equal(0, await RelayMigrator.RunAsync(database + ";Pooling=false", CancellationToken.None));
    }

    [Fact]
    [SuppressMessage("Security", "CA2100", Justification = "the text is the store's own")]
    public async Task Every_filter_shape_walks_the_narrowest_index_whatever_the_values()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var store = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
        using var key = SecretKey.Generate();
        var authors = Enumerable.Range(0, 20).Select(_ => SecretKey.Generate()).ToArray();
        await store.WriteAsync(
            [
                .. Enumerable.Range(0, 300)
                    .Select(i =>
                        new EventWrite(
                            EventStoreContract.Record(
                                NostrEvent.Create(authors[i % 20], 445, [["h", $"{i % 5}"], ["p", key.PublicKey.ToString()]], $"{i}", Now + i))))
            ],
            CancellationToken.None);
        var h = new Dictionary<char, string[]> { ['h'] = ["1", "2"] };
        (Filter Filter, string Index)[] shapes =
        [
            (new(), "events_time"), (new() { Since = Now, Until = Now + 9 }, "events_time"), (new() { Ids = [key.PublicKey] }, "events_id"),
            (new() { Kinds = [1, 2] }, "events_kind"), (new() { Kinds = [1], Since = Now }, "events_kind"),
            (new() { Authors = [key.PublicKey] }, "events_author"),
            (new() { Authors = [key.PublicKey], Kinds = [1, 2] }, "events_author"), (new() { Tags = h }, "event_tags_key"),
            (new() { Tags = h, Kinds = [1], Since = Now }, "event_tags_key"),
            (new() { Tags = new Dictionary<char, string[]> { ['h'] = ["1", "2"], ['p'] = [key.PublicKey.ToString()] } }, "event_tags_key"),
        ];
        await using var source = PostgresSource.Create(database);
        foreach (var analysed in new[] { false, true })
        {
            await using var connection = await source.OpenConnectionAsync();
            if (analysed)
            {
                // All of one kind, as most are on a relay of groups: with "=" every way through them would look equally good to the planner.
                await ReadAsync(connection, "ANALYZE relay.events, relay.event_tags");
            }

            for (var i = 0; i < shapes.Length; i++)
            {
                // As the store's statements are planned: once, for all values.
                await using var command = new NpgsqlCommand();
                Assert.True(PostgresQuery.TryWrite(command, shapes[i].Filter, new ReadScope([], false, Now), 1000, 10));
                var types = command.Parameters.Select(p => p.Value switch { long => "bigint", int => "int", int[] => "int[]", _ => "bytea[]" });
                await ReadAsync(connection, $"PREPARE shape{i}{analysed} ({string.Join(", ", types)}) AS {command.CommandText}");
                var plan = await ReadAsync(connection, $"EXPLAIN EXECUTE shape{i}{analysed} ({string.Join(", ", command.Parameters.Select(_ => "NULL"))})");
                Assert.DoesNotContain("Seq Scan", plan, StringComparison.Ordinal);
                Assert.Contains($" using {shapes[i].Index} ", plan, StringComparison.Ordinal);
                Assert.True(shapes[i].Index == "events_time" || !plan.Contains("events_time", StringComparison.Ordinal), plan);
            }
        }
    }

    [SuppressMessage("Security", "CA2100", Justification = "the text is the store's own")]
    private static async Task<string> ReadAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new StringBuilder();
        while (await reader.ReadAsync())
        {
            lines.AppendLine(reader.GetString(0));
        }

        return lines.ToString();
    }

    private static async Task WriteAsync(string database, int writer, int batches, int size)
    {
        await using var store = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
        using var key = SecretKey.Generate();
        for (var b = 0; b < batches; b++)
        {
            var batch = Enumerable.Range(0, size)
                .Select(i => new EventWrite(EventStoreContract.Record(NostrEvent.Create(key, 1, [], $"{writer}/{b}/{i}", Now)))).ToList();
            await store.WriteAsync(batch, CancellationToken.None);
            Assert.All(batch, write => Assert.Equal(StoreVerdict.Stored, write.Verdict));
            Assert.Equal(batch.Select((_, i) => batch[0].Arrival + (ulong)i), batch.Select(write => write.Arrival));
        }
    }
}
