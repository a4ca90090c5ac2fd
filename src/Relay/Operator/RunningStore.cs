using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>The store of a running relay as its operator's commands see it: reads go straight to it, changes through its single writer, so that subscribers
/// hear what is imported.</summary>
internal sealed class RunningStore(IEventStore store, EventWriterLoop writer) : IEventStore
{
    public ulong HighWaterMark => store.HighWaterMark;

    public bool IsLocal => store.IsLocal;

    public int DamagedRecords => store.DamagedRecords;

    public ValueTask<ulong> ReadMarkAsync(CancellationToken cancel) => store.ReadMarkAsync(cancel);

    public bool IsKnown(in Bytes32 id) => store.IsKnown(id);

    public ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel) => new(writer.WriteAsync(batch).WaitAsync(cancel));

    public ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel) =>
        store.QueryAsync(filter, scope, upTo, limit, cancel);

    public ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel) =>
        store.TryAnswerAsync(filters, scope, maxLimit, cancel);

    public ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel) => store.CountAsync(filter, scope, upTo, cancel);

    public ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel) =>
        store.ReadAsync(keys, start, sink, cancel);

    public ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel) =>
        new(writer.RemoveAsync(keys, cancel)); // few at a time

    public void Prepare()
    {
        // The writer does it by itself.
    }

    public ValueTask<bool> MaintainAsync(long now, CancellationToken cancel) => new(false); // the writer does it by itself

    public ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel) => store.ReadStatisticsAsync(cancel);

    public ValueTask DisposeAsync() => default; // it is the relay's
}
