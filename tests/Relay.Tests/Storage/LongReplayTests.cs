using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Storage;

/// <summary>An index is built anew from a log of several batches, which are entered on a thread of their own while the next are read.</summary>
public sealed class LongReplayTests : IDisposable
{
    private const int Batch = 1000; // of StoreRecovery
    private const long Now = 1_700_000_500;
    private readonly TemporaryFolder _folder = new();
    private readonly SecretKey _key = SecretKey.Generate();

    public void Dispose()
    {
        _key.Dispose();
        _folder.Dispose();
    }

    // The last record is one whose check a killed process did not come to; the batches before it are full, or nearly, and the one before it erased or not.
    [Theory]
    [InlineData(Batch - 1, false)]
    [InlineData(Batch, false)]
    [InlineData(Batch, true)]
    [InlineData(Batch + 1, false)]
    [InlineData(3 * Batch, false)]
    [InlineData(3 * Batch, true)]
    [InlineData((3 * Batch) + 1, true)]
    public async Task After_a_forged_last_record_numbers_go_on_behind_what_the_log_holds(int count, bool isErasedBefore)
    {
        await (await WriteAsync(count, isErasedBefore)).DisposeAsync();
        var held = isErasedBefore ? count - 1 : count;
        await using (var store = EmbeddedEventStore.Open(_folder.Path))
        {
            Assert.Equal((ulong)count, store.HighWaterMark);
            Assert.Equal(held, await CountAsync(store));
            EventWrite[] more = [Write(count + 1), Write(count + 2)];
            await store.WriteAsync(more, CancellationToken.None);
            Assert.Equal([(ulong)count + 1, (ulong)count + 2], more.Select(write => write.Arrival));
        }

        await using (var again = EmbeddedEventStore.Open(_folder.Path, rebuild: true))
        {
            Assert.Equal((ulong)count + 2, again.HighWaterMark);
            Assert.Equal(held + 2, await CountAsync(again));
            Assert.Equal(0, again.DamagedRecords);
        }
    }

    [Fact]
    public async Task What_one_batch_deletes_of_an_earlier_one_is_gone_and_what_replaces_it_is_there()
    {
        // Every hundredth is an event of one slot, and the last deletes the first of each batch.
        var events = Enumerable.Range(0, 4 * Batch).Select(i => i % 100 == 0 ? Make(i, 30_443, ["d", "slot"]) : Make(i, 1)).ToList();
        var deleted = Enumerable.Range(0, 4).Select(i => events[(i * Batch) + 1]).ToList();
        events.Add(NostrEvent.Create(_key, 5, [.. deleted.Select(evt => new[] { "e", evt.Id.ToString() })], "", Now + events.Count));
        await using (var store = EmbeddedEventStore.Open(_folder.Path))
        {
            foreach (var batch in events.Chunk(700))
            {
                await store.WriteAsync([.. batch.Select(evt => new EventWrite(EventStoreContract.Record(evt)))], CancellationToken.None);
            }
        }

        await using var rebuilt = EmbeddedEventStore.Open(_folder.Path, rebuild: true);
        var left = events.Where(evt => evt.Kind == 1).Except(deleted).Append(events[^1]).Append(events.Last(evt => evt.Kind == 30_443));
        var found = await rebuilt.QueryAsync(new Filter(), ReadScope.Everything(Now), rebuilt.HighWaterMark, int.MaxValue, CancellationToken.None);
        Assert.Equal(left.Select(evt => evt.Id.ToString()).Order(), found.Select(key => key.Id.ToString()).Order());
    }

    private async Task<EmbeddedEventStore> WriteAsync(int count, bool isErasedBefore)
    {
        await using (EmbeddedEventStore.Open(_folder.Path))
        {
        }

        var paths = new StorePaths(_folder.Path);
        using (var log = new EventLog(paths.Log))
        {
            log.StartAt(0);
            var (position, length) = (0L, 0);
            for (var i = 1; i <= count; i++)
            {
                var record = Write(i).Record;
                (position, length) = (log.Append((ulong)i, 0, record.Json), record.Json.Length);
            }

            log.Flush();
            if (isErasedBefore)
            {
                log.Erase([(position, length)]);
            }

            log.Append((ulong)count + 1, LogRecord.Deferred, Forged(Make(count + 1)));
            log.Flush();
        }

        Directory.Delete(paths.Index, recursive: true);
        return EmbeddedEventStore.Open(_folder.Path);
    }

    private static byte[] Forged(NostrEvent evt)
    {
        var json = evt.Json.ToArray();
        var at = json.AsSpan().IndexOf("\"sig\":\""u8) + 10;
        json[at] = json[at] == (byte)'0' ? (byte)'1' : (byte)'0';
        return json;
    }

    private static async Task<int> CountAsync(EmbeddedEventStore store) =>
        (await store.QueryAsync(new Filter(), ReadScope.Everything(Now), store.HighWaterMark, int.MaxValue, CancellationToken.None)).Count;

    private EventWrite Write(int i) => new(EventStoreContract.Record(Make(i)));

    private NostrEvent Make(int i, int kind = 1, params string[] tag) => NostrEvent.Create(_key, kind, tag.Length > 0 ? [tag] : [], $"{i}", Now + i);
}
