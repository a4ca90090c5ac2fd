using System.Runtime.InteropServices;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>Finds the subscriptions an event may concern without asking each of them.</summary>
/// <remarks>
/// Every filter stands under the values of one of its conditions: ids, else the tag with the fewest values, else authors, else kinds, else
/// under everything. The filter itself decides. All access under one lock, see docs/locking.md; the lock is taken for one filter at a
/// time. A subscription knows its place in each list, so that removing it takes the same time however many others stand there.
/// </remarks>
internal sealed class SubscriptionIndex
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Bytes32, List<Entry>> _byId = [];
    private readonly Dictionary<TagKey, List<Entry>> _byTag = [];
    private readonly Dictionary<Bytes32, List<Entry>> _byAuthor = [];
    private readonly Dictionary<int, List<Entry>> _byKind = [];
    private readonly Dictionary<bool, List<Entry>> _rest = []; // under true

    // Which of the subscription's filters it is, and which of that filter's distinct values the list belongs to.
    private readonly record struct Entry(Subscription Subscription, Filter Filter, int FilterAt, int ValueAt);

    public void Add(Subscription subscription)
    {
        subscription.IndexPlaces = new int[subscription.Filters.Length][];
        for (var i = 0; i < subscription.Filters.Length; i++)
        {
            Change(subscription, i, add: true);
        }
    }

    /// <summary>Once for each <see cref="Add"/>.</summary>
    public void Remove(Subscription subscription)
    {
        for (var i = 0; i < subscription.Filters.Length; i++)
        {
            Change(subscription, i, add: false);
        }

        subscription.IndexPlaces = [];
    }

    /// <summary>Fills <paramref name="matches"/> with each subscription that wants the event, once.</summary>
    public void Collect(in NostrEventView evt, TagKey[] tags, ulong number, List<Subscription> matches)
    {
        lock (_lock)
        {
            if (_byId.TryGetValue(evt.Id, out var entries))
            {
                Match(entries, evt, number, matches);
            }

            foreach (var tag in tags)
            {
                if (_byTag.TryGetValue(tag, out entries))
                {
                    Match(entries, evt, number, matches);
                }
            }

            if (_byAuthor.TryGetValue(evt.PublicKey, out entries))
            {
                Match(entries, evt, number, matches);
            }

            if (_byKind.TryGetValue(evt.Kind, out entries))
            {
                Match(entries, evt, number, matches);
            }

            if (_rest.TryGetValue(true, out entries))
            {
                Match(entries, evt, number, matches);
            }
        }
    }

    private static void Match(List<Entry> entries, in NostrEventView evt, ulong number, List<Subscription> matches)
    {
        foreach (ref readonly var entry in CollectionsMarshal.AsSpan(entries))
        {
            if (entry.Subscription.LastOffered != number && entry.Filter.Matches(evt)
                && (entry.Filter.Search is not { } search || SearchText.Finds(search, evt)))
            {
                entry.Subscription.LastOffered = number;
                matches.Add(entry.Subscription);
            }
        }
    }

    private void Change(Subscription subscription, int filterAt, bool add)
    {
        var filter = subscription.Filters[filterAt];
        if (filter.Ids is { } ids)
        {
            Change(_byId, Distinct(ids), subscription, filterAt, add);
        }
        else if (filter.Tags.Count > 0)
        {
            var (letter, values) = filter.Tags.MinBy(tag => tag.Value.Length);
            Change(_byTag, Array.ConvertAll(Distinct(values), value => TagKey.FromText(letter, value)), subscription, filterAt, add);
        }
        else if (filter.Authors is { } authors)
        {
            Change(_byAuthor, Distinct(authors), subscription, filterAt, add);
        }
        else if (filter.Kinds is { } kinds)
        {
            Change(_byKind, Distinct(kinds), subscription, filterAt, add);
        }
        else
        {
            Change(_rest, [true], subscription, filterAt, add);
        }
    }

    // In the same order each time.
    private static T[] Distinct<T>(T[] values) => values.Length > 1 ? [.. values.Distinct()] : values;

    private void Change<TKey>(Dictionary<TKey, List<Entry>> map, TKey[] keys, Subscription subscription, int filterAt, bool add)
        where TKey : notnull
    {
        if (add)
        {
            var places = subscription.IndexPlaces[filterAt] = new int[keys.Length];
            lock (_lock)
            {
                for (var i = 0; i < keys.Length; i++)
                {
                    ref var list = ref CollectionsMarshal.GetValueRefOrAddDefault(map, keys[i], out _);
                    list ??= new List<Entry>(1);
                    places[i] = list.Count;
                    list.Add(new Entry(subscription, subscription.Filters[filterAt], filterAt, i));
                }
            }
        }
        else
        {
            lock (_lock)
            {
                for (var i = 0; i < keys.Length; i++)
                {
                    var list = map[keys[i]];
                    TakeOut(list, subscription.IndexPlaces[filterAt][i]);
                    if (list.Count == 0)
                    {
                        map.Remove(keys[i]);
                    }
                }
            }
        }
    }

    // The last one comes to where the removed one stood.
    private static void TakeOut(List<Entry> entries, int place)
    {
        var last = entries[^1];
        entries[place] = last;
        last.Subscription.IndexPlaces[last.FilterAt][last.ValueAt] = place;
        entries.RemoveAt(entries.Count - 1);
        if (entries.Capacity > 64 && entries.Count < entries.Capacity / 4)
        {
            entries.Capacity = entries.Count * 2;
        }
    }
}
