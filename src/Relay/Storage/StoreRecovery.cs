using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage.Index;
using Marmot.Relay.Storage.Log;
using Stopwatch = System.Diagnostics.Stopwatch;

namespace Marmot.Relay.Storage;

/// <summary>Opens an embedded store after whatever ended the last run: the index is believed or built anew, and what the log has beyond it is
/// entered.</summary>
/// <param name="paths">The store's files.</param>
/// <param name="eventLog">Its log, just opened.</param>
/// <param name="damaged">Takes what is not whole.</param>
/// <param name="log">Told how a long replay goes.</param>
internal sealed class StoreRecovery(StorePaths paths, EventLog eventLog, DamagedBytes damaged, ILogger log)
{
    private const int BatchSize = 1000;
    private const int BatchBytes = 4 << 20;
    private const int MaxWaitingBatches = 2;
    private const ulong MaxGap = 1 << 20;
    private static readonly TimeSpan ProgressPause = TimeSpan.FromSeconds(3);
    private readonly List<Entered> _unconfirmed = [];
    private List<Entered> _records = [];
    private long _recordBytes;
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _said = Stopwatch.GetTimestamp();
    private long _from;
    private long _read;
    private ulong _newest;

    // Before: the arrival number of the record before it in the log, erased or not.
    private sealed record Entered(EventRecord Record, long Position, ulong Arrival, ulong Before);

    /// <summary>Opens the index, in step with the log.</summary>
    /// <param name="mark">Says whether the index can be believed.</param>
    /// <param name="rebuild">True when it is not to be, whatever the mark says.</param>
    /// <param name="last">The newest arrival number.</param>
    public EventIndex OpenIndex(IndexMark mark, bool rebuild, out ulong last)
    {
        var index = rebuild ? null : TryOpenTrusted(mark);
        var isNew = index is null;
        if (index is null)
        {
            // The mark first: an index that is half built when the process ends has none.
            mark.Distrust();
            if (Directory.Exists(paths.Index))
            {
                log.IndexRebuilt();
                Directory.Delete(paths.Index, recursive: true);
            }

            index = new EventIndex(paths.Index, eventLog);
        }

        try
        {
            mark.Begin();
            using (var txn = index.BeginWrite())
            {
                index.WriteRun(txn, mark.Run);
                txn.Commit();
            }

            last = Replay(index, mark.CleanEnd);
            RemoveWhatMayNotBeHeld(index);
            if (isNew && _read > BatchSize)
            {
                log.IndexReady(_read, Stopwatch.GetElapsedTime(_started).TotalSeconds);
            }

            return index;
        }
        catch
        {
            index.Dispose();
            throw;
        }
    }

    // Null when there is any doubt about it.
    private EventIndex? TryOpenTrusted(IndexMark mark)
    {
        if (!mark.IsTrustworthy || !Directory.Exists(paths.Index))
        {
            return null;
        }

        EventIndex? index = null;
        try
        {
            index = new EventIndex(paths.Index, eventLog);
            if (IsInStep(index, mark.Run))
            {
                return index;
            }
        }
        catch (LmdbException exception) when (exception.IsDamage)
        {
            log.IndexUnreadable(exception.Message);
        }

        index?.Dispose();
        return null;
    }

    // The index is of the mark's run, and its newest event is where it says, in this log.
    private bool IsInStep(EventIndex index, string run)
    {
        using var txn = index.BeginRead();
        if (index.ReadRun(txn) != run)
        {
            return false;
        }

        var (end, _) = index.ReadProgress(txn);
        if (end > (long)eventLog.Segments.Count * eventLog.SegmentSize)
        {
            return false;
        }

        if (!index.TryReadNewest(txn, out var newest))
        {
            return true;
        }

        return eventLog.TryLocate(newest.Position, out var segment)
            && LogRecord.TryReadHeader(segment.Map((int)(newest.Position - segment.Start)), newest.Position, out var header)
            && header.Length == newest.Length
            && NostrEventReader.TryRead(eventLog.Peek(newest.Position, newest.Length), out var view, out _)
            && view.Id == newest.Id;
    }

