using System.Diagnostics;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Tests.Live;

public sealed class SubscriptionIndexTests
{
    private static Filter Tagged(params string[] values) => new() { Tags = new Dictionary<char, string[]> { ['t'] = values } };

    private static Subscription Open(SubscriptionIndex index, params Filter[] filters)
    {
        var subscription = new Subscription(null!, "s", filters);
        index.Add(subscription);
        return subscription;
    }

    [Fact]
    public void Leaving_takes_the_same_time_however_many_ask_for_the_same()
    {
        var index = new SubscriptionIndex();
        var others = Enumerable.Range(0, 100_000).Select(_ => Open(index, Tagged("x"))).ToArray();

        // The shape that stopped live delivery for hours: 200 requests of 20 filters of 1,000 equal values.
        var equal = Enumerable.Range(0, 20).Select(_ => Tagged([.. Enumerable.Repeat("x", 1000)])).ToArray();
        var hostile = Enumerable.Range(0, 200).Select(_ => Open(index, equal)).ToArray();
        var started = Stopwatch.GetTimestamp();
        Array.ForEach(hostile, index.Remove);
        Array.ForEach(others, index.Remove); // in the order of their arrival: a search from either end would take 5,000,000,000 steps
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(5), $"{Stopwatch.GetElapsedTime(started)}");
        Assert.Empty(Collect(index, Event(1, ["t", "x"])));
    }

    [Fact]
    public void Finds_what_a_look_at_every_filter_finds_however_subscriptions_come_and_go()
    {
        var random = new Random(17);
        var index = new SubscriptionIndex();
        var open = new List<Subscription>();
        var events = Enumerable.Range(0, 12).Select(i => Event(i % 3, ["t", $"v{i % 4}"], ["p", $"v{i % 5}"])).ToArray();
        var authors = events.Select(evt => evt.PublicKey).ToArray();
        var ids = events.Select(evt => evt.Id).ToArray();
        for (var step = 0; step < 3000; step++)
        {
            if (open.Count > 0 && random.Next(100) < 48)
            {
                var at = random.Next(open.Count);
                index.Remove(open[at]);
                open.RemoveAt(at);
            }
            else
            {
                open.Add(Open(index, [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomFilter())]));
            }

            if (step % 10 == 0)
            {
                var evt = events[random.Next(events.Length)];
                var expected = open.Where(subscription => subscription.Filters.Any(filter => Matches(filter, evt))).ToHashSet();
                var found = Collect(index, evt);
                Assert.Equal(found.Count, found.Distinct().Count());
                Assert.True(expected.SetEquals(found));
            }
        }

        Filter RandomFilter() => random.Next(6) switch
        {
            0 => new Filter { Ids = Some(ids), Kinds = [random.Next(3)] },
            1 => Tagged(Some(["v0", "v1", "v2", "v3", "v4"])),
            2 => new Filter { Tags = new Dictionary<char, string[]> { ['t'] = Some(["v0", "v1", "v2"]), ['p'] = Some(["v0", "v1", "v2", "v3"]) } },
            3 => new Filter { Authors = Some(authors) },
            4 => new Filter { Kinds = Some([0, 1, 2]) },
            _ => new Filter { Since = 0 },
        };

        T[] Some<T>(T[] of) => [.. Enumerable.Range(0, random.Next(1, of.Length)).Select(_ => of[random.Next(of.Length)])]; // equal ones among them
    }

    private static NostrEvent Event(int kind, params string[][] tags)
    {
        using var key = SecretKey.Generate();
        return NostrEvent.Create(key, kind, tags, "", 1_700_000_000);
    }

    private static bool Matches(Filter filter, NostrEvent evt)
    {
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
        return filter.Matches(view);
    }

    private ulong _number;

    private List<Subscription> Collect(SubscriptionIndex index, NostrEvent evt)
    {
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
        var found = new List<Subscription>();
        index.Collect(view, EventRecord.Create(view, vanishesHere: false).Tags, ++_number, found);
        return found;
    }
}
