using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Live;

namespace Marmot.Relay.Tests.Live;

/// <summary>Measures the memory of the process, so nothing else may run meanwhile.</summary>
[Collection(Name)]
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FilterMemoryTests
{
    private const string Name = "memory of the process";

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 300)]
    [InlineData(20, 100)]
    public void The_memory_that_open_filters_count_for_is_near_what_they_take(int filters, int values)
    {
        var index = new SubscriptionIndex();
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, 1, [["p", Hex(0, 0, 0)]], "", 1_700_000_000);
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out _, out _));
        var subscriptions = new Subscription[(100_000 / filters / (values + 10)) + 20];
        var before = Collected();
        var counted = 0L;
        for (var i = 0; i < subscriptions.Length; i++)
        {
            var list = Enumerable.Range(0, filters).Select(f => new Filter
            {
                Kinds = [445],
                Tags = new Dictionary<char, string[]> { ['p'] = [.. Enumerable.Range(0, values).Select(v => Hex(i, f, v))] },
            }).ToArray();
            foreach (var filter in list)
            {
                NostrEventReader.TryRead(evt.Json.Span, out var view, out _);
                filter.Matches(view); // makes what it is matched with
            }

            counted += FilterMemory.BytesOf(list);
            subscriptions[i] = new Subscription(null!, "s", list);
            index.Add(subscriptions[i]);
        }

        var taken = Collected() - before;
        GC.KeepAlive(subscriptions);
        GC.KeepAlive(index);
        Assert.InRange(counted, taken * 0.7, taken * 2.5);
    }

    // What earlier tests left behind ends first.
    private static long Collected()
    {
        for (var i = 0; i < 5; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        return GC.GetTotalMemory(forceFullCollection: true);
    }

    private static string Hex(int subscription, int filter, int value) => $"{subscription:x16}{filter:x16}{value:x32}";
}
