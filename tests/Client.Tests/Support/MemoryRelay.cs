using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Tests.Support;

/// <summary>A relay in memory: stores, replaces by the rules of NIP-01, deletes, gives back newest first.</summary>
internal sealed class MemoryRelay
{
    private readonly Lock _gate = new();
    private readonly List<NostrEvent> _events = [];
    private readonly List<(Filter Filter, Action<NostrEvent> OnEvent)> _listeners = [];

    public IReadOnlyList<NostrEvent> Events
    {
        get
        {
            lock (_gate)
            {
                return [.. _events];
            }
        }
    }

    public (RelayAnswer Answer, string Message) Publish(NostrEvent evt)
    {
        List<Action<NostrEvent>> heard;
        lock (_gate)
        {
            if (_events.Exists(one => one.Id == evt.Id))
            {
                return (RelayAnswer.Accepted, "duplicate:");
            }

            if (Address(evt) is { } address && _events.Find(one => Address(one) == address) is { } old)
            {
                if (old.CreatedAt > evt.CreatedAt || (old.CreatedAt == evt.CreatedAt && old.Id < evt.Id))
                {
                    return (RelayAnswer.Accepted, "duplicate: have a newer one");
                }

                _events.Remove(old);
            }

            if (evt.Kind == 5)
            {
                _events.RemoveAll(one => one.PublicKey == evt.PublicKey && evt.Tags.Any(tag => tag[0] == "e" && tag[1] == one.Id.ToString()));
            }

            _events.Add(evt);
            heard = [.. _listeners.Where(one => Matches(one.Filter, evt)).Select(one => one.OnEvent)];
        }

        heard.ForEach(onEvent => onEvent(evt));
        return (RelayAnswer.Accepted, "");
    }

    public IReadOnlyList<NostrEvent> Fetch(Filter filter)
    {
        lock (_gate)
        {
            return [
                .. _events.Where(evt => Matches(filter, evt)).OrderByDescending(evt => evt.CreatedAt).ThenBy(evt => evt.Id).Take(filter.Limit ?? int.MaxValue)
            ];
        }
    }

    public void Listen(Filter filter, Action<NostrEvent> onEvent)
    {
        lock (_gate)
        {
            _listeners.Add((filter, onEvent));
        }

        foreach (var evt in Fetch(filter))
        {
            onEvent(evt);
        }
    }

    public void StopListening(Action<NostrEvent> onEvent)
    {
        lock (_gate)
        {
            _listeners.RemoveAll(one => one.OnEvent == onEvent);
        }
    }

    public bool Forget(Bytes32 id)
    {
        lock (_gate)
        {
            return _events.RemoveAll(evt => evt.Id == id) > 0;
        }
    }

    private static string? Address(NostrEvent evt) => evt.Kind switch
    {
        >= 30000 and < 40000 => $"{evt.Kind}:{evt.PublicKey}:{evt.TagValue("d")}",
        0 or 3 or (>= 10000 and < 20000) => $"{evt.Kind}:{evt.PublicKey}",
        _ => null,
    };

    private static bool Matches(Filter filter, NostrEvent evt) => NostrEventReader.TryRead(evt.Json.Span, out var view, out _) && filter.Matches(view);
}
