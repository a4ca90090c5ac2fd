using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;
using Marmot.TestKit;
using Marmot.TestKit.Disks;
using Xunit.Abstractions;

namespace Marmot.Relay.Tests.Storage;

/// <summary>Bytes of a stored log that changed: what is lost is the record they are of, and it is said.</summary>
public sealed class DamageTests(ITestOutputHelper output) : IDisposable
{
    private const long Now = EventStoreContract.Now;
    private const int SegmentSize = 8 * 1024;
    private static readonly StoreSeams Seams = new() { SegmentSize = SegmentSize };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Segment => Path.Combine(_folder.Path, "log", LogSegment.FileName(0));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_flip_of_any_bit_of_the_log_costs_its_own_record_at_most_and_is_said(int version)
    {
        var seed = Seeds.Next();
        output.WriteLine($"seed {seed}");
        Directory.CreateDirectory(Path.Combine(_folder.Path, "log"));
        var places = new List<(long From, long To, ulong Arrival)>();
        var end = 0L;
        if (version == 2)
        {
            using var log = new EventLog(Path.Combine(_folder.Path, "log"), segmentSize: SegmentSize);
            log.StartAt(0);
            for (ulong arrival = 1; arrival <= 8; arrival++)
            {
                var from = log.Append(arrival, 0, Json(arrival));
                places.Add((from, log.End, arrival));
                if (arrival % 2 == 0)
                {
                    log.Flush(); // batches of two
                }
            }

            log.Erase([(places[3].From, Json(4).Length)]);
            end = log.End;
        }
        else
        {
            end = WriteVersion1(places);
        }

        await BitFlips.SweepAsync(Segment, 0, end, 1, seed, offset =>
        {
            var damaged = new List<LogDamage>();
            var found = new HashSet<ulong>();
            using (var log = new EventLog(Path.Combine(_folder.Path, "log"), segmentSize: SegmentSize))
            {
                LogRecovery.Run(
                    log,
                    from: 0,
                    after: 0,
                    cleanEnd: end,
                    (in LogEntry entry, ReadOnlySpan<byte> json) =>
                    {
                        Assert.True(json.IsEmpty || json.SequenceEqual(Json(entry.Arrival)));
                        if (!json.IsEmpty)
                        {
                            found.Add(entry.Arrival);
                        }
                    },
                    (damage, bytes) =>
                    {
                        Assert.Equal(damage.Length, bytes.Length);
                        damaged.Add(damage);
                    });
            }

            var hit = places.Single(place => offset >= place.From && offset < place.To).Arrival;
            var lost = places.Select(place => place.Arrival).Except(found).Except([4UL]).ToArray();
            Assert.True(lost.Length == 0 || lost is [var one] && one == hit, $"seed {seed}, byte {offset}: lost {string.Join(' ', lost)}");
            Assert.True(lost.Length == 0 || damaged is [{ IsTorn: false }], $"seed {seed}, byte {offset}: nothing said");

            // Nothing behind it was overwritten.
            using (var log = new EventLog(Path.Combine(_folder.Path, "log"), segmentSize: SegmentSize))
            {
                Assert.Equal(found.Count, LogRecovery.Walk(log, 0, 0, end, static (in LogEntry _, ReadOnlySpan<byte> _) => { }).Records);
            }

            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task One_flipped_bit_then_a_new_index_costs_one_event_of_many_and_everybody_is_told()
    {
        var events = await FillAsync(60);
        var victim = await DamageAsync(events[20]);
        File.Delete(Path.Combine(_folder.Path, "index.mark"));
        for (var starts = 0; starts < 2; starts++)
        {
            await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
            Assert.Equal(events.Where(evt => evt != victim).Select(evt => evt.Id.ToString()).Order(), (await ReadAsync(store)).Order());
            Assert.Equal(1, store.DamagedRecords);
            Assert.Equal(1, (await store.ReadStatisticsAsync(CancellationToken.None)).Damaged);
            Assert.Single(Directory.GetFiles(Path.Combine(_folder.Path, "damaged"), "*.damaged"));
        }

        // The operator has looked, and the damage is counted no longer; the event can be stored anew.
        Directory.Delete(Path.Combine(_folder.Path, "damaged"), recursive: true);
        await using var last = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        Assert.Equal(0, last.DamagedRecords);
        var write = new EventWrite(EventStoreContract.Record(victim));
        await last.WriteAsync([write], CancellationToken.None);
        Assert.Equal(StoreVerdict.Stored, write.Verdict);
    }

    [Fact]
    public async Task A_damaged_record_is_not_served_and_is_counted_by_the_read_that_found_it()
    {
        var events = await FillAsync(20);
        var victim = await DamageAsync(events[5]);
        await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        Assert.Equal(0, store.DamagedRecords); // the index is believed, and nobody has looked
        Assert.Equal(events.Where(evt => evt != victim).Select(evt => evt.Id.ToString()).Order(), (await ReadAsync(store)).Order());
        await ReadAsync(store);
        Assert.Equal(1, store.DamagedRecords);

        // Removing it removes what was kept of it.
        var keys = await store.QueryAsync(new Filter { Ids = [victim.Id] }, ReadScope.Everything(Now), ulong.MaxValue, 1, CancellationToken.None);
        Assert.Equal(1, await store.RemoveAsync(keys, erase: true, CancellationToken.None));
        Assert.Equal(0, store.DamagedRecords);
        Assert.Empty(Directory.GetFiles(Path.Combine(_folder.Path, "damaged")));
    }

    [Fact]
    public async Task Compaction_of_a_damaged_log_changes_nothing_until_the_operator_says_so()
    {
        var events = await FillAsync(40);
        var victim = await DamageAsync(events[10]);
        var before = await File.ReadAllBytesAsync(Segment);
        var refused = await Assert.ThrowsAsync<IOException>(() => StoreCompaction.RunAsync(_folder.Path, DateTimeOffset.UtcNow, Seams));
        Assert.Contains("39 of the 40", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(Segment));
        Assert.False(Directory.Exists(Path.Combine(_folder.Path, "log.new")));
        Assert.Single(Directory.GetFiles(Path.Combine(_folder.Path, "damaged"), "*.damaged"));

        await StoreCompaction.RunAsync(_folder.Path, DateTimeOffset.UtcNow, Seams, dropDamaged: true);
        await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        Assert.Equal(events.Where(evt => evt != victim).Select(evt => evt.Id.ToString()).Order(), (await ReadAsync(store)).Order());
    }

    [Fact]
    public async Task A_file_of_the_log_that_is_missing_or_empty_costs_its_own_events_and_is_said()
    {
        var events = await FillAsync(60);
        var second = Path.Combine(_folder.Path, "log", LogSegment.FileName(1));
        Assert.True(File.Exists(Path.Combine(_folder.Path, "log", LogSegment.FileName(2))));
        File.Delete(second);
        File.Delete(Path.Combine(_folder.Path, "index.mark"));
        await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        var left = await ReadAsync(store);
        Assert.Contains(events[0].Id.ToString(), left);
        Assert.Contains(events[^1].Id.ToString(), left);
        Assert.InRange(left.Count, events.Count / 2, events.Count - 1);
        Assert.Equal(1, store.DamagedRecords);
    }

    [Theory]
    [InlineData("the mark is gone")]
    [InlineData("the mark is of another run")]
    [InlineData("the mark is of an earlier version")]
    [InlineData("the index is cut short")]
    [InlineData("the index is no LMDB")]
    [InlineData("the index is that of an hour ago")]
    [InlineData("the log is that of an hour ago")]
    public async Task An_index_in_doubt_is_built_anew(string doubt)
    {
        var events = await FillAsync(10);
        string mark = Path.Combine(_folder.Path, "index.mark"), data = Path.Combine(_folder.Path, "index", "data.mdb");
        var earlierIndex = await File.ReadAllBytesAsync(data);
        var earlierLog = await File.ReadAllBytesAsync(Segment);
        events.AddRange(await FillAsync(6, from: 10));
        var expected = events.ToList();
        switch (doubt)
        {
            case "the mark is gone":
                File.Delete(mark);
                break;
            case "the mark is of another run":
                await File.WriteAllTextAsync(mark, "3 0123456789abcdef clean 5000");
                break;
            case "the mark is of an earlier version":
                await File.WriteAllTextAsync(mark, "2 clean");
                break;
            case "the index is cut short":
                await File.WriteAllBytesAsync(data, (await File.ReadAllBytesAsync(data))[..8192]);
                File.Delete(mark); // LMDB itself does not notice; such a file comes without a proper end
                break;
            case "the index is no LMDB":
                await File.WriteAllBytesAsync(data, new byte[65536]);
                break;
            case "the index is that of an hour ago":
                await File.WriteAllBytesAsync(data, earlierIndex);
                break;
            case "the log is that of an hour ago":
                await File.WriteAllBytesAsync(Segment, earlierLog);
                expected = events[..10];
                break;
        }

        for (var starts = 0; starts < 2; starts++)
        {
            await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
            Assert.Equal(expected.Select(evt => evt.Id.ToString()).Order(), (await ReadAsync(store)).Order());
            Assert.All(events.Except(expected), evt => Assert.False(store.IsKnown(evt.Id)));
        }
    }

    [Fact]
    public async Task A_copy_of_the_files_of_a_running_store_is_not_believed_to_hold_the_index_that_was_never_flushed()
    {
        var copy = _folder.File("copy");
        var events = new List<NostrEvent>();
        await using (var store = EmbeddedEventStore.Open(_folder.File("running"), seams: Seams))
        {
            using var key = SecretKey.Generate();
            for (var i = 0; i < 20; i++)
            {
                events.Add(NostrEvent.Create(key, 1, [], $"{i}", Now + i));
                await store.WriteAsync([new EventWrite(EventStoreContract.Record(events[^1]))], CancellationToken.None);
                await ReadAsync(store); // so that it is in the index
            }

            foreach (var file in Directory.GetFiles(_folder.File("running"), "*", SearchOption.AllDirectories)
                .Where(f => Path.GetFileName(f) is not ("lock" or "lock.mdb")))
            {
                var target = Path.Combine(copy, Path.GetRelativePath(_folder.File("running"), file));
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                await using var from = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
                await using var to = File.Create(target);
                await from.CopyToAsync(to);
            }
        }

        // A snapshot has the log as it was flushed, and of the index what happened to be written: here nothing.
        var data = Path.Combine(copy, "index", "data.mdb");
        await File.WriteAllBytesAsync(data, new byte[new FileInfo(data).Length]);
        await using var restored = EmbeddedEventStore.Open(copy, seams: Seams);
        Assert.Equal(events.Select(evt => evt.Id.ToString()).Order(), (await ReadAsync(restored)).Order());
    }

    [Fact]
    public async Task After_a_killed_process_on_the_same_machine_the_index_is_believed_where_the_system_can_tell()
    {
        if (Marmot.Relay.Storage.Native.FileIdentity.TryRead("/proc/self/exe") is null)
        {
            return; // Linux before 6.8: nothing but a proper end is believed
        }

        var events = await FillAsync(10);
        var mark = new Marmot.Relay.Storage.Index.IndexMark(Path.Combine(_folder.Path, "index.mark"), Path.Combine(_folder.Path, "index"));
        Assert.True(mark.IsTrustworthy);
        mark.Begin(); // what a run that is killed leaves
        Assert.True(new Marmot.Relay.Storage.Index.IndexMark(Path.Combine(_folder.Path, "index.mark"), Path.Combine(_folder.Path, "index")).IsTrustworthy);

        // The same bytes put back in place are another file.
        var pin = Path.Combine(_folder.Path, "index.mark.pin");
        await File.WriteAllBytesAsync(pin, await File.ReadAllBytesAsync(pin));
        Assert.False(new Marmot.Relay.Storage.Index.IndexMark(Path.Combine(_folder.Path, "index.mark"), Path.Combine(_folder.Path, "index")).IsTrustworthy);
        await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        Assert.Equal(events.Count, (await ReadAsync(store)).Count);
    }

    private static byte[] Json(ulong arrival) =>
        System.Text.Encoding.UTF8.GetBytes($"{{\"content\":\"{new string((char)('a' + arrival), 40 + ((int)arrival * 7))}\"}}");

    // As programs of the first format wrote it: docs/decisions/0005.
    private long WriteVersion1(List<(long From, long To, ulong Arrival)> places)
    {
        using var file = new FileStream(Segment, FileMode.Create, FileAccess.Write);
        for (ulong arrival = 1; arrival <= 8; arrival++)
        {
            var json = Json(arrival);
            var record = new byte[(24 + json.Length + 7) & ~7];
            "MRE1"u8.CopyTo(record);
            record[4] = arrival == 4 ? LogRecord.Erased : LogRecord.Live;
            BitConverter.TryWriteBytes(record.AsSpan(8), json.Length);
            var crc = System.Numerics.BitOperations.Crc32C(uint.MaxValue, arrival);
            crc = System.Numerics.BitOperations.Crc32C(crc, (ulong)json.Length);
            crc = json.Aggregate(crc, System.Numerics.BitOperations.Crc32C);
            BitConverter.TryWriteBytes(record.AsSpan(12), ~crc);
            BitConverter.TryWriteBytes(record.AsSpan(16), arrival);
            if (arrival != 4)
            {
                json.CopyTo(record, 24);
            }

            places.Add((file.Position, file.Position + record.Length, arrival));
            file.Write(record);
        }

        var end = file.Position;
        file.SetLength(SegmentSize);
        return end;
    }

    private async Task<List<NostrEvent>> FillAsync(int count, int from = 0)
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(from, count).Select(i => NostrEvent.Create(key, 1, [["t", $"{i}"]], $"{i} {new string('x', 100)}", Now + i)).ToList();
        await using var store = EmbeddedEventStore.Open(_folder.Path, seams: Seams);
        foreach (var batch in events.Chunk(3))
        {
            await store.WriteAsync([.. batch.Select(evt => new EventWrite(EventStoreContract.Record(evt)))], CancellationToken.None);
        }

        return events;
    }

    // Flips a bit in the middle of one event's stored bytes.
    private async Task<NostrEvent> DamageAsync(NostrEvent victim)
    {
        foreach (var path in Directory.GetFiles(Path.Combine(_folder.Path, "log")))
        {
            var bytes = await File.ReadAllBytesAsync(path);
            var at = bytes.AsSpan().IndexOf(victim.Json.Span);
            if (at >= 0)
            {
                bytes[at + 300] ^= 4;
                await File.WriteAllBytesAsync(path, bytes);
                return victim;
            }
        }

        throw new InvalidOperationException("it is not there");
    }

    private static async Task<List<string>> ReadAsync(EmbeddedEventStore store)
    {
        var keys = await store.QueryAsync(new Filter { Kinds = [1] }, ReadScope.Everything(Now), ulong.MaxValue, 10_000, CancellationToken.None);
        var sink = new Ids();
        await store.ReadAsync(keys, 0, sink, CancellationToken.None);
        return sink.Found;
    }

    private sealed class Ids : IStoredEventSink
    {
        public List<string> Found { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Assert.True(NostrEventReader.TryRead(json, out var view, out _));
            Assert.True(EventVerifier.TryVerify(view, out _));
            Found.Add(view.Id.ToString());
            return true;
        }
    }
}
