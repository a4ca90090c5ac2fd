using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Storage;

/// <summary>What became of one event of a batch.</summary>
internal enum StoreVerdict
{
    Stored,
    Duplicate,

    /// <summary>A newer event fills its replaceable or addressable slot.</summary>
    Superseded,

    /// <summary>It was deleted before (NIP-09); it stays so.</summary>
    Deleted,

    /// <summary>Its author asked to vanish (NIP-62).</summary>
    Vanished,

    /// <summary>Its signature was left to the store, and is not its author's.</summary>
    WrongSignature,

    /// <summary>Its kind is one that no relay may hold (<see cref="StoreEntrance"/>).</summary>
    NeverStored,

    /// <summary>It is longer than the relay takes.</summary>
    TooLarge,

    /// <summary>It is dated further ahead than the relay takes.</summary>
    TooNew,
}

/// <summary>One event of a batch and, after the write, its outcome.</summary>
internal sealed class EventWrite(EventRecord record)
{
    private bool _isDeferred;

    public EventRecord Record { get; } = record;

    /// <summary>The signature is left to the store, if it is local: it is checked before the event counts, that of a lone one while the disk is at
    /// work.</summary>
    public bool IsDeferred { get => _isDeferred; init => _isDeferred = value; }

    /// <summary>Of a vanish request (NIP-62): up to this arrival number nothing is left of what it removes; 0 when all is still to be looked
    /// for. A store may look for all the same.</summary>
    public ulong RemovedUpTo { get; init; }

    public StoreVerdict Verdict { get; set; }

    /// <summary>The store's arrival number, counted from 1; 0 when nothing was stored.</summary>
    public ulong Arrival { get; set; }

    /// <summary>Checks a deferred signature, once.</summary>
    /// <returns>False when it is wrong; the verdict says so too.</returns>
    public bool IsSignatureCorrect()
    {
        if (IsDeferred && !Record.IsSignatureCorrect())
        {
            Verdict = StoreVerdict.WrongSignature;
            return false;
        }

        _isDeferred = false;
        return true;
    }
}

/// <summary>What a query left out of its answer because of a limit. Ordered: of several filters the greatest counts.</summary>
internal enum StoredRest
{
    /// <summary>Nothing: all that the filter selects is in the answer.</summary>
    None,

    /// <summary>Whether there is more was not looked for, or not to the end.</summary>
    Unknown,

    /// <summary>There is at least one more event.</summary>
    More,
}

/// <summary>Who asks, and when: what they may see of gift wraps (NIP-59) and of expiring events (NIP-40).</summary>
/// <param name="Keys">The keys authenticated on the connection (NIP-42).</param>
/// <param name="GiftWrapsOpen">True where the operator serves wraps to everybody.</param>
/// <param name="Now">Unix seconds.</param>
internal sealed record ReadScope(Bytes32[] Keys, bool GiftWrapsOpen, long Now)
{
    /// <summary>Index entries one query may look at before it is given up; a store without such a measure bounds its time instead.</summary>
    public int MaxWork { get; init; } = int.MaxValue;

    /// <summary>Index entries looked at so far; a store without such a measure leaves it alone.</summary>
    public long Work { get; set; }

    /// <summary>
    /// An answer that the relay's own limit ends takes in all events of its oldest second, up to as many again, and one older event where it is of
    /// one second alone, so that the asker can go on from there (NIP-67). The limit of the filter itself is kept to the letter.
    /// </summary>
    public bool KeepsSeconds { get; init; }

    /// <summary>What the queries so far left out.</summary>
    public StoredRest Rest { get; private set; }

    /// <summary>A query left something out, or may have.</summary>
    public void Leave(StoredRest rest) => Rest = rest > Rest ? rest : Rest;

    /// <summary>The asker's turn at the cores, held while a query runs; a store gives it up between two slices when others wait. Null for the operator's own
    /// tools.</summary>
    public FairTurn? Turn { get; init; }

    /// <summary>For the operator's own tools.</summary>
    public static ReadScope Everything(long now) => new([], GiftWrapsOpen: true, now);
}

