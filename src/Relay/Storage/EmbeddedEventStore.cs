using System.Buffers;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage.Index;
using Marmot.Relay.Storage.Log;

namespace Marmot.Relay.Storage;

/// <summary>The store of one machine: a sequential event log that is the durable truth, and LMDB indexes that can be rebuilt from it.</summary>
/// <remarks>
/// A write is one append and one flush of the log; the index commit beside it needs none, and for a single event that removes no other it
/// comes later: whoever looks next enters what waits (the backlog), else the writer does. docs/decisions says why. One instance a directory
/// and process (POSIX locks).
/// </remarks>
internal sealed class EmbeddedEventStore : IEventStore
{
    private const int MaintenanceBatch = 100; // nobody writes meanwhile, and each may be on another page that is flushed twice
    private const int WholeBatch = 1000; // for who waits until all is erased
    private const int MaxErasedFiles = 4;
    private const string Broken = "the disk failed while events were flushed to it; see to the disk, then restart the relay: it makes its index anew from "
        + "the log";
    private readonly EventLog _log;
    private readonly EventIndex _index;
    private readonly IndexMark _mark;
    private readonly DamagedBytes _damaged;
    private readonly StoreEntrance _entrance;
    private readonly Action? _flushing;
    private readonly FileStream _lock;
    private readonly IndexBacklog _backlog = new();
    private readonly Lock _entering = new();
    private ulong _highWaterMark;
    private ulong _nextArrival;
    private bool _broken;
    private bool _disposed;

    private EmbeddedEventStore(FileStream @lock, IndexMark mark, EventLog log, EventIndex index, DamagedBytes damaged, ulong last, StoreSeams seams)
    {
        _lock = @lock;
        _mark = mark;
        _log = log;
        _index = index;
        _damaged = damaged;
        _entrance = seams.Entrance;
        _flushing = seams.Flushing;
        _highWaterMark = last;
        _nextArrival = last + 1;
    }

    public ulong HighWaterMark => Volatile.Read(ref _highWaterMark);

    public int DamagedRecords => _damaged.Count;

    /// <summary>Opens or creates the store; replays what the index has not seen.</summary>
    /// <param name="directory">The data directory of the relay.</param>
    /// <param name="rebuild">Throws the index away and makes it anew.</param>
    /// <param name="seams">What tests and settings change; null for the defaults.</param>
    public static EmbeddedEventStore Open(string directory, bool rebuild = false, StoreSeams? seams = null)
    {
        seams ??= new StoreSeams();
        Directory.CreateDirectory(directory);
        var paths = new StorePaths(directory);
        var guard = new FileStream(paths.Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        EventLog? log = null;
        try
        {
            StoreFormat.Check(paths.Format);
            paths.Repair();
            var mark = new IndexMark(paths.Mark, paths.Index);
            log = new EventLog(paths.Log, seams.Disk, seams.SegmentSize);
            Folders.Flush(directory);
            var damaged = new DamagedBytes(paths.Damaged, seams.Log);
            var index = new StoreRecovery(paths, log, damaged, seams.Log).OpenIndex(mark, rebuild, out var last);
            return new EmbeddedEventStore(guard, mark, log, index, damaged, last, seams);
        }
        catch
        {
            log?.Dispose();
            guard.Dispose();
            throw;
        }
    }

    public bool IsLocal => true;

    public ValueTask<ulong> ReadMarkAsync(CancellationToken cancel) => new(HighWaterMark); // nobody else writes

    public bool IsKnown(in Bytes32 id)
    {
        var mark = HighWaterMark; // before the look: what is above it may not be on the disk yet
        if (_backlog.Holds(id)) // before the index: what leaves the one is in the other by then
        {
            return true;
        }

        using var txn = _index.BeginRead();
        return _index.TryFind(txn, id, out var arrival, out _) && arrival <= mark;
    }

    public ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel)
    {
        ThrowIfBroken();
        if (batch.Count == 1 && (!_entrance.Admits(batch[0]) || TryWriteAhead(batch[0])))
        {
            return ValueTask.CompletedTask;
        }

        EnterBacklog();
        var end = _log.End;
        var next = _nextArrival;
        var entered = false;
        try
        {
            using var txn = _index.BeginWrite();
            var displaces = false;
            foreach (var write in batch)
            {
                if (!_entrance.Admits(write) || !write.IsSignatureCorrect())
                {
                    continue;
                }

                write.Verdict = _index.Judge(txn, write.Record);
                if (write.Verdict == StoreVerdict.Stored)
                {
                    write.Arrival = next++;
                    var flags = write.Record.VanishesHere ? LogRecord.VanishesHere : (byte)0;
                    displaces |= _index.Insert(txn, write.Record, write.Arrival, _log.Append(write.Arrival, flags, write.Record.Json), write.RemovedUpTo);
                }
            }

            if (next != _nextArrival)
            {
                // The index is entered while the disk is at work: nobody sees what is above the mark. But what takes others out waits for
                // the disk, or for that time neither the old nor the new would be there.
                _log.Write();
                _index.WriteProgress(txn, _log.End, next - 1);
                if (!displaces)
                {
                    txn.Commit();
                    entered = true;
                }

                _flushing?.Invoke();
                _log.Flush(); // durable from here on
                if (displaces)
                {
                    txn.Commit();
                }
            }
        }
        catch (Exception exception) when (entered)
        {
            // Only the log can tell now what is on the disk, and only after a fresh start.
            _broken = true;
            _mark.Distrust();
            throw new IOException($"{Broken} ({exception.Message})", exception);
        }
        catch
        {
            _log.Rollback(end);
            throw;
        }

        _nextArrival = next;
        Volatile.Write(ref _highWaterMark, next - 1);
        return ValueTask.CompletedTask;
    }

