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
        Assert.Equal(100, await Store.RemoveAsync(chosen, CancellationToken.None));
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
        var folder = Path.Combine((string)(await ScalarAsync("SHOW data_directory"))!, "base", $"{await ScalarAsync("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")}");
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
}
