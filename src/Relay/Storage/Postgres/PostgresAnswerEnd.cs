using Marmot.Protocol.Filters;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>Where an answer of the database ends. One row more than a filter's limit was read: it says that there is more, and is not sent.</summary>
internal static class PostgresAnswerEnd
{
    /// <summary>The answer to one filter. Where the relay's own limit ended it, it ends as <see cref="ReadScope.KeepsSeconds"/> says.</summary>
    /// <param name="store">Asked for the rest of the second.</param>
    /// <param name="filter">The filter.</param>
    /// <param name="scope">Learns what was left out.</param>
    /// <param name="upTo">The mark of the answer.</param>
    /// <param name="limit">The relay's own limit.</param>
    /// <param name="keys">What was read, in answer order; changed.</param>
    /// <param name="cancel">Gives it up.</param>
    public static async ValueTask<List<StoredKey>> CutAsync(
        PostgresEventStore store, Filter filter, ReadScope scope, ulong upTo, int limit, List<StoredKey> keys, CancellationToken cancel)
    {
        var most = Math.Min(limit, filter.Limit ?? int.MaxValue);
        if (keys.Count <= most)
        {
            return keys;
        }

        var last = keys[most - 1].CreatedAt;
        var endsInside = keys[most].CreatedAt == last;
        var isOneSecond = keys[0].CreatedAt == last;
        keys.RemoveRange(most, keys.Count - most);
        if (!scope.KeepsSeconds || limit >= (filter.Limit ?? int.MaxValue) || (!endsInside && !isOneSecond))
        {
            scope.Leave(StoredRest.More);
            return keys;
        }

        var known = keys.Where(key => key.CreatedAt == last).Select(key => key.Arrival).ToHashSet();
        var rest = new ReadScope(scope.Keys, scope.GiftWrapsOpen, scope.Now) { MaxWork = scope.MaxWork };
        var found = await store.QueryAsync(Until(filter, last), rest, upTo, known.Count + most + 1, cancel);
        keys.AddRange(found.Where(key => key.CreatedAt == last && !known.Contains(key.Arrival)));
        scope.Work += rest.Work;
        var older = found.Count(key => key.CreatedAt < last);
        if (older > 0 && isOneSecond)
        {
            keys.Add(found[^older--]);
        }

        scope.Leave(older > 0 ? StoredRest.More : rest.Rest);
        return keys;
    }

    private static Filter Until(Filter filter, long until) => new()
    {
        Ids = filter.Ids,
        Authors = filter.Authors,
        Kinds = filter.Kinds,
        Tags = filter.Tags,
        Since = filter.Since,
        Until = until,
    };
}
