using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Queries;

/// <summary>Answers a filter with a search (NIP-50) by reading what its other conditions select, newest first, up to a bound.</summary>
/// <remarks>No words are indexed: see docs/decisions. So nothing of a deleted event stays behind in an index, on either storage.</remarks>
internal static class StoredSearch
{
    /// <summary>Events read for one filter; where the other conditions select more, the search ends with what the newest of them gave.</summary>
    public const int MaxRead = 50_000;

    /// <summary>Index entries that reading and searching an event stands for.</summary>
    private const int WorkPerEvent = 4;

    private const int PageSize = 500;

    /// <summary>As <see cref="IEventStore.QueryAsync"/>, search included.</summary>
    public static ValueTask<IReadOnlyList<StoredKey>> QueryAsync(
        IEventStore store, Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel) =>
        filter.Search is null ? store.QueryAsync(filter, scope, upTo, limit, cancel) : SearchAsync(store, filter, scope, upTo, limit, cancel);

    private static async ValueTask<IReadOnlyList<StoredKey>> SearchAsync(
        IEventStore store, Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel)
    {
        limit = Math.Min(limit, filter.Limit ?? int.MaxValue);
        if (limit <= 0)
        {
            scope.Leave(StoredRest.Unknown);
            return [];
        }

        var candidates = await store.QueryAsync(WithoutSearch(filter), scope, upTo, MaxRead, cancel);
        var page = new Page(filter.Search!, candidates, limit);
        var next = 0;
        while (next < candidates.Count && page.Found.Count < limit)
        {
            cancel.ThrowIfCancellationRequested();
            page.Start();
            next += await store.ReadAsync(candidates, next, page, cancel);
        }

        if (next < candidates.Count)
        {
            scope.Leave(StoredRest.Unknown); // what was not read may hold the words too
        }

        scope.Work += page.Read * WorkPerEvent;
        return page.Found;
    }

    private static Filter WithoutSearch(Filter filter) => new()
    {
        Ids = filter.Ids,
        Authors = filter.Authors,
        Kinds = filter.Kinds is { } kinds ? [.. kinds.Intersect(SearchText.Kinds)] : SearchText.Kinds,
        Tags = filter.Tags,
        Since = filter.Since,
        Until = filter.Until,
    };

    // Stops after a page, so that no read transaction of the store lasts.
    private sealed class Page(string search, IReadOnlyList<StoredKey> candidates, int limit) : IStoredEventSink
    {
        private int _left;
        private int _place;

        public List<StoredKey> Found { get; } = [];

        public long Read { get; private set; }

        public void Start() => _left = PageSize;

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Read++;
            while (candidates[_place].Arrival != arrival)
            {
                _place++; // removed meanwhile
            }

            if (NostrEventReader.TryRead(json, out var view, out _) && SearchText.Finds(search, view))
            {
                Found.Add(candidates[_place]);
            }

            return --_left > 0 && Found.Count < limit;
        }
    }
}