    public void Prepare()
    {
        _log.Prepare();
        if (_backlog.IsHalfFull)
        {
            TryEnterBacklog();
        }
    }

    public async ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel)
    {
        var query = new StoredQuery(_index, _log, filter, scope, upTo, limit, cancel);
        while (!Run(query))
        {
            await scope.Turn!.YieldAsync();
        }

        return query.Results;
    }

    public ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel) => default;

    public async ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel) =>
        (await QueryAsync(filter.WithLimit(null), scope, upTo, int.MaxValue, cancel)).Count;

    public ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel)
    {
        var copy = new ArrayBufferWriter<byte>(4096);
        using var txn = BeginRead();
        for (var i = start; i < keys.Count; i++)
        {
            if (!_index.TryReadHeader(txn, keys[i].Arrival, out var header))
            {
                continue; // removed since the query
            }

            copy.ResetWrittenCount();
            var read = _log.TryCopy(header.Position, header.Length, copy);
            if (read == LogRead.Damaged)
            {
                _damaged.Keep(new LogDamage(header.Position, LogRecord.SizeOf(header.Length), IsTorn: false),
                    _log.Peek(header.Position, header.Length).ToArray());
            }
            else if (read == LogRead.Done && !sink.Accept(keys[i].Arrival, copy.WrittenSpan))
            {
                return new ValueTask<int>(i + 1 - start);
            }
        }

        return new ValueTask<int>(keys.Count - start);
    }

    public ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel)
    {
        ThrowIfBroken();
        EnterBacklog();
        var removed = 0;
        using (var txn = _index.BeginWrite())
        {
            foreach (var key in keys)
            {
                removed += _index.Remove(txn, key.Arrival) ? 1 : 0;
            }

            txn.Commit();
        }

        while (erase && EraseSome(WholeBatch))
        {
        }

        return new ValueTask<int>(removed);
    }

    public ValueTask<bool> MaintainAsync(long now, CancellationToken cancel)
    {
        ThrowIfBroken();
        EnterBacklog();
        var expired = 0;
        using (var txn = _index.BeginWrite())
        {
            expired = _index.RemoveExpired(txn, now, MaintenanceBatch);
            if (expired > 0)
            {
                txn.Commit();
            }
        }

        return new ValueTask<bool>(EraseSome(MaintenanceBatch) || expired == MaintenanceBatch);
    }

    public ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel)
    {
        using var txn = BeginRead();
        var (events, erasures) = _index.Count(txn);
        return new ValueTask<StoreStatistics>(new StoreStatistics(events, HighWaterMark, _log.End, erasures, _damaged.Count));
    }

    public ValueTask DisposeAsync()
    {
        if (!_disposed)
        {
            _disposed = true;
            TryEnterBacklog(); // else the next start does
            var isSynced = TrySync();
            var end = _log.End;
            _index.Dispose();
            _log.Dispose();
            if (!_broken && isSynced)
            {
                _mark.Close(end);
            }

            _lock.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private void ThrowIfBroken()
    {
        if (_broken)
        {
            throw new IOException(Broken);
        }
    }

    // A slice has a snapshot of its own: what it sees above the mark does not count, and what was removed since is not missed.
    private bool Run(StoredQuery query)
    {
        using var txn = BeginRead();
        return query.Run(txn);
    }

    // A snapshot of everything acknowledged so far.
    private LmdbTransaction BeginRead()
    {
        EnterBacklog();
        return _index.BeginRead();
    }

    // A batch of one event that removes no other: durable with the flush of the log, in the index when somebody looks. False when the way by the
    // index has to be taken.
    private bool TryWriteAhead(EventWrite write)
    {
        var record = write.Record;
        if (record.Address is not null || record.Kind == EventKinds.Deletion || record.VanishesHere || !_index.TryReserveBacklog())
        {
            return false;
        }

        if (!_backlog.HasRoomFor(record))
        {
            EnterBacklog();
            if (!_backlog.HasRoomFor(record))
            {
                return false;
            }
        }

        write.Verdict = JudgeAhead(record);
        if (write.Verdict != StoreVerdict.Stored)
        {
            _ = write.IsSignatureCorrect(); // what became of others is for their authors
            return true;
        }

        var end = _log.End;
        try
        {
            var position = _log.Append(_nextArrival, write.IsDeferred ? LogRecord.Deferred : (byte)0, record.Json);
            _log.Write();
            if (!write.IsSignatureCorrect()) // while the disk is at work
            {
                _log.Rollback(end);
                return true;
            }

            _flushing?.Invoke();
            _log.Flush(); // durable from here on
            _backlog.Add(new BacklogEvent(record, _nextArrival, position, _log.End));
        }
        catch
        {
            _log.Rollback(end);
            throw;
        }

        write.Arrival = _nextArrival++;
        Volatile.Write(ref _highWaterMark, write.Arrival);
        return true;
    }

    private StoreVerdict JudgeAhead(EventRecord record)
    {
        if (_backlog.Holds(record.Id)) // before the index: what leaves the one is in the other by then
        {
            return StoreVerdict.Duplicate;
        }

        using var txn = _index.BeginRead();
        return _index.Judge(txn, record);
    }

    // Anybody's: while a write holds the index, nothing waits here.
    private void EnterBacklog()
    {
        if (_backlog.Events.Length == 0)
        {
            return;
        }

        lock (_entering)
        {
            var waiting = _backlog.Events;
            if (waiting.Length == 0)
            {
                return;
            }

            using var txn = _index.BeginWrite();
            foreach (var (record, arrival, position, _) in waiting)
            {
                _index.Insert(txn, record, arrival, position);
            }

            _index.WriteProgress(txn, waiting[^1].End, waiting[^1].Arrival);
            txn.Commit();
            _backlog.RemoveFirst(waiting.Length);
        }
    }

    // A disk that takes nothing is tried again next time.
    private void TryEnterBacklog()
    {
        try
        {
            EnterBacklog();
        }
        catch (IOException)
        {
        }
    }

    // Decision 4 of the design: the bytes are overwritten in the log first, then the order to do so is forgotten; a crash in between repeats it.
    private bool EraseSome(int limit)
    {
        List<(ulong Arrival, long Position, int Length)> due;
        using (var txn = _index.BeginRead())
        {
            due = _index.ReadErasures(txn, limit);
        }

        // Each file takes two flushes, and who waits for an OK waits for them too: few files at a time.
        var isPart = false;
        if (due.Select(erasure => erasure.Position / _log.SegmentSize).Distinct().Skip(MaxErasedFiles).Any())
        {
            var files = due.Select(erasure => erasure.Position / _log.SegmentSize).Distinct().Take(MaxErasedFiles).ToHashSet();
            due.RemoveAll(erasure => !files.Contains(erasure.Position / _log.SegmentSize));
            isPart = true;
        }

        if (due.Count == 0)
        {
            return false;
        }

        _log.Erase([.. due.Select(erasure => (erasure.Position, erasure.Length))]);
        due.ForEach(erasure => _damaged.Forget(erasure.Position));
        using (var txn = _index.BeginWrite())
        {
            foreach (var (arrival, _, _) in due)
            {
                _index.ForgetErasure(txn, arrival);
            }

            txn.Commit();
        }

        return isPart || due.Count == limit;
    }

    private bool TrySync()
    {
        try
        {
            _index.Sync();
            return true;
        }
        catch (LmdbException)
        {
            return false; // the mark says nothing of a proper end then
        }
    }
}
