using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Storage;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Queries;

/// <summary>A slow, obvious reading of NIP-01, NIP-40 and NIP-59 on one side; the query engine, COUNT, live matching and negentropy on the other.</summary>
public sealed class FilterModelTests
{
    private const long Now = 1_700_000_000;
    private const int EventCount = 2000;
    private const int FilterCount = 500; // 500 x 2,000 = a million pairs

    private static readonly string[] Values = ["a", "b", "", new('c', 64), "quote\" and \\ and \n", "ü", "\u0001", "A"];
    private static readonly string[] Letters = ["t", "h", "d", "T", "i"];
    private static readonly int[] Kinds = [1, 7, 445, 1059, 30_443, 65_535];

    /// <summary>An event as an unsuspecting JSON parser sees it.</summary>
    private sealed record PlainEvent(string Id, string Author, long CreatedAt, int Kind, string[][] Tags)
    {
        public long Expiration =>
            Tags.FirstOrDefault(t => t[0] == "expiration") is { Length: > 1 } tag
                ? long.Parse(tag[1], System.Globalization.CultureInfo.InvariantCulture)
                : long.MaxValue;

        public static PlainEvent Read(ReadOnlyMemory<byte> json)
        {
            var root = JsonDocument.Parse(json).RootElement;
            return new PlainEvent(
                root.GetProperty("id").GetString()!,
                root.GetProperty("pubkey").GetString()!,
                root.GetProperty("created_at").GetInt64(),
                root.GetProperty("kind").GetInt32(),
                [.. root.GetProperty("tags").EnumerateArray().Select(t => t.EnumerateArray().Select(i => i.GetString()!).ToArray())]);
        }
    }

    private sealed record PlainFilter(string[]? Ids, string[]? Authors, int[]? Kinds, Dictionary<string, string[]> Tags, long? Since, long? Until, int? Limit)
    {
        public bool Matches(PlainEvent e) =>
            (Ids is null || Ids.Contains(e.Id))
            && (Authors is null || Authors.Contains(e.Author))
            && (Kinds is null || Kinds.Contains(e.Kind))
            && (Since is null || e.CreatedAt >= Since)
            && (Until is null || e.CreatedAt <= Until)
            && Tags.All(wanted => e.Tags.Any(tag => tag.Length > 1 && tag[0] == wanted.Key && wanted.Value.Contains(tag[1])));

        public Filter ToFilter()
        {
            var members = new Dictionary<string, object>();
            void Add(string name, object? value)
            {
                if (value is not null)
                {
                    members.Add(name, value);
                }
            }

            Add("ids", Ids);
            Add("authors", Authors);
            Add("kinds", Kinds);
            Add("since", Since);
            Add("until", Until);
            Add("limit", Limit);
            foreach (var (letter, values) in Tags)
            {
                Add("#" + letter, values);
            }

            var reader = new Utf8JsonReader(JsonSerializer.SerializeToUtf8Bytes(members));
            return Filter.TryRead(ref reader, out var filter, out var reason) ? filter : throw new InvalidOperationException(reason.ToString());
        }
    }

    private static NostrEvent[] MakeEvents(Random random, SecretKey[] keys) =>
        [.. Enumerable.Range(0, EventCount).Select(i =>
        {
            var kind = Kinds[random.Next(Kinds.Length)];
            var tags = Enumerable.Range(0, random.Next(4))
                .Select(_ => new[] { Letters[random.Next(Letters.Length)], Values[random.Next(Values.Length)] }).ToList();
            if (kind == 30_443)
            {
                tags.Insert(0, ["d", $"{i}"]); // a slot of its own
            }

            if (kind == 1059)
            {
                tags.Add(["p", keys[random.Next(keys.Length)].PublicKey.ToString()]);
            }

            if (random.Next(10) == 0)
            {
                tags.Add(["expiration", $"{Now + random.Next(-20, 20)}"]);
            }

            if (random.Next(5) == 0)
            {
                tags.Add([Letters[random.Next(Letters.Length)]]); // without a value
                tags.Add(["long", "a"]);
            }

            return NostrEvent.Create(keys[random.Next(keys.Length)], kind, [.. tags], $"{i}", Now + random.Next(40));
        })];

    private static PlainFilter MakeFilter(Random random, PlainEvent[] events, SecretKey[] keys)
    {
        T[]? Some<T>(T[] all, int oneIn) => random.Next(oneIn) > 0 ? null : [.. all.Where(_ => random.Next(2) == 0)];
        var tags = Letters.Where(_ => random.Next(6) == 0).ToDictionary(l => l, _ => Values.Where(_ => random.Next(2) == 0).ToArray());
        if (random.Next(6) == 0)
        {
            tags["p"] = [.. keys.Where(_ => random.Next(2) == 0).Select(k => k.PublicKey.ToString())];
        }

        return new PlainFilter(
            random.Next(8) > 0 ? null : [.. events.Where(_ => random.Next(50) == 0).Select(e => e.Id)],
            Some([.. keys.Select(k => k.PublicKey.ToString())], 3),
            Some(Kinds, 3),
            tags,
            random.Next(2) == 0 ? null : Now + random.Next(40),
            random.Next(2) == 0 ? null : Now + random.Next(40),
            random.Next(2) == 0 ? null : random.Next(60));
    }

