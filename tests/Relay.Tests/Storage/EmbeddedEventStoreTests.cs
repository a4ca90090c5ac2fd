using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Tests.Storage;

public sealed class EmbeddedEventStoreTests : EventStoreContract
{
    private readonly string _directory = Directory.CreateTempSubdirectory("marmot-store-").FullName;

    private protected override Task<IEventStore> OpenAsync() => Task.FromResult<IEventStore>(EmbeddedEventStore.Open(_directory));

    private protected override Task<IReadOnlyList<IEventStore>> OpenOthersAsync() =>
        Task.FromResult<IReadOnlyList<IEventStore>>([EmbeddedEventStore.Open(Path.Combine(_directory, "other"))]);

    private protected override async Task StoreAsEarlierVersionsDidAsync(params NostrEvent[] events)
    {
        await Store.DisposeAsync();
        using var log = new EventLog(Path.Combine(_directory, "log"));
        var walk = LogRecovery.Run(log, from: 0, after: 0, cleanEnd: 0, static (in LogEntry _, ReadOnlySpan<byte> _) => { },
            (_, _) => Assert.Fail("the log was whole"));
        var arrival = walk.Last;
        foreach (var evt in events)
        {
            log.Append(++arrival, 0, evt.Json.Span);
        }

        log.Flush();
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private static NostrEvent Secret(SecretKey key, int kind, string[][] tags, string marker, long at = Now) =>
        NostrEvent.Create(key, kind, tags, marker + new string('.', 300), at);

    private bool IsOnDisk(string marker)
    {
        var needle = Encoding.UTF8.GetBytes(marker);
        foreach (var file in Directory.EnumerateFiles(_directory, "*", SearchOption.AllDirectories))
        {
            if (Path.GetFileName(file) is "lock" or "lock.mdb")
            {
                continue; // empty, and a reader table
            }

            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var buffer = new byte[1 << 20];
            var kept = 0;
            int read;
            while ((read = stream.Read(buffer, kept, buffer.Length - kept)) > 0)
            {
                var span = buffer.AsSpan(0, kept + read);
                if (span.IndexOf(needle) >= 0)
                {
                    return true;
                }

                kept = Math.Min(needle.Length, span.Length);
                span[^kept..].CopyTo(buffer);
            }
        }

        return false;
    }

    [Fact]
    public async Task Overwrites_what_is_removed_in_each_way()
    {
        using var key = SecretKey.Generate();
        using var gone = SecretKey.Generate();
        using var recipient = SecretKey.Generate();
        var deleted = Secret(key, 1, [], "MARK-deleted");
        await WriteAsync(deleted);
        await WriteAsync(Secret(key, 30443, [["d", "x"]], "MARK-by-address"));
        await WriteAsync(Secret(key, 10051, [], "MARK-replaced"));
        await WriteAsync(Secret(key, 1, [["expiration", $"{Now + 5}"]], "MARK-expired"));
        await WriteAsync(Secret(gone, 1, [], "MARK-vanished"));
        await WriteAsync(Secret(key, 1059, [["p", gone.PublicKey.ToString()]], "MARK-wrap-vanished"));
        var wrap = Secret(key, 1059, [["p", recipient.PublicKey.ToString()]], "MARK-wrap-deleted");
        await WriteAsync(wrap);
        await WriteAsync(Secret(key, 1, [], "MARK-kept"));
        var operatorsChoice = Secret(key, 2, [], "MARK-operator");
        await WriteAsync(operatorsChoice);
        string[] removed =
            ["MARK-deleted", "MARK-by-address", "MARK-replaced", "MARK-expired", "MARK-vanished", "MARK-wrap-vanished", "MARK-wrap-deleted", "MARK-operator"];
        Assert.All(removed, marker => Assert.True(IsOnDisk(marker)));

        await WriteAsync(NostrEvent.Create(key, 5, [["e", deleted.Id.ToString()], ["a", $"30443:{key.PublicKey}:x"]], "", Now + 1));
        await WriteAsync(NostrEvent.Create(recipient, 5, [["e", wrap.Id.ToString()]], "", Now + 1));
        await WriteAsync(NostrEvent.Create(key, 10051, [], "new list", Now + 1));
        await WriteAsync(NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now + 1), vanishesHere: true);
        var chosen = await Store.QueryAsync(new Filter { Kinds = [2] }, ReadScope.Everything(Now), Store.HighWaterMark, 10, CancellationToken.None);
        Assert.Equal(1, await Store.RemoveAsync(chosen, erase: true, CancellationToken.None));
        while (await Store.MaintainAsync(Now + 10, CancellationToken.None))
        {
        }

        Assert.All(removed, marker => Assert.False(IsOnDisk(marker), marker));
        Assert.True(IsOnDisk("MARK-kept"));
        Assert.Equal(0, (await Store.ReadStatisticsAsync(CancellationToken.None)).AwaitingErasure);
    }

