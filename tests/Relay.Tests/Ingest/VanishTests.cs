using System.Collections.Concurrent;
using Marmot.Hosting.Deletion;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Relay.Tests.Ingest;

/// <summary>A request to vanish (NIP-62) of a key that thousands of events are of or for.</summary>
public sealed class VanishTests
{
    private const long Now = 1_700_000_500;
    private const int Wraps = 5200; // more than are looked for at once

    [Theory]
    [InlineData(0)] // all of one second
    [InlineData(1)]
    [Trait("Spec", "NIP-62")]
    public async Task A_vanish_request_removes_all_that_thousands_wrote_to_its_key_and_nothing_else(int step)
    {
        using var gone = SecretKey.Generate();
        using var sender = SecretKey.Generate();
        var name = gone.PublicKey.ToString();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:GiftWraps=Open");
        await using var client = await relay.ConnectAsync();
        var earlier = NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now - 20_000);
        var mention = NostrEvent.Create(sender, 1, [["p", name]], "a mention stays", Now);
        var later = NostrEvent.Create(sender, 1059, [["p", name]], "later", Now + 10);
        Assert.True((await client.PublishAsync(earlier)).Accepted);
        await client.PublishAllAsync(
        [
            mention, later,
            .. Enumerable.Range(0, 50).Select(i => NostrEvent.Create(gone, 1, [], $"{i}", Now - i)),
            .. Enumerable.Range(0, Wraps).Select(i => NostrEvent.Create(sender, 1059, [["p", name]], $"{i}", Now - (i * step))),
        ]);

        var vanish = NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now);
        Assert.True((await client.PublishAsync(vanish)).Accepted);

        Assert.Equal(
            new[] { earlier, mention, later, vanish }.Select(evt => evt.Id.ToString()).Order(),
            (await client.QueryAsync($"{{\"authors\":[\"{name}\",\"{sender.PublicKey}\"]}}")).Order());
    }

    [Fact]
    [Trait("Spec", "NIP-62")]
    public async Task A_vanish_request_that_a_policy_program_let_pass_is_charged_too()
    {
        using var folder = new TemporaryFolder();
        var program = folder.File("accept");
        await File.WriteAllTextAsync(program, """
            #!/bin/sh
            while read -r line; do
              id=$(printf '%s' "$line" | sed 's/.*"event":{"id":"\([0-9a-f]*\)".*/\1/')
              echo "{\"id\":\"$id\",\"action\":\"accept\",\"msg\":\"\"}"
            done

            """.ReplaceLineEndings("\n"));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        using var gone = SecretKey.Generate();
        using var sender = SecretKey.Generate();
        await using (var relay = await RelayHost.StartAsync(Now, folder.File("data")))
        {
            await using var client = await relay.ConnectAsync();
            await client.PublishAllAsync(
                Enumerable.Range(0, 900).Select(i => NostrEvent.Create(sender, 1059, [["p", gone.PublicKey.ToString()]], $"{i}", Now)));
        }

        await using var limited = await RelayHost.StartAsync(
            Now, folder.File("data"), "--Relay:WorkPerAddress=400", "--Relay:LimitLoopback=true", $"--Relay:WritePolicyProgram={program}");
        await using var asker = await limited.ConnectAsync();
        Assert.True((await asker.PublishAsync(NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now))).Accepted); // 36,000 units of 2,000
        Assert.StartsWith("rate-limited: ", (await asker.PublishAsync(NostrEvent.Create(sender, 1, [], "", Now))).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Thousands_are_removed_few_at_a_time_so_that_the_writer_looks_for_events_in_between()
    {
        using var folder = new TemporaryFolder();
        using var sender = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(Now);
        await using var store = EmbeddedEventStore.Open(folder.Path);
        var events = Enumerable.Range(0, 2000).Select(i => NostrEvent.Create(sender, 1, [], $"{i}", Now - i));
        await store.WriteAsync([.. events.Select(evt => new EventWrite(EventStoreContract.Record(evt)))], CancellationToken.None);
        var keys = await store.QueryAsync(new Filter { Kinds = [1] }, ReadScope.Everything(Now), store.HighWaterMark, 10_000, CancellationToken.None);
        var removals = new ConcurrentQueue<int>();
        using var writer = new EventWriterLoop(
            new RecordingStore(store, removals), new NoFeed(), Clock.Running(), relay.Services.GetRequiredService<DeletionDate>(),
            relay.Services.GetRequiredService<RelayMetrics>(), NullLogger<EventWriterLoop>.Instance);
        await writer.StartAsync(CancellationToken.None);
        Assert.Equal(2000, await writer.RemoveAsync(keys, CancellationToken.None));
        await writer.StopAsync(CancellationToken.None);
        Assert.Equal(20, removals.Count);
        Assert.All(removals, count => Assert.Equal(100, count));
    }

    private sealed class NoFeed : Marmot.Relay.Live.ILiveFeed
    {
        public bool HasAllListeners => true;

        public ValueTask PublishAsync(Marmot.Relay.Live.LiveEvent live, CancellationToken cancel) => default;
    }

    private sealed class RecordingStore(IEventStore store, ConcurrentQueue<int> removals) : IEventStore
    {
        public ulong HighWaterMark => store.HighWaterMark;

        public bool IsLocal => store.IsLocal;

        public int DamagedRecords => store.DamagedRecords;

        public ValueTask<ulong> ReadMarkAsync(CancellationToken cancel) => store.ReadMarkAsync(cancel);

        public bool IsKnown(in Bytes32 id) => store.IsKnown(id);

        public ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel) => store.WriteAsync(batch, cancel);

        public void Prepare() => store.Prepare();

        public ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel) =>
            store.QueryAsync(filter, scope, upTo, limit, cancel);

        public ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel) =>
            store.TryAnswerAsync(filters, scope, maxLimit, cancel);

        public ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel) =>
            store.CountAsync(filter, scope, upTo, cancel);

        public ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel) =>
            store.ReadAsync(keys, start, sink, cancel);

        public ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel)
        {
            Assert.False(erase); // the overwriting is for the rounds between
            removals.Enqueue(keys.Count);
            return store.RemoveAsync(keys, erase, cancel);
        }

        public ValueTask<bool> MaintainAsync(long now, CancellationToken cancel) => store.MaintainAsync(now, cancel);

        public ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel) => store.ReadStatisticsAsync(cancel);

        public ValueTask DisposeAsync() => default;
    }
}