/// <summary>A filter makes the store look at more than <see cref="ReadScope.MaxWork"/> allows.</summary>
internal sealed class QueryTooWideException() : Exception("the query costs too much");

/// <summary>One answer of a query: its arrival number and what orders and names it.</summary>
internal readonly record struct StoredKey(ulong Arrival, long CreatedAt, Bytes32 Id, int Kind);

/// <summary>What a subscription begins with: all that its filters select up to the mark, in answer order; what arrives after the mark comes live.</summary>
internal sealed record StoredAnswer(ulong Mark, IReadOnlyList<StoredKey> Keys);

/// <summary>Takes stored events in answer order.</summary>
internal interface IStoredEventSink
{
    /// <summary>Copies what it wants; the bytes are gone afterwards. False to stop after this one.</summary>
    bool Accept(ulong arrival, ReadOnlySpan<byte> json);
}

/// <summary>The event store: durable writes from one owner, snapshot reads from anybody.</summary>
/// <remarks>No member has a body here: a store that wraps another would silently take it instead of the other's own. A test holds that.</remarks>
internal interface IEventStore : IAsyncDisposable
{
    /// <summary>Arrival number of the newest durable event; grows before the write returns.</summary>
    ulong HighWaterMark { get; }

    /// <summary>The mark as it is over all replicas: nothing that was acknowledged before the call is above it.</summary>
    ValueTask<ulong> ReadMarkAsync(CancellationToken cancel);

    /// <summary>A write waits for nothing but a disk of this machine.</summary>
    bool IsLocal { get; }

    /// <summary>Records that were found damaged, and that the operator has not dealt with yet. From memory.</summary>
    int DamagedRecords { get; }

    /// <summary>True only when the event is stored; false may mean that the store would have to ask. Cheap: asked before any signature check.</summary>
    bool IsKnown(in Bytes32 id);

    /// <summary>Writes a batch in order; on return every stored event is on disk. Called by the single writer only.</summary>
    /// <exception cref="IOException">Nothing of the batch was stored.</exception>
    ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel);

    /// <summary>Does beforehand what makes the next write quick. Called by the single writer only, when nothing waits for it.</summary>
    void Prepare();

    /// <summary>Finds what a filter selects among events up to <paramref name="upTo"/>: newest first, ties by lowest id, at most its limit.</summary>
    /// <exception cref="QueryTooWideException">It would look at more than the scope allows.</exception>
    ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel);

    /// <summary><see cref="ReadMarkAsync"/> and the query of each filter in one, where that is quicker: the mark and what the filters select together up to it,
    /// each event once.</summary>
    /// <returns>Null when it is not quicker here, or the filters leave nothing to ask for.</returns>
    /// <exception cref="QueryTooWideException">It would look at more than the scope allows.</exception>
    ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel);

    /// <summary>How many events up to <paramref name="upTo"/> a filter selects; its own limit does not count.</summary>
    ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel);

    /// <summary>Hands out events by arrival number, in the order given; those removed meanwhile are left out.</summary>
    /// <returns>How many numbers were used up.</returns>
    ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel);

    /// <summary>Removes events. Called by the single writer only.</summary>
    /// <param name="keys">Which; those that are not there any more are passed over.</param>
    /// <param name="erase">Whether their bytes are overwritten before it returns, where the store does that itself; else
    /// <see cref="MaintainAsync"/> does it.</param>
    /// <param name="cancel">Gives it up.</param>
    /// <returns>How many there were.</returns>
    ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel);

    /// <summary>Removes what expired, and overwrites the bytes of everything removed so far. Called by the single writer only.</summary>
    /// <param name="now">Unix seconds by <see cref="Marmot.Hosting.Deletion.DeletionDate"/>.</param>
    /// <param name="cancel">Gives it up.</param>
    /// <returns>True when there is more to do at once.</returns>
    ValueTask<bool> MaintainAsync(long now, CancellationToken cancel);

    ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel);
}

/// <summary>Sizes for the operator.</summary>
internal sealed record StoreStatistics(long Events, ulong NewestArrival, long LogBytes, long AwaitingErasure, long Damaged);
