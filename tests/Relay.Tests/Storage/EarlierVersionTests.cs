using System.Formats.Tar;
using System.IO.Compression;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Storage;

/// <summary>Stores as an earlier version left them (Vectors/Earlier): this one opens them, finds all that the earlier one exported, and goes on.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class EarlierVersionTests(PostgresFixture postgres) : IDisposable
{
    private const ulong LastArrival = 21;
    private static readonly string Vectors = Path.Combine(AppContext.BaseDirectory, "Vectors", "Earlier");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Opens_an_embedded_store_of_an_earlier_version_with_its_index_and_without(bool withIndex)
    {
        await UnpackAsync();
        if (!withIndex)
        {
            Directory.Delete(Path.Combine(_folder.File("relay"), "index"), recursive: true);
        }

        for (var starts = 0; starts < 2; starts++)
        {
            await using var store = EmbeddedEventStore.Open(_folder.File("relay"));
            await HasAllAsync(store, LastArrival + (ulong)starts);
        }

        Assert.Equal("2", await File.ReadAllTextAsync(Path.Combine(_folder.File("relay"), "format")));
    }

    [Fact]
    public async Task Brings_a_database_of_an_earlier_version_up_to_date_and_finds_everything()
    {
        var database = await postgres.Server.RestoreAsync(Path.Combine(Vectors, "postgresql.dump"));
        for (var starts = 0; starts < 2; starts++)
        {
            await using var store = await PostgresEventStore.OpenAsync(database, CancellationToken.None);
            await HasAllAsync(store, LastArrival + (ulong)starts);
        }
    }

    [Fact]
    public async Task Refuses_an_embedded_store_of_a_newer_format_and_leaves_it_as_it_is()
    {
        await UnpackAsync();
        await File.WriteAllTextAsync(Path.Combine(_folder.File("relay"), "format"), "3");
        var log = Path.Combine(_folder.File("relay"), "log", "events-000000.log");
        var before = await File.ReadAllBytesAsync(log);
        Assert.Contains("newer version", Assert.Throws<IOException>(() => EmbeddedEventStore.Open(_folder.File("relay"))).Message, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(log));
    }

    private async Task UnpackAsync()
    {
        await using var packed = new GZipStream(File.OpenRead(Path.Combine(Vectors, "embedded.tar.gz")), CompressionMode.Decompress);
        await TarFile.ExtractToDirectoryAsync(packed, _folder.Path, overwriteFiles: false);
    }

    // What the earlier version exported, line for line; what was deleted there stays so; arrivals are counted on.
    private static async Task HasAllAsync(IEventStore store, ulong last)
    {
        Assert.Equal(last, store.HighWaterMark);
        using var lines = new MemoryStream();
        await EventExport.RunAsync(store, new Filter { Until = EventStoreContract.Now + 50 }, lines, EventStoreContract.Now);
        Assert.Equal(
            (await File.ReadAllLinesAsync(Path.Combine(Vectors, "export.jsonl"))).Order(StringComparer.Ordinal),
            System.Text.Encoding.UTF8.GetString(lines.ToArray()).TrimEnd('\n').Split('\n').Order(StringComparer.Ordinal));
        var line = (await File.ReadAllTextAsync(Path.Combine(Vectors, "deleted.jsonl"))).TrimEnd();
        Assert.True(NostrEventReader.TryRead(System.Text.Encoding.UTF8.GetBytes(line), out var view, out _));
        var deleted = new EventWrite(EventRecord.Create(view, vanishesHere: false));
        using var key = SecretKey.Generate();
        var next = new EventWrite(EventStoreContract.Record(NostrEvent.Create(key, 1, [], "next", EventStoreContract.Now + 100)));
        await store.WriteAsync([deleted, next], CancellationToken.None);
        Assert.Equal(StoreVerdict.Deleted, deleted.Verdict);
        Assert.Equal(last + 1, next.Arrival);
    }
}
