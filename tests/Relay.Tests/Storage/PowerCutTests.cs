using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;
using Marmot.TestKit;
using Marmot.TestKit.Disks;
using Xunit.Abstractions;

namespace Marmot.Relay.Tests.Storage;

/// <summary>The event log, and the store on it, on a disk that loses power at any moment: whatever of the last writes reached it, all that was acknowledged is
/// there and nothing that was not written.</summary>
public sealed class PowerCutTests(ITestOutputHelper output)
{
    private const int SegmentSize = 16 * 1024; // small, so that batches often cross into the next file
    private const long Now = EventStoreContract.Now;

    [Fact]
    public void A_power_cut_at_any_moment_loses_nothing_flushed_from_the_log_and_leaves_nothing_half()
    {
        var seed = Seeds.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var cuts = 0;
        var damaged = 0;
        for (var run = 0; run < 24; run++)
        {
            using var folder = new TemporaryFolder();
            var disk = new TestDisk(folder.File("now"));
            var written = new Dictionary<ulong, byte[]>(); // whatever was appended: any of it may be there
            var flushed = new HashSet<ulong>(); // must be there
            var erasing = new HashSet<ulong>(); // may be gone
            var erased = new HashSet<ulong>(); // must be gone
            var recorder = new RecordingLogDisk(disk);
            var places = new Dictionary<ulong, long>();
            Directory.CreateDirectory(folder.File("now"));
            using var log = new EventLog(folder.File("now"), recorder, SegmentSize);
            log.StartAt(0);
            recorder.Changed = () =>
            {
                if (random.Next(4) == 0)
                {
                    Check(folder.File($"cut{++cuts}"), disk);
                }
            };
            for (ulong arrival = 1; arrival < 60;)
            {
                switch (random.Next(5))
                {
                    case 0 when flushed.Count > erased.Count:
                        var due = flushed.Except(erased).OrderBy(_ => random.Next()).Take(random.Next(1, 4)).ToArray();
                        erasing.UnionWith(due);
                        log.Erase([.. due.Select(a => (places[a], written[a].Length))]);
                        erased.UnionWith(due);
                        break;
                    case 1:
                        log.Prepare();
                        break;
                    case 2:
                        // Written, and taken back: a signature that was wrong.
                        var end = log.End;
                        written[1000 + arrival] = Json(random); // no such number: it must not come back where it is not the last
                        log.Append(arrival, LogRecord.Deferred, written[1000 + arrival]);
                        log.Write();
                        log.Rollback(end);
                        break;
                    default:
                        var batch = Enumerable.Range(0, random.Next(1, 6)).Select(_ => arrival++).ToArray();
                        foreach (var number in batch)
                        {
                            places[number] = log.Append(number, 0, written[number] = Json(random));
                        }

                        log.Flush();
                        flushed.UnionWith(batch);
                        break;
                }
            }

            void Check(string left, TestDisk from)
            {
                from.Cut(random, left);
                using var after = new EventLog(left, new QuickLogDisk(), SegmentSize);
                var found = new Dictionary<ulong, byte[]>();
                var deferred = new List<(ulong Arrival, long Position)>();
                var gone = new HashSet<ulong>();
                var walk = LogRecovery.Run(
                    after,
                    from: 0,
                    after: 0,
                    cleanEnd: 0,
                    (in LogEntry entry, ReadOnlySpan<byte> json) =>
                    {
                        var durableTo = entry.DurableTo;
                        deferred.RemoveAll(waiting => waiting.Position < durableTo);
                        if ((entry.Flags & LogRecord.Deferred) != 0)
                        {
                            deferred.Add((entry.Arrival, entry.Position)); // the store checks what is left of these
                        }
                        else if (json.IsEmpty)
                        {
                            gone.Add(entry.Arrival);
                        }
                        else
                        {
                            found.Add(entry.Arrival, json.ToArray());
                        }
                    },
                    (damage, _) => damaged += damage.IsTorn ? 0 : 1);
                Assert.Empty(flushed.Except(erasing).Except(found.Keys));
                Assert.All(found,
                    entry => Assert.True(written[entry.Key].AsSpan().SequenceEqual(entry.Value),
                        $"seed {seed}, cut {cuts}: {entry.Key} is not what was written"));
                Assert.Empty(erased.Intersect(found.Keys));
                Assert.Empty(gone.Except(erasing));
                Assert.All(deferred, waiting => Assert.True(waiting.Position >= 0));

                // It goes on from there, and the next start finds the same and what came since, and no more remains of the interrupted write.
                var next = walk.Last + 1;
                after.Append(next, 0, "next"u8);
                after.Flush();
                using var again = new EventLog(left, new QuickLogDisk(), SegmentSize);
                var foundAgain = 0;
                var newest = 0UL;
                LogRecovery.Run(
                    again,
                    from: 0,
                    after: 0,
                    cleanEnd: 0,
                    (in LogEntry entry, ReadOnlySpan<byte> json) =>
                    {
                        foundAgain += json.IsEmpty || (entry.Flags & LogRecord.Deferred) != 0 ? 0 : 1;
                        newest = entry.Arrival;
                    },
                    (damage, _) => Assert.Fail($"seed {seed}, cut {cuts}: {damage} on the second start"));
                Assert.Equal((found.Count + 1, next), (foundAgain, newest));
                Directory.Delete(left, recursive: true);
            }
        }

        output.WriteLine($"{cuts} cuts");
        Assert.True(cuts > 1000, $"{cuts} cuts");
        Assert.Equal(0, damaged); // an interrupted write is not damage
    }