    private ulong Replay(EventIndex index, long cleanEnd)
    {
        ulong known;
        using (var txn = index.BeginRead())
        {
            (_from, known) = index.ReadProgress(txn);
            _newest = known;
        }

        using var entering = new EnteringThread(index);
        var walk = LogRecovery.Run(eventLog, _from, known, cleanEnd, Visit, damaged.Keep);
        entering.Finish();
        var last = Math.Max(known, walk.Last);

        // The process ended between the write of a single event and the check of its signature.
        foreach (var deferred in _unconfirmed)
        {
            if (!deferred.Record.IsSignatureCorrect())
            {
                _records.Remove(deferred);
                if (deferred.Arrival == last)
                {
                    eventLog.Rollback(deferred.Position);
                    last = deferred.Before; // its number is given again, no number of a record that is still in the log
                }
                else
                {
                    eventLog.Erase([(deferred.Position, deferred.Record.Json.Length)]);
                }
            }
        }

        if (last != known || eventLog.End != _from || _records.Count > 0)
        {
            Enter(index, _records, eventLog.End, last);
        }

        return last;

        void Visit(in LogEntry entry, ReadOnlySpan<byte> json)
        {
            // What was flushed before this one was appended had been accepted.
            var durableTo = entry.DurableTo;
            _unconfirmed.RemoveAll(waiting => waiting.Position < durableTo);
            if ((_records.Count >= BatchSize || _recordBytes >= BatchBytes) && _unconfirmed.Count == 0)
            {
                entering.Add(_records, entry.Position);
                (_records, _recordBytes) = (new List<Entered>(BatchSize), 0);
                SayProgress(entry.Position);
            }

            _read++;
            var before = _newest;
            if (!json.IsEmpty || entry.Arrival - before < MaxGap) // what version 1 says of erased records is believed only as far as it makes sense
            {
                _newest = entry.Arrival;
            }

            if (!json.IsEmpty && NostrEventReader.TryRead(json, out var view, out _))
            {
                var entered = new Entered(EventRecord.Create(view, (entry.Flags & LogRecord.VanishesHere) != 0), entry.Position, entry.Arrival, before);
                _records.Add(entered);
                _recordBytes += json.Length;
                if ((entry.Flags & LogRecord.Deferred) != 0)
                {
                    _unconfirmed.Add(entered);
                }
            }
        }
    }

    private static void Enter(EventIndex index, List<Entered> records, long end, ulong last)
    {
        using var txn = index.BeginWrite();
        foreach (var (record, position, arrival, _) in records)
        {
            switch (index.Judge(txn, record))
            {
                case StoreVerdict.Stored:
                    index.Insert(txn, record, arrival, position);
                    break;
                case StoreVerdict.Duplicate:
                    break;
                default: // it was removed before the crash and its bytes still wait to be overwritten
                    index.QueueErasure(txn, arrival, position, record.Json.Length);
                    break;
            }
        }

        index.WriteProgress(txn, end, last);
        txn.Commit();
    }

    // An earlier program, or an import with one, may have stored them.
    private static void RemoveWhatMayNotBeHeld(EventIndex index)
    {
        foreach (var kind in KindRules.OnlyEncrypted)
        {
            while (true)
            {
                using var txn = index.BeginWrite();
                var due = index.ReadKind(txn, kind, BatchSize);
                if (due.Count == 0)
                {
                    break;
                }

                foreach (var arrival in due)
                {
                    index.Remove(txn, arrival);
                }

                txn.Commit();
            }
        }
    }

    private void SayProgress(long position)
    {
        if (Stopwatch.GetElapsedTime(_said) >= ProgressPause)
        {
            _said = Stopwatch.GetTimestamp();
            var total = ((long)eventLog.Segments.Count * eventLog.SegmentSize) - _from; // its last file may be empty for the most part
            log.IndexProgress(_read, (position - _from) * 100 / Math.Max(1, total));
        }
    }

    /// <summary>Enters full batches in order on a thread of its own, while the next are read and parsed. Begun with the first: most starts have less
    /// than one.</summary>
    private sealed class EnteringThread(EventIndex index) : IDisposable
    {
        private readonly BlockingCollection<(List<Entered> Records, long End)> _waiting = new(MaxWaitingBatches);
        private readonly CancellationTokenSource _failed = new();
        private Thread? _thread;
        private ExceptionDispatchInfo? _failure;

        /// <summary>Waits while too many wait.</summary>
        public void Add(List<Entered> records, long end)
        {
            if (_thread is null)
            {
                _thread = new Thread(Run) { IsBackground = true, Name = "index from log" };
                _thread.Start();
            }

            try
            {
                _waiting.Add((records, end), _failed.Token);
            }
            catch (OperationCanceledException)
            {
                Finish();
            }
        }

        /// <summary>Waits until all are entered.</summary>
        /// <exception cref="IOException">One was not.</exception>
        public void Finish()
        {
            _waiting.CompleteAdding();
            _thread?.Join();
            _failure?.Throw();
        }

        public void Dispose()
        {
            _waiting.CompleteAdding();
            _thread?.Join();
            _waiting.Dispose();
            _failed.Dispose();
        }

        private void Run()
        {
            try
            {
                foreach (var (records, end) in _waiting.GetConsumingEnumerable())
                {
                    Enter(index, records, end, records[^1].Arrival);
                }
            }
            catch (Exception exception)
            {
                _failure = ExceptionDispatchInfo.Capture(exception);
                _failed.Cancel();
            }
        }
    }
}
