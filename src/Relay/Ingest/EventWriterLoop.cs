using System.Threading.Channels;
using Marmot.Hosting.Deletion;
using Marmot.Protocol.Events;
using Marmot.Relay.Live;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Ingest;

/// <summary>An event on its way to the store and who waits for its OK.</summary>
internal sealed class PendingEvent(EventWrite write, ReplyTarget sender)
{
    public EventWrite Write { get; } = write;

    public ReplyTarget Sender { get; } = sender;

    /// <summary>Told when it is written, or refused; null when nobody waits for that.</summary>
    public TaskCompletionSource? Done { get; init; }
}

/// <summary>The single owner of the store's writes: takes what waits, writes it as one batch, then answers OK and passes it on.</summary>
/// <remarks>
/// Group commit: at low load a batch is one event, at high load many. The channel is bounded; a full one makes connections wait. Its own
/// thread, since it blocks on the disk; a single event on an idle relay is written by the thread that brought it. Locks: docs/locking.md.
/// </remarks>
internal sealed class EventWriterLoop(
    IEventStore store, ILiveFeed feed, TimeProvider clock, DeletionDate deletion, RelayMetrics metrics, ILogger<EventWriterLoop> log)
    : IHostedService, IDisposable
{
    private const int MaxBatch = 500;
    private const int MinBatch = 128;
    private const int MaxInlineFlushes = 16;
    private const int MaxBatchBytes = 2 << 20;
    private const int MaxRemoved = 100; // at once: about a millisecond
    private const int HeavyTags = 50; // entries of the index, about half a millisecond
    private static readonly TimeSpan MaintenancePause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan UnfinishedPause = TimeSpan.FromMilliseconds(20);

    private readonly Channel<PendingEvent> _channel = Channel.CreateBounded<PendingEvent>(
        new BoundedChannelOptions(8192) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly Channel<Func<Task>> _work = Channel.CreateUnbounded<Func<Task>>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource _stop = new();
    private readonly AutoResetEvent _wake = new(initialState: false);
    private readonly Lock _writing = new();
    private readonly FairScheduler _heavy = new(turns: 1);
    private bool _closed;
    private bool _sleeping;
    private Thread? _thread;
    private volatile string? _failure;

    /// <summary>Why the last write failed; null when it succeeded.</summary>
    public string? Failure => _failure;

    /// <summary>Hands an event to the writer's thread; waits while too many are on their way.</summary>
    /// <param name="evt">The event.</param>
    /// <param name="sender">Who sent it.</param>
    /// <param name="cancel">Ends the waiting.</param>
    /// <param name="removedUpTo"><see cref="EventWrite.RemovedUpTo"/>.</param>
    public ValueTask SubmitAsync(VerifiedEvent evt, ReplyTarget sender, CancellationToken cancel, ulong removedUpTo = 0)
    {
        var write = new EventWrite(evt.Record) { RemovedUpTo = removedUpTo };
        if (IsHeavy(evt.Record))
        {
            return SubmitHeavyAsync(write, sender, cancel);
        }

        var pending = new PendingEvent(write, sender);
        if (_channel.Writer.TryWrite(pending))
        {
            pending.Sender.BeginOk();
            Wake();
            return default;
        }

        return SubmitSlowAsync(pending, cancel);
    }

    /// <summary>Writes an event that came alone on the caller's thread, which spares the way to another thread and back.</summary>
    /// <returns>False when the store is not of this machine, or somebody else writes: <see cref="SubmitAsync"/> is the way then.</returns>
    public bool TryWrite(VerifiedEvent evt, ReplyTarget sender) => TryWriteHere(evt.Record, isDeferred: false, sender);

    /// <summary>As <see cref="TryWrite"/>, for an event whose signature the store checks while the disk is at work. The only method that takes such a
    /// one.</summary>
    /// <returns>False when it was not written: <see cref="EventCheck.TryComplete"/> is the way then.</returns>
    public bool TryWriteDeferred(DeferredEvent evt, ReplyTarget sender) => TryWriteHere(evt.Record, isDeferred: true, sender);

    private bool TryWriteHere(EventRecord record, bool isDeferred, ReplyTarget sender)
    {
        // Never inside another write: what it stored is passed on in order.
        if (!store.IsLocal || IsHeavy(record) || _writing.IsHeldByCurrentThread || !_writing.TryEnter())
        {
            return false;
        }

        try
        {
            if (_closed || _channel.Reader.Count > 0)
            {
                return false;
            }

            var pending = new PendingEvent(new EventWrite(record) { IsDeferred = isDeferred }, sender);
            sender.BeginOk();
            WriteBatch([pending], [pending.Write]);
        }
        catch (Exception exception)
        {
            log.LoopFailed(nameof(EventWriterLoop), exception);
        }
        finally
        {
            _writing.Exit();
        }

        return true;
    }

    // Of the events that take the writer long one is on its way at a time, of one address after the other: what others publish goes in between.
    private async ValueTask SubmitHeavyAsync(EventWrite write, ReplyTarget sender, CancellationToken cancel)
    {
        var pending = new PendingEvent(write, sender) { Done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously) };
        await _heavy.EnterAsync(sender.Turn.Lane);
        try
        {
            await SubmitSlowAsync(pending, cancel);
            await pending.Done.Task.WaitAsync(cancel);
        }
        finally
        {
            _heavy.Leave(sender.Turn.Lane);
        }
    }

    private static bool IsHeavy(EventRecord record) => record.Tags.Length > HeavyTags;

    private async ValueTask SubmitSlowAsync(PendingEvent pending, CancellationToken cancel)
    {
        await _channel.Writer.WriteAsync(pending, cancel);
        pending.Sender.BeginOk();
        Wake();
    }

    /// <summary>Removes events on the writer's thread, few at a time: what others publish is written in between. Their bytes are overwritten within
    /// seconds.</summary>
    /// <param name="keys">Which.</param>
    /// <param name="cancel">Leaves the rest where it is.</param>
    public async Task<int> RemoveAsync(IReadOnlyList<StoredKey> keys, CancellationToken cancel)
    {
        var removed = 0;
        var start = 0;
        do
        {
            StoredKey[] few = [.. keys.Skip(start).Take(MaxRemoved)];
            removed += await RunAsync(() => store.RemoveAsync(few, erase: false, CancellationToken.None).AsTask()).WaitAsync(cancel);
            start += few.Length;
        }
        while (start < keys.Count);
        return removed;
    }

    /// <summary>Stores what the operator imports, on the writer's thread, and passes it on to those who listen.</summary>
    public Task WriteAsync(IReadOnlyList<EventWrite> batch) => RunAsync(async () =>
    {
        await store.WriteAsync(batch, CancellationToken.None);
        foreach (var write in batch)
        {
            if (write.Verdict == StoreVerdict.Stored)
            {
                await feed.PublishAsync(new LiveEvent(write.Record, write.Arrival), _stop.Token);
            }
        }

        return batch.Count;
    });

    private Task<int> RunAsync(Func<Task<int>> change)
    {
        var done = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var isTaken = _work.Writer.TryWrite(async () =>
        {
            try
            {
                done.SetResult(await change());
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or OperationCanceledException)
            {
                done.SetException(exception);
            }
        });
        if (!isTaken)
        {
            done.SetException(new IOException("the relay is stopping"));
        }

        Wake();
        return done.Task;
    }

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            var statistics = await store.ReadStatisticsAsync(cancellationToken);
            log.Ready(statistics.Events, statistics.NewestArrival);
        }
        catch (IOException)
        {
            // A database that is away is waited for; until then writes are refused, and /readyz says why.
        }

        _thread = new Thread(Run) { IsBackground = true, Name = nameof(EventWriterLoop) };
        _thread.Start();
    }

    /// <summary>Writes what was admitted, then ends.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _channel.Writer.TryComplete();
        Wake();
        await _stop.CancelAsync();
        if (_thread is { } thread)
        {
            await Task.Run(thread.Join, cancellationToken);
        }

        lock (_writing) // whoever writes on his own thread is waited for: the store is closed next
        {
            _closed = true;
        }
    }

    public void Dispose()
    {
        _stop.Dispose();
        _wake.Dispose();
    }

    private void Run()
    {
        var batch = new List<PendingEvent>(MaxBatch);
        var writes = new List<EventWrite>(MaxBatch);
        var maintained = 0L;
        while (true)
        {
            try
            {
                if (!WaitForEvents(maintained == 0 ? UnfinishedPause : MaintenancePause))
                {
                    _work.Writer.TryComplete();
                    if (!_work.Reader.TryPeek(out _))
                    {
                        return;
                    }
                }

                using var held = _writing.EnterScope();
                if (_work.Reader.TryRead(out var work)) // one, however many wait: events come in between
                {
                    work().GetAwaiter().GetResult();
                }

                // Half of what waits: while one half is written, the senders of the other are verifying their next events, and both cores work.
                var bytes = 0;
                var size = Math.Clamp(_channel.Reader.Count / 2, MinBatch, MaxBatch);
                while (batch.Count < size && bytes < MaxBatchBytes && _channel.Reader.TryRead(out var pending))
                {
                    batch.Add(pending);
                    writes.Add(pending.Write);
                    bytes += pending.Write.Record.Json.Length;
                }

                if (batch.Count > 0)
                {
                    WriteBatch(batch, writes);
                }

                if (clock.GetElapsedTime(maintained) >= MaintenancePause || maintained == 0)
                {
                    maintained = Maintain() ? 0 : clock.GetTimestamp();
                }
            }
            catch (Exception exception)
            {
                log.LoopFailed(nameof(EventWriterLoop), exception);
                Thread.Sleep(100); // a broken disk must not turn into a busy loop
            }
            finally
            {
                batch.ForEach(pending => pending.Done?.TrySetResult());
                batch.Clear();
                writes.Clear();
            }
        }
    }

    // True when there is more to do at once. A disk that takes nothing is tried again next time.
    private bool Maintain()
    {
        try
        {
            return MaintainAsync().GetAwaiter().GetResult();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            if (_failure is null)
            {
                log.WriteFailed(0, exception.Message);
                _failure = "the store cannot be maintained";
            }

            return false;
        }
    }

    private async Task<bool> MaintainAsync() =>
        await store.MaintainAsync((await deletion.GetAsync(CancellationToken.None)).ToUnixTimeSeconds(), CancellationToken.None);

    // False when the channel is complete and empty; true when something waits or maintenance is due. Sleeps without spinning: the core
    // belongs to whoever got the last OK and sends the next event.
    private bool WaitForEvents(TimeSpan pause)
    {
        Volatile.Write(ref _sleeping, true);
        Interlocked.MemoryBarrier(); // either we see what was just queued, or who queued it sees that we sleep
        if (!_channel.Reader.TryPeek(out _) && !_work.Reader.TryPeek(out _) && !_channel.Reader.Completion.IsCompleted)
        {
            _wake.WaitOne(pause);
        }

        Volatile.Write(ref _sleeping, false);
        return !_channel.Reader.Completion.IsCompleted;
    }

    private void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _sleeping))
        {
            _wake.Set();
        }
    }

    private void WriteBatch(List<PendingEvent> batch, List<EventWrite> writes)
    {
        // 1. To disk.
        var started = clock.GetTimestamp();
        try
        {
            store.WriteAsync(writes, CancellationToken.None).AsTask().GetAwaiter().GetResult();
            _failure = null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            if (_failure is null)
            {
                log.WriteFailed(batch.Count, exception.Message);
            }

            _failure = "events cannot be written";
            foreach (var pending in batch)
            {
                metrics.Refused(RejectPrefix.Error);
                pending.Sender.Outbox.SendOk(pending.Write.Record.Id, accepted: false, RejectReason.Error("the relay cannot write to its store now"));
            }

            Flush(batch);
            return;
        }

        metrics.Committed(clock.GetElapsedTime(started));

        // 2. The answers.
        foreach (var pending in batch)
        {
            Answer(pending);
        }

        Flush(batch);

        // 3. To those who listen.
        foreach (var pending in batch)
        {
            if (pending.Write.Verdict == StoreVerdict.Stored)
            {
                var published = feed.PublishAsync(new LiveEvent(pending.Write.Record, pending.Write.Arrival), _stop.Token);
                if (!published.IsCompletedSuccessfully)
                {
                    WaitForFanOut(published);
                }
            }
        }

        if (_channel.Reader.Count == 0)
        {
            store.Prepare();
        }
    }

    // Few senders are written to at once; were they many, the next batch would wait for that, so the thread pool does it.
    private static void Flush(List<PendingEvent> batch)
    {
        var senders = new HashSet<ReplyTarget>();
        foreach (var pending in batch)
        {
            senders.Add(pending.Sender);
        }

        if (senders.Count <= MaxInlineFlushes)
        {
            Flush(senders);
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(Flush, senders, preferLocal: false);
        }

        foreach (var pending in batch)
        {
            pending.Sender.EndOk();
        }
    }

    private static void Flush(HashSet<ReplyTarget> senders)
    {
        foreach (var sender in senders)
        {
            sender.Outbox.Flush();
        }
    }

    private static void WaitForFanOut(ValueTask published)
    {
        try
        {
            published.AsTask().GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            // stopping: the event is stored and its OK is out; nobody listens any more
        }
    }

    private void Answer(PendingEvent pending)
    {
        var id = pending.Write.Record.Id;
        metrics.Judged(pending.Write.Verdict);
        if (pending.Write.Verdict == StoreVerdict.Stored)
        {
            metrics.Stored(pending.Write.Record.Kind);
        }

        switch (pending.Write.Verdict)
        {
            case StoreVerdict.Stored:
                pending.Sender.Outbox.SendOk(id);
                pending.Sender.Trust();
                break;
            case StoreVerdict.Duplicate:
                pending.Sender.Outbox.SendOk(id, accepted: true, Rejections.AlreadyStored);
                break;
            case StoreVerdict.Superseded:
                pending.Sender.Outbox.SendOk(id, accepted: true, Rejections.Superseded);
                break;
            case StoreVerdict.WrongSignature:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.WrongSignature);
                pending.Sender.Distrust();
                break;
            case StoreVerdict.Deleted:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.Deleted);
                break;
            case StoreVerdict.NeverStored:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.OnlyEncrypted);
                break;
            case StoreVerdict.TooLarge:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.EventTooLarge);
                break;
            case StoreVerdict.TooNew:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.TooNew);
                break;
            default:
                pending.Sender.Outbox.SendOk(id, accepted: false, Rejections.Vanished);
                break;
        }
    }
}