    [Theory]
    [Trait("Spec", "NIP-01")]
    [InlineData(20_250_101)]
    public async Task Agrees_on_a_million_pairs_with_the_query_engine_count_live_matching_and_negentropy(int seed)
    {
        var random = new Random(seed);
        var keys = Enumerable.Range(0, 4).Select(_ => SecretKey.Generate()).ToArray();
        var events = MakeEvents(random, keys);
        var plain = events.Select(e => PlainEvent.Read(e.Json)).ToArray();
        var filters = Enumerable.Range(0, FilterCount).Select(_ => MakeFilter(random, plain, keys)).ToArray();
        using var folder = new TemporaryFolder();
        await using var store = EmbeddedEventStore.Open(folder.File("store"));
        var writes = events.Select(e => new EventWrite(EventStoreContract.Record(e))).ToArray();
        foreach (var batch in writes.Chunk(500))
        {
            await store.WriteAsync(batch, CancellationToken.None);
        }

        Assert.All(writes, w => Assert.Equal(StoreVerdict.Stored, w.Verdict));

        // Seen by a stranger, by one recipient, and by the operator.
        ReadScope[] scopes = [new([], false, Now), new([keys[0].PublicKey], false, Now), ReadScope.Everything(Now)];
        bool MaySee(PlainEvent e, ReadScope scope) => e.Expiration > Now
            && (scope.GiftWrapsOpen || e.Kind != 1059 || e.Tags.Any(t => t.Length > 1 && t[0] == "p" && scope.Keys.Any(k => k.ToString() == t[1])));

        var index = new SubscriptionIndex();
        var subscriptions = filters.Select((f, i) => new Subscription(null!, $"{i}", [f.ToFilter()])).ToArray();
        Array.ForEach(subscriptions, index.Add);
        var expectedLive = events.Select(_ => new HashSet<string>()).ToArray();
        for (var i = 0; i < filters.Length; i++)
        {
            var filter = filters[i].ToFilter();
            var scope = scopes[i % scopes.Length];
            var matching = new List<PlainEvent>();
            for (var e = 0; e < plain.Length; e++)
            {
                if (filters[i].Matches(plain[e]))
                {
                    matching.Add(plain[e]);
                    expectedLive[e].Add($"{i}");
                }
            }

            var visible = matching.Where(e => MaySee(e, scope)).OrderByDescending(e => e.CreatedAt).ThenBy(e => e.Id, StringComparer.Ordinal)
                .Select(e => e.Id).ToList();

            // 1. The query engine, order and limit included, and COUNT.
            var found = await store.QueryAsync(filter, scope, store.HighWaterMark, 5000, CancellationToken.None);
            Assert.Equal(visible.Take(filters[i].Limit ?? 5000), found.Select(k => k.Id.ToString()));
            Assert.Equal(visible.Count, await store.CountAsync(filter, scope, store.HighWaterMark, CancellationToken.None));

            // 2. Negentropy against a side that has some of them and some others.
            var theirs = new NegentropySet(found.Select(k => new NegentropyItem(k.CreatedAt, k.Id)));
            var ours = plain.Where(_ => random.Next(3) == 0).ToArray();
            var set = new NegentropySet(ours.Select(e => new NegentropyItem(e.CreatedAt, Bytes32.ParseHex(e.Id))));
            List<Bytes32> have = [], need = [];
            for (var next = Reconciliation.Initiate(set); next is not null;)
            {
                Assert.True(Reconciliation.TryRespond(theirs, next, 60_000, out var answer));
                Assert.True(Reconciliation.TryReconcile(set, answer, 60_000, have, need, out next));
            }

            var there = visible.Take(filters[i].Limit ?? 5000).ToHashSet();
            Assert.Equal([.. ours.Select(e => e.Id).Where(id => !there.Contains(id))], have.Select(id => id.ToString()).ToHashSet());
            Assert.Equal([.. there.Except(ours.Select(e => e.Id))], need.Select(id => id.ToString()).ToHashSet());
        }

        // 3. Live matching: each event finds the subscriptions that want it, once each, and none after they are closed.
        var matches = new List<Subscription>();
        for (var e = 0; e < events.Length; e++)
        {
            matches.Clear();
            Assert.True(NostrEventReader.TryRead(events[e].Json.Span, out var view, out _));
            index.Collect(view, writes[e].Record.Tags, (ulong)e + 1, matches);
            Assert.Equal(matches.Count, matches.Distinct().Count());
            Assert.True(expectedLive[e].SetEquals(matches.Select(s => s.Id)), Encoding.UTF8.GetString(events[e].Json.Span));
        }

        Array.ForEach(subscriptions, index.Remove);
        matches.Clear();
        foreach (var evt in events)
        {
            Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
            index.Collect(view, EventRecord.ReadTags(view), ulong.MaxValue, matches);
        }

        Assert.Empty(matches);
        Array.ForEach(keys, k => k.Dispose());
    }
}
