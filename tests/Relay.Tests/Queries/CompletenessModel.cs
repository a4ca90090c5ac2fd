using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Queries;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Storage;

namespace Marmot.Relay.Tests.Queries;

/// <summary>A client that pages by NIP-67 on one side, a plain list of the stored events on the other; small limits, many ties.</summary>
internal static class CompletenessModel
{
    private const long Now = EventStoreContract.Now;
    private const int Events = 120;
    private const int Seconds = 25;
    private const int Questions = 300;

    private static readonly int[] Kinds = [1, 7, 445];

    /// <summary>Fills the store, asks, and checks each hint and each paged history.</summary>
    public static async Task CheckAsync(IEventStore store, int seed)
    {
        var random = new Random(seed);
        using var key = SecretKey.Generate();
        using var other = SecretKey.Generate();
        SecretKey[] authors = [key, other];
        string[][] Tags() => random.Next(2) == 0 ? [["t", $"{random.Next(3)}"]] : [];
        var events = Enumerable.Range(0, Events)
            .Select(i => NostrEvent.Create(authors[random.Next(2)], Kinds[random.Next(3)], Tags(), $"{i}", Now - random.Next(Seconds))).ToArray();
        var writes = events.Select(evt => new EventWrite(EventStoreContract.Record(evt))).ToArray();
        await store.WriteAsync(writes, CancellationToken.None);
        Assert.All(writes, write => Assert.Equal(StoreVerdict.Stored, write.Verdict));
        for (var i = 0; i < Questions; i++)
        {
            var cap = random.Next(1, 12);
            await CheckOneAsync(store, events, [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => MakeFilter(random, authors, events))], cap);
            await PageAsync(store, events, MakeFilter(random, authors, events).WithLimit(null), cap);
        }
    }

    private static Filter MakeFilter(Random random, SecretKey[] authors, NostrEvent[] events) => new()
    {
        Ids = random.Next(8) == 0 ? [.. events.Where(_ => random.Next(6) == 0).Select(evt => evt.Id).Append(default)] : null,
        Authors = random.Next(3) == 0 ? [authors[random.Next(2)].PublicKey] : null,
        Kinds = random.Next(2) == 0 ? [Kinds[random.Next(3)], Kinds[random.Next(3)]] : null,
        Tags = random.Next(3) == 0 ? new Dictionary<char, string[]> { ['t'] = ["0", $"{random.Next(3)}"] } : new Dictionary<char, string[]>(),
        Since = random.Next(3) == 0 ? Now - random.Next(Seconds) : null,
        Until = random.Next(3) == 0 ? Now - random.Next(Seconds) : null,
        Limit = random.Next(2) == 0 ? random.Next(0, 15) : null,
    };

    private static bool Selects(Filter filter, NostrEvent evt) =>
        (filter.Ids?.Contains(evt.Id) ?? true)
        && (filter.Authors?.Contains(evt.PublicKey) ?? true)
        && (filter.Kinds?.Contains(evt.Kind) ?? true)
        && evt.CreatedAt >= (filter.Since ?? long.MinValue)
        && evt.CreatedAt <= (filter.Until ?? long.MaxValue)
        && filter.Tags.All(wanted => evt.Tags.Any(tag => tag[0] == $"{wanted.Key}" && wanted.Value.Contains(tag[1])));

    private static async Task<(IReadOnlyList<StoredKey> Keys, StoredRest Left)> AskAsync(IEventStore store, Filter[] filters, int cap)
    {
        var scope = new ReadScope([], GiftWrapsOpen: false, Now) { KeepsSeconds = true };
        var answer = await store.TryAnswerAsync(filters, scope, cap, CancellationToken.None);
        var keys = answer?.Keys ?? await StoredEventScan.FindAsync(store, filters, scope, store.HighWaterMark, cap, CancellationToken.None);
        return (keys, scope.Rest);
    }

    // "finish" exactly when nothing is left; "more" only when something is. With a limit of 0 nothing was asked for and nothing is said.
    private static async Task CheckOneAsync(IEventStore store, NostrEvent[] events, Filter[] filters, int cap)
    {
        var (keys, rest) = await AskAsync(store, filters, cap);
        var sent = keys.Select(found => found.Id).ToHashSet();
        Assert.Equal(keys.Count, sent.Count);
        Assert.Equal(keys.OrderByDescending(found => found.CreatedAt).ThenBy(found => found.Id), keys);
        var lacking = filters.Any(filter => events.Any(evt => Selects(filter, evt) && !sent.Contains(evt.Id)));
        Assert.False(lacking && rest == StoredRest.None, "nothing is left, it says, and something is");
        var cut = filters.Any(filter => events.Count(evt => Selects(filter, evt)) > Math.Min(cap, filter.Limit ?? int.MaxValue));
        if (!filters.Any(filter => filter.Limit == 0))
        {
            Assert.Equal(cut && rest != StoredRest.None, rest == StoredRest.More);
            Assert.True(cut || rest == StoredRest.None);
        }

        if (filters is [{ Limit: { } limit }] && limit <= cap)
        {
            Assert.True(keys.Count <= limit);
        }
    }

    // As a client does it: from the oldest second on, that one included, until the relay says that it was all.
    private static async Task PageAsync(IEventStore store, NostrEvent[] events, Filter filter, int cap)
    {
        var all = events.Where(evt => Selects(filter, evt)).ToArray();
        var got = new HashSet<Bytes32>();
        var page = filter;
        while (true)
        {
            var (keys, rest) = await AskAsync(store, [page], cap);
            var before = got.Count;
            got.UnionWith(keys.Select(found => found.Id));
            if (rest == StoredRest.None)
            {
                Assert.True(got.SetEquals(all.Select(evt => evt.Id)));
                return;
            }

            if (got.Count == before)
            {
                // Only a second that holds more than twice the limit, or ids, which have no second that one could go on from.
                Assert.True(filter.Ids is not null || all.GroupBy(evt => evt.CreatedAt).Any(second => second.Count() > 2 * cap));
                return;
            }

            page = new Filter
            {
                Ids = filter.Ids,
                Authors = filter.Authors,
                Kinds = filter.Kinds,
                Tags = filter.Tags,
                Since = filter.Since,
                Until = keys[^1].CreatedAt,
            };
        }
    }
}
