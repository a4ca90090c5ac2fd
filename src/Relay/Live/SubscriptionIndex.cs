using System.Runtime.InteropServices;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>Finds the subscriptions an event may concern without asking each of them.</summary>
/// <remarks>
/// Every filter stands under the values of one of its conditions: ids, else the tag with the fewest values, else authors, else kinds, else
/// under everything. The filter itself decides. All access under one lock, see docs/locking.md.
/// </remarks>
internal sealed class SubscriptionIndex
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Bytes32, List<Entry>> _byId = [];
    private readonly Dictionary<TagKey, List<Entry>> _byTag = [];
    private readonly Dictionary<Bytes32, List<Entry>> _byAuthor = [];
    private readonly Dictionary<int, List<Entry>> _byKind = [];
    private readonly List<Entry> _rest = [];

    private readonly record struct Entry(Subscription Subscription, Filter Filter);

    public void Add(Subscription subscription)
    {
        lock (_lock)
        {
            foreach (var filter in subscription.Filters)
            {
                Change(new Entry(subscription, filter), add: true);
            }
        }
    }

    public void Remove(Subscription subscription)
    {
        lock (_lock)
        {
            foreach (var filter in subscription.Filters)
            {
                Change(new Entry(subscription, filter), add: false);
            }
        }
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

            Match(_rest, evt, number, matches);
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

    private void Change(Entry entry, bool add)
    {
        var filter = entry.Filter;
        if (filter.Ids is { } ids)
        {
            foreach (var id in ids)
            {
                Change(_byId, id, entry, add);
            }
        }
        else if (filter.Tags.Count > 0)
        {
            var (letter, values) = filter.Tags.MinBy(tag => tag.Value.Length);
            foreach (var value in values)
            {
                Change(_byTag, TagKey.FromText(letter, value), entry, add);
            }
        }
        else if (filter.Authors is { } authors)
        {
            foreach (var author in authors)
            {
                Change(_byAuthor, author, entry, add);
            }
        }
        else if (filter.Kinds is { } kinds)
        {
            foreach (var kind in kinds)
            {
                Change(_byKind, kind, entry, add);
            }
        }
        else if (add)
        {
            _rest.Add(entry);
        }
        else
        {
            TakeOut(_rest, entry);
        }
    }

    private static void Change<TKey>(Dictionary<TKey, List<Entry>> map, TKey key, Entry entry, bool add)
        where TKey : notnull
    {
        if (add)
        {
            ref var list = ref CollectionsMarshal.GetValueRefOrAddDefault(map, key, out _);
            (list ??= new List<Entry>(1)).Add(entry);
        }
        else if (map.TryGetValue(key, out var entries))
        {
            TakeOut(entries, entry);
            if (entries.Count == 0)
            {
                map.Remove(key);
            }
        }
    }

    private static void TakeOut(List<Entry> entries, Entry entry)
    {
        for (var i = entries.Count - 1; i >= 0; i--)
        {
            if (ReferenceEquals(entries[i].Subscription, entry.Subscription) && ReferenceEquals(entries[i].Filter, entry.Filter))
            {
                entries[i] = entries[^1];
                entries.RemoveAt(entries.Count - 1);
                return;
            }
        }
    }
}