    [Fact]
    public async Task A_power_cut_at_any_moment_loses_no_acknowledged_event_and_brings_no_deleted_one_back()
    {
        var seed = Seeds.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var cuts = 0;
        using var key = SecretKey.Generate();
        for (var run = 0; run < 12; run++)
        {
            using var folder = new TemporaryFolder();
            var disk = new TestDisk(folder.File("now/log"));
            var recorder = new RecordingLogDisk(disk);
            var seams = new StoreSeams { Disk = recorder, SegmentSize = SegmentSize };
            var acknowledged = new HashSet<string>();
            var sent = new Dictionary<string, NostrEvent>();
            var deleted = new HashSet<string>();
            var inDoubt = new HashSet<string>();
            await using (var store = EmbeddedEventStore.Open(folder.File("now"), seams: seams))
            {
                recorder.Changed = () =>
                {
                    if (random.Next(8) == 0)
                    {
                        Check(folder.File($"cut{++cuts}"));
                    }
                };
                for (var step = 0; step < 40; step++)
                {
                    switch (random.Next(6))
                    {
                        case 0 when acknowledged.Count > 3:
                            var target = acknowledged.ElementAt(random.Next(acknowledged.Count));
                            inDoubt.Add(target);
                            await WriteAsync(store, NostrEvent.Create(key, 5, [["e", target]], "", Now + step));
                            acknowledged.Remove(target);
                            deleted.Add(target);
                            break;
                        case 1:
                            await store.MaintainAsync(Now, CancellationToken.None);
                            store.Prepare();
                            break;
                        case 2:
                            var forged = new EventWrite(Forge(NostrEvent.Create(key, 1, [], new string('f', random.Next(1500)), Now + step)))
                            {
                                IsDeferred = true,
                            };
                            await store.WriteAsync([forged], CancellationToken.None);
                            Assert.Equal(StoreVerdict.WrongSignature, forged.Verdict);
                            break;
                        default:
                            await WriteAsync(store,
                                [
                                    .. Enumerable.Range(0, random.Next(1, 4))
                                        .Select(i => NostrEvent.Create(key, 1, [["t", $"{i}"]], new string('x', random.Next(1500)), Now + step))
                                ]);
                            break;
                    }
                }

                recorder.Changed = null;
            }

            async Task WriteAsync(EmbeddedEventStore store, params NostrEvent[] events)
            {
                foreach (var evt in events)
                {
                    sent[evt.Id.ToString()] = evt;
                }

                await store.WriteAsync([.. events.Select(evt => new EventWrite(EventStoreContract.Record(evt)) { IsDeferred = events.Length == 1 })],
                    CancellationToken.None);
                acknowledged.UnionWith(events.Where(evt => evt.Kind == 1).Select(evt => evt.Id.ToString()));
            }

            void Check(string left)
            {
                disk.Cut(random, Path.Combine(left, "log"));
                using (var after = new Opened(left))
                {
                    var found = after.Find();
                    Assert.True(acknowledged.Except(inDoubt).ToHashSet().IsSubsetOf(found), $"seed {seed}, cut {cuts}: lost");
                    Assert.True(found.IsSubsetOf(sent.Keys), $"seed {seed}, cut {cuts}: never sent");
                    Assert.Empty(deleted.Intersect(found));
                    Assert.Equal(0, after.Store.DamagedRecords);
                }

                Directory.Delete(left, recursive: true);
            }
        }

        output.WriteLine($"{cuts} cuts");
        Assert.True(cuts > 100, $"{cuts} cuts");
    }

    internal static EventRecord Forge(NostrEvent evt)
    {
        var signature = Convert.ToHexStringLower(evt.Signature.Span);
        var json = Encoding.UTF8.GetString(evt.Json.Span).Replace(signature, (signature[0] == '0' ? "1" : "0") + signature[1..], StringComparison.Ordinal);
        Assert.True(NostrEventReader.TryRead(Encoding.UTF8.GetBytes(json), out var view, out _));
        return EventRecord.Create(view, vanishesHere: false);
    }

    private static byte[] Json(Random random)
    {
        var json = new byte[random.Next(1, random.Next(4) == 0 ? 6000 : 700)];
        for (var i = 0; i < json.Length; i++)
        {
            json[i] = (byte)random.Next(0x20, 0x7F); // as an event's JSON, it has no control bytes
        }

        return json;
    }

    private sealed class Opened(string folder) : IDisposable
    {
        public EmbeddedEventStore Store { get; } = EmbeddedEventStore.Open(folder,
            seams: new StoreSeams { SegmentSize = SegmentSize, Disk = new QuickLogDisk() });

        // Every event read in whole, on this thread: the embedded store never waits.
        public HashSet<string> Find()
        {
            var keys = Store.QueryAsync(new Filter { Kinds = [1] }, ReadScope.Everything(Now), ulong.MaxValue, 10_000, CancellationToken.None).AsTask()
                .GetAwaiter().GetResult();
            var sink = new Verifying();
            Store.ReadAsync(keys, 0, sink, CancellationToken.None).AsTask().GetAwaiter().GetResult();
            Assert.Equal(keys.Count, sink.Ids.Count);
            return sink.Ids;
        }

        public void Dispose() => Store.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }

    private sealed class Verifying : IStoredEventSink
    {
        public HashSet<string> Ids { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Assert.True(NostrEventReader.TryRead(json, out var view, out _));
            Assert.True(EventVerifier.TryVerify(view, out _));
            Ids.Add(view.Id.ToString());
            return true;
        }
    }
}
