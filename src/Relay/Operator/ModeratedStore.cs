using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>A store that takes nothing the operator has banned (NIP-86), so that no import and no other relay brings it back.</summary>
internal sealed class ModeratedStore(IEventStore store, Moderation moderation) : IEventStore
{
    public ulong HighWaterMark => store.HighWaterMark;

    public bool IsLocal => store.IsLocal;

    public int DamagedRecords => store.DamagedRecords;

    public ValueTask<ulong> ReadMarkAsync(CancellationToken cancel) => store.ReadMarkAsync(cancel);

    public bool IsKnown(in Bytes32 id) => store.IsKnown(id);

    public ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel)
    {
        var taken = new List<EventWrite>(batch.Count);
        foreach (var write in batch)
        {
            if (moderation.IsKeyBanned(write.Record.PublicKey) || moderation.IsEventBanned(write.Record.Id))
            {
                write.Verdict = StoreVerdict.Deleted;
            }
            else
            {
                taken.Add(write);
            }
        }

        return store.WriteAsync(taken, cancel);
    }

    public ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel) =>
        store.QueryAsync(filter, scope, upTo, limit, cancel);

    public ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel) =>
        store.TryAnswerAsync(filters, scope, maxLimit, cancel);

    public ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel) => store.CountAsync(filter, scope, upTo, cancel);

    public ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel) =>
        store.ReadAsync(keys, start, sink, cancel);

    public ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel) => store.RemoveAsync(keys, erase, cancel);

    public void Prepare() => store.Prepare();

    public ValueTask<bool> MaintainAsync(long now, CancellationToken cancel) => store.MaintainAsync(now, cancel);

    public ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel) => store.ReadStatisticsAsync(cancel);

    public ValueTask DisposeAsync() => default; // it is its opener's
}
