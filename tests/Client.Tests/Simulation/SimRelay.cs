using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Tests.Simulation;

/// <summary>A relay of the simulation: keeps what arrives, shows it after a while, in no order.</summary>
internal sealed class SimRelay
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Bytes32, (NostrEvent Event, int VisibleAt)> _events = [];

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _events.Count;
            }
        }
    }

    /// <summary>Stores an event that others see from a step on; replaceable ones replace.</summary>
    public void Store(NostrEvent evt, int visibleAt)
    {
        lock (_gate)
        {
            if (Address(evt) is { } address)
            {
                foreach (var (old, _) in _events.Values.Where(one => Address(one.Event) == address).ToList())
                {
                    if (old.CreatedAt > evt.CreatedAt || (old.CreatedAt == evt.CreatedAt && old.Id <= evt.Id))
                    {
                        return;
                    }

                    _events.Remove(old.Id);
                }
            }

            _events.TryAdd(evt.Id, (evt, visibleAt));
        }
    }

    /// <summary>Everything that matches and is visible by now.</summary>
    public List<NostrEvent> Find(Filter filter, int step)
    {
        lock (_gate)
        {
            return [
                .. _events.Values.Where(one => one.VisibleAt <= step && Matches(filter, one.Event)).Select(one => one.Event).OrderBy(evt => evt.CreatedAt)
                    .ThenBy(evt => evt.Id)
            ];
        }
    }

    private static bool Matches(Filter filter, NostrEvent evt) =>
        (filter.Kinds is null || filter.Kinds.Contains(evt.Kind))
        && (filter.Ids is null || filter.Ids.Contains(evt.Id))
        && (filter.Authors is null || filter.Authors.Contains(evt.PublicKey))
        && evt.CreatedAt >= (filter.Since ?? 0)
        && evt.CreatedAt <= (filter.Until ?? long.MaxValue)
        && (filter.Tags is null
            || filter.Tags.All(wanted =>
                evt.Tags.Any(tag => tag.Length > 1 && tag[0].Length == 1 && tag[0][0] == wanted.Key && wanted.Value.Contains(tag[1]))));

    private static string? Address(NostrEvent evt) => evt.Kind switch
    {
        >= 30000 and < 40000 => $"{evt.Kind}:{evt.PublicKey}:{evt.TagValue("d")}",
        >= 10000 and < 20000 => $"{evt.Kind}:{evt.PublicKey}",
        _ => null,
    };
}
