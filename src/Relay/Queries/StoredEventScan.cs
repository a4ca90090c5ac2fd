using Marmot.Protocol.Filters;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Index;

namespace Marmot.Relay.Queries;

/// <summary>The stored part of an answer, in pages: no store transaction is open while a client reads slowly.</summary>
internal static class StoredEventScan
{
    private const int MaxPageBytes = 64 * 1024;
    private const int ResumeBytes = 32 * 1024;

    public static async ValueTask SendAsync(IEventStore store, Subscription subscription, IReadOnlyList<StoredKey> keys, int maxOutboxBytes,
        CancellationToken cancel)
    {
        if (keys.Count == 0)
        {
            return;
        }

        var sink = new OutboxSink(subscription, Math.Min(MaxPageBytes, maxOutboxBytes / 4));
        var client = subscription.Client;
        for (var next = 0; next < keys.Count;)
        {
            next += await store.ReadAsync(keys, next, sink, cancel);
            if (next == keys.Count && client.Outbox.PendingBytes <= ResumeBytes)
            {
                return; // a short answer leaves in one write with its EOSE
            }

            await client.Turn.WaitAsync(client.Outbox.WaitAsync(ResumeBytes, cancel));
            await client.Turn.YieldAsync();
            sink.StartPage();
        }
    }

    /// <summary>What the filters select together: each event once, newest first, ties by lowest id; the limit holds for each filter.</summary>
    public static async ValueTask<IReadOnlyList<StoredKey>> FindAsync(
        IEventStore store, Filter[] filters, ReadScope scope, ulong mark, int maxLimit, CancellationToken cancel)
    {
        if (filters.Length == 1)
        {
            return await StoredSearch.QueryAsync(store, filters[0], scope, mark, maxLimit, cancel);
        }

        var seen = new HashSet<ulong>();
        var merged = new List<StoredKey>();
        foreach (var filter in filters)
        {
            foreach (var key in await StoredSearch.QueryAsync(store, filter, scope, mark, maxLimit, cancel))
            {
                if (seen.Add(key.Arrival))
                {
                    merged.Add(key);
                }
            }

            if (scope.Turn is { } turn)
            {
                await turn.YieldAsync();
            }
        }

        merged.Sort(StoredQuery.AnswerOrder);
        return merged;
    }

    private sealed class OutboxSink(Subscription subscription, int pageBytes) : IStoredEventSink
    {
        private int _bytes;

        public void StartPage() => _bytes = 0;

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            subscription.Send(json);
            _bytes += json.Length;
            return _bytes < pageBytes;
        }
    }
}