    [Fact]
    public async Task Finishes_erasing_after_a_restart()
    {
        using var key = SecretKey.Generate();
        var evt = Secret(key, 1, [], "MARK-pending");
        await WriteAsync(evt);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", evt.Id.ToString()]], "", Now + 1));
        Assert.True(IsOnDisk("MARK-pending"));
        await ReopenAsync();
        await Store.MaintainAsync(Now, CancellationToken.None);
        Assert.False(IsOnDisk("MARK-pending"));
    }

    [Fact]
    public async Task Rebuilds_the_index_from_the_log()
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 50).Select(i => NostrEvent.Create(key, 1, [["t", $"{i % 5}"]], $"{i}", Now + i)).ToList();
        await Store.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", events[0].Id.ToString()]], "", Now + 100));
        while (await Store.MaintainAsync(Now, CancellationToken.None))
        {
        }

        var before = await FindAsync(new Filter());
        await Store.DisposeAsync();
        Directory.Delete(Path.Combine(_directory, "index"), recursive: true);
        File.Delete(Path.Combine(_directory, "index.mark"));
        await ReopenAsync();
        Assert.Equal(before, await FindAsync(new Filter()));
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(events[0]));
        Assert.Equal(10, (await FindAsync(new Filter { Tags = new Dictionary<char, string[]> { ['t'] = ["1"] } })).Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(20)]
    [InlineData(200)]
    public async Task Forgets_a_torn_tail_and_goes_on(int cut)
    {
        using var key = SecretKey.Generate();
        var whole = NostrEvent.Create(key, 1, [], "whole", Now);
        var torn = NostrEvent.Create(key, 1, [], "torn", Now);
        await WriteAsync(whole);
        var end = (await Store.ReadStatisticsAsync(CancellationToken.None)).LogBytes;
        await WriteAsync(torn);
        await Store.DisposeAsync();
        using (var log = new FileStream(Path.Combine(_directory, "log", "events-000000.log"), FileMode.Open, FileAccess.Write))
        {
            log.Position = end + cut;
            log.Write(new byte[600]); // the tail never reached the disk
        }

        File.Delete(Path.Combine(_directory, "index.mark"));
        await ReopenAsync();
        Assert.Equal([whole.Id.ToString()], await FindAsync(new Filter()));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(torn));
        await ReopenAsync();
        Assert.True(Store.IsKnown(torn.Id));
    }

    [Fact]
    public async Task Compaction_keeps_events_arrivals_and_refusals()
    {
        using var key = SecretKey.Generate();
        var doomed = Secret(key, 1, [], "MARK-doomed");
        await WriteAsync(doomed);
        for (var i = 0; i < 20; i++)
        {
            await WriteAsync(Secret(key, 1, [], $"{i}", Now + i));
        }

        await WriteAsync(NostrEvent.Create(key, 5, [["e", doomed.Id.ToString()]], "", Now + 100));
        var before = await FindAsync(new Filter());
        var mark = Store.HighWaterMark;
        await Store.DisposeAsync();
        var (oldSize, newSize) = await StoreCompaction.RunAsync(_directory, DateTimeOffset.UtcNow);
        Assert.True(newSize < oldSize);
        await ReopenAsync();
        Assert.Equal(before, await FindAsync(new Filter()));
        Assert.Equal(mark, Store.HighWaterMark);
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(doomed));
    }

    [Fact]
    public async Task Gives_up_a_query_that_looks_at_too_much()
    {
        using var key = SecretKey.Generate();
        await Store.WriteAsync([.. Enumerable.Range(0, 60).Select(i => new EventWrite(Record(NostrEvent.Create(key, 1, [], $"{i}", Now + i))))],
            CancellationToken.None);
        var scope = ReadScope.Everything(Now) with { MaxWork = 50 };
        await Assert.ThrowsAsync<QueryTooWideException>(() => FindAsync(new Filter { Since = 0 }, scope));
        Assert.Equal(5, (await FindAsync(new Filter { Limit = 5 }, scope)).Count);
    }

    [Fact]
    public async Task A_query_that_lets_others_go_first_answers_as_if_it_had_not()
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 3000).Select(i => NostrEvent.Create(key, 1 + (i % 3), [], $"{i}", Now + (i / 2))).ToArray();
        await Store.WriteAsync([.. events.Select(evt => new EventWrite(Record(evt)))], CancellationToken.None);
        var filter = new Filter { Kinds = [1, 2, 3] };
        var expected = await FindAsync(filter);
        var mark = Store.HighWaterMark;

        // 1. Somebody else wants the one turn there is, and uses it to remove the last event of the answer and to write a newer one.
        var turns = new FairScheduler(1);
        var turn = new FairTurn(turns, 1);
        await turn.EnterAsync();
        var other = LetOtherActAsync();

        // 2. The answer is that of the mark, but for what is gone.
        var keys = await Store.QueryAsync(filter, ReadScope.Everything(Now) with { Turn = turn }, mark, 10_000, CancellationToken.None);
        turn.Leave();
        await other;
        Assert.Equal(expected[..^1], keys.Select(found => found.Id.ToString()));

        async Task LetOtherActAsync()
        {
            await turns.EnterAsync(2);
            var last = await Store.QueryAsync(new Filter { Until = Now }, ReadScope.Everything(Now), mark, 10, CancellationToken.None);
            await Store.RemoveAsync([last[^1]], erase: true, CancellationToken.None);
            await WriteAsync(NostrEvent.Create(key, 1, [], "later", Now + 1));
            turns.Leave(2);
        }
    }

    [Fact]
    public async Task Events_that_come_one_by_one_are_seen_by_whoever_looks_after_they_were_acknowledged()
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 300).Select(i => NostrEvent.Create(key, 1, [["t", $"{i}"]], $"{i}", Now + i)).ToArray();
        var written = 0;
        var looks = 0;
        var reading = Task.Run(async () =>
        {
            while (Volatile.Read(ref written) < events.Length)
            {
                var least = Volatile.Read(ref written);
                var found = await FindAsync(new Filter());
                Assert.True(found.Count >= least, $"{found.Count} of {least}");
                Assert.Equal(events.Take(found.Count).Reverse().Select(e => e.Id.ToString()), found);
                Interlocked.Increment(ref looks);
            }
        });
        SpinWait.SpinUntil(() => Volatile.Read(ref looks) > 0 || reading.IsCompleted);
        foreach (var evt in events)
        {
            Assert.Equal(StoreVerdict.Stored, await WriteAsync(evt));
            Assert.Equal(StoreVerdict.Duplicate, await WriteAsync(evt));
            Assert.True(Store.IsKnown(evt.Id));
            Volatile.Write(ref written, written + 1);
            if (written == events.Length / 2) // however busy the machine is
            {
                SpinWait.SpinUntil(() => Volatile.Read(ref looks) > 1 || reading.IsCompleted);
            }
        }

        await reading;
        Assert.True(looks > 1);
        Assert.Equal((ulong)events.Length, Store.HighWaterMark);
        Assert.Equal(events.Length, (await Store.ReadStatisticsAsync(CancellationToken.None)).Events);
    }

    [Theory]
    [InlineData(1)] // less than the index lets wait
    [InlineData(7)]
    [InlineData(100)] // more
    public async Task Events_that_came_one_by_one_outlive_the_process_though_nobody_looked(int count)
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, count).Select(i => NostrEvent.Create(key, 1, [["t", $"{i}"]], $"{i}", Now + i)).ToArray();
        foreach (var evt in events)
        {
            await WriteAsync(evt);
        }

        // What a killed process leaves: its files as they are now.
        var copy = Path.Combine(_directory, "copy");
        foreach (var file in Directory.GetFiles(_directory, "*", SearchOption.AllDirectories).Where(f => Path.GetFileName(f) is not ("lock" or "lock.mdb")))
        {
            var target = Path.Combine(copy, Path.GetRelativePath(_directory, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            using var from = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var to = File.Create(target);
            await from.CopyToAsync(to);
        }

        await using var left = EmbeddedEventStore.Open(copy);
        Assert.Equal((ulong)count, left.HighWaterMark);
        Assert.Equal(events.Reverse().Select(e => e.Id.ToString()), FindNow(left));
        Assert.All(events, evt => Assert.True(left.IsKnown(evt.Id)));
    }

    [Fact]
    public async Task What_waits_for_the_index_can_be_deleted_and_expires()
    {
        using var key = SecretKey.Generate();
        NostrEvent one = NostrEvent.Create(key, 1, [], "one", Now), two = NostrEvent.Create(key, 1, [], "two", Now + 1);
        var three = NostrEvent.Create(key, 1, [["expiration", $"{Now + 5}"]], "three", Now + 2);
        await WriteAsync(one);
        await WriteAsync(two);
        await WriteAsync(three);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", one.Id.ToString()]], "", Now + 3));
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(one));
        await Store.MaintainAsync(Now + 10, CancellationToken.None);
        Assert.Equal([two.Id.ToString()], await FindAsync(new Filter { Kinds = [1] }));
    }

    [Theory]
    [InlineData(1)] // written first, checked while the disk is at work
    [InlineData(5)] // takes others out: checked first
    [InlineData(10_002)]
    public async Task An_event_whose_signature_is_left_to_the_store_and_is_wrong_leaves_nothing(int kind)
    {
        using var key = SecretKey.Generate();
        var victim = NostrEvent.Create(key, 1, [], "victim", Now);
        NostrEvent genuine = NostrEvent.Create(key, kind, [["e", victim.Id.ToString()]], "MARK-forged", Now + 1),
            after = NostrEvent.Create(key, 1, [], "after", Now + 2);
        await WriteAsync(victim);
        var log = (await Store.ReadStatisticsAsync(CancellationToken.None)).LogBytes;

        EventWrite forged = new(Forged(genuine)) { IsDeferred = true }, known = new(Record(victim));
        await Store.WriteAsync([forged], CancellationToken.None);
        Assert.Equal(StoreVerdict.WrongSignature, forged.Verdict);
        await Store.WriteAsync([known, forged], CancellationToken.None);
        Assert.Equal((StoreVerdict.Duplicate, StoreVerdict.WrongSignature), (known.Verdict, forged.Verdict));
        Assert.Equal(1UL, Store.HighWaterMark);
        Assert.False(Store.IsKnown(genuine.Id));
        Assert.Equal([victim.Id.ToString()], await FindAsync(new Filter()));
        Assert.Equal(log, (await Store.ReadStatisticsAsync(CancellationToken.None)).LogBytes);
        Assert.False(IsOnDisk("MARK-forged"));

        var checkedLate = new EventWrite(Record(genuine)) { IsDeferred = true };
        await Store.WriteAsync([checkedLate], CancellationToken.None);
        Assert.Equal((StoreVerdict.Stored, 2UL, false), (checkedLate.Verdict, checkedLate.Arrival, checkedLate.IsDeferred));
        await WriteAsync(after);
        await ReopenAsync();
        string[] left = kind == 5 ? [$"{after.Id}", $"{genuine.Id}"] : [$"{after.Id}", $"{genuine.Id}", $"{victim.Id}"];
        Assert.Equal(left, await FindAsync(new Filter()));
    }

    [Fact]
    public async Task A_wrong_signature_learns_nothing_of_what_is_stored_or_was_deleted()
    {
        using var key = SecretKey.Generate();
        NostrEvent stored = NostrEvent.Create(key, 1, [], "stored", Now), deleted = NostrEvent.Create(key, 1, [], "deleted", Now);
        await WriteAsync(stored);
        await WriteAsync(deleted);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", deleted.Id.ToString()]], "", Now + 1));
        foreach (var evt in new[] { stored, deleted })
        {
            var forged = new EventWrite(Forged(evt)) { IsDeferred = true };
            await Store.WriteAsync([forged], CancellationToken.None);
            Assert.Equal(StoreVerdict.WrongSignature, forged.Verdict);
        }
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task A_process_that_ends_between_the_write_of_an_event_and_the_check_of_its_signature_leaves_it_only_if_it_is_good(bool isForged, bool rebuild)
    {
        using var key = SecretKey.Generate();
        NostrEvent before = NostrEvent.Create(key, 1, [], "before", Now), last = NostrEvent.Create(key, 1, [], "MARK-last", Now + 1);
        await WriteAsync(before);
        await Store.DisposeAsync();
        using (var log = new EventLog(Path.Combine(_directory, "log")))
        {
            LogRecovery.Run(log, from: 0, after: 0, cleanEnd: 0, static (in LogEntry _, ReadOnlySpan<byte> _) => { },
                (_, _) => Assert.Fail("the log was whole"));
            log.Append(2, LogRecord.Deferred, (isForged ? Forged(last) : Record(last)).Json);
            log.Flush();
        }

        if (rebuild)
        {
            File.Delete(Path.Combine(_directory, "index.mark"));
        }

        await ReopenAsync();
        Assert.Equal(isForged ? 1UL : 2UL, Store.HighWaterMark);
        Assert.Equal(isForged ? [$"{before.Id}"] : [$"{last.Id}", $"{before.Id}"], await FindAsync(new Filter()));
        Assert.Equal(!isForged, IsOnDisk("MARK-last"));
        Assert.Equal(isForged ? StoreVerdict.Stored : StoreVerdict.Duplicate, await WriteAsync(last));
        await ReopenAsync();
        Assert.Equal([$"{last.Id}", $"{before.Id}"], await FindAsync(new Filter()));
    }

    private static EventRecord Forged(NostrEvent evt)
    {
        var signature = Convert.ToHexStringLower(evt.Signature.Span);
        var json = Encoding.UTF8.GetString(evt.Json.Span).Replace(signature, (signature[0] == '0' ? "1" : "0") + signature[1..], StringComparison.Ordinal);
        Assert.True(NostrEventReader.TryRead(Encoding.UTF8.GetBytes(json), out var view, out _));
        return EventRecord.Create(view, vanishesHere: false);
    }

    [Fact]
    public async Task While_the_disk_is_waited_for_nobody_sees_the_new_and_everybody_the_old()
    {
        using var key = SecretKey.Generate();
        var directory = Path.Combine(_directory, "watched");
        var seen = new List<string>();
        var subject = NostrEvent.Create(key, 1, [], "subject", Now);
        EmbeddedEventStore store = null!;
        await using (store = EmbeddedEventStore.Open(directory,
            seams: new StoreSeams { Flushing = () => seen.Add(string.Join(' ', [$"{store.IsKnown(subject.Id)}", .. FindNow(store)])) }))
        {
            NostrEvent older = NostrEvent.Create(key, 10_002, [], "older", Now), newer = NostrEvent.Create(key, 10_002, [], "newer", Now + 1);
            await store.WriteAsync([new EventWrite(Record(older))], CancellationToken.None);
            await store.WriteAsync([new EventWrite(Record(subject))], CancellationToken.None);
            await store.WriteAsync([new EventWrite(Record(newer))], CancellationToken.None);
            NostrEvent next = NostrEvent.Create(key, 1, [], "next", Now + 2), last = NostrEvent.Create(key, 1, [], "last", Now + 3);
            await store.WriteAsync([new EventWrite(Record(next)), new EventWrite(Record(last))], CancellationToken.None);
            Assert.Equal(
                [
                    "False",
                    $"False {older.Id}",
                    string.Join(' ', ["True", .. new[] { older, subject }.OrderBy(e => e.Id).Select(e => $"{e.Id}")]),
                    $"True {newer.Id} {subject.Id}",
                ],
                seen);
            Assert.Equal([last.Id.ToString(), next.Id.ToString(), newer.Id.ToString(), subject.Id.ToString()], FindNow(store));
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(10_002, 1)]
    public async Task After_a_flush_that_failed_everything_acknowledged_is_there_and_nothing_is_taken_that_might_not_be(int kind, int together)
    {
        using var key = SecretKey.Generate();
        var directory = Path.Combine(_directory, "failing");
        var fails = false;
        var first = NostrEvent.Create(key, kind, [], "first", Now);
        var second = Enumerable.Range(0, together).Select(i => NostrEvent.Create(key, kind, [], $"second {i}", Now + 1 + i)).ToArray();
        var third = NostrEvent.Create(key, 1, [], "third", Now + 5);
        await using (var store = EmbeddedEventStore.Open(directory, seams: new StoreSeams
        {
            Flushing = () =>
            {
                if (fails)
                {
                    throw new IOException("the disk is gone");
                }
            },
        }))
        {
            await store.WriteAsync([new EventWrite(Record(first))], CancellationToken.None);
            fails = true;
            await Assert.ThrowsAsync<IOException>(async () =>
                await store.WriteAsync([.. second.Select(e => new EventWrite(Record(e)))], CancellationToken.None));
            fails = false;
            Assert.All(second, evt => Assert.False(store.IsKnown(evt.Id)));
            Assert.Equal([first.Id.ToString()], FindNow(store));

            // A batch that took nothing else out was entered meanwhile: writes wait for a restart. A single event and a replacement were not, and they go on.
            if (together > 1)
            {
                var refusal = await Assert.ThrowsAsync<IOException>(async () =>
                    await store.WriteAsync([new EventWrite(Record(third))], CancellationToken.None));
                Assert.Contains("restart", refusal.Message, StringComparison.Ordinal);
            }
            else
            {
                await store.WriteAsync([new EventWrite(Record(third))], CancellationToken.None);
                Assert.Equal([third.Id.ToString(), first.Id.ToString()], FindNow(store));
            }
        }

        await using var again = EmbeddedEventStore.Open(directory);
        Assert.Contains(first.Id.ToString(), FindNow(again));
        await again.WriteAsync([.. second.Append(third).Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        NostrEvent[] left = kind == 1 ? [third, .. second.Reverse(), first] : [third, second[^1]];
        Assert.Equal(left.Select(e => e.Id.ToString()), FindNow(again));
    }

    // On this thread: the embedded store never waits for anything when it is asked without a turn.
    private static List<string> FindNow(EmbeddedEventStore store) =>
        [
            .. store.QueryAsync(new Filter(), ReadScope.Everything(Now), store.HighWaterMark, 1000, CancellationToken.None).AsTask().GetAwaiter().GetResult()
                .Select(k => k.Id.ToString())
        ];
}
