using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Relays;

/// <summary>One request to several relays at once. Thread-safe.</summary>
internal sealed class RelayRequests(IRelayNetwork network)
{
    /// <summary>The relays one by one.</summary>
    public IRelayNetwork Network => network;

    /// <summary>Publishes one event to all of the relays at once and waits for every answer, for a bounded time each.</summary>
    public async Task<PublishedEvent> PublishAsync(NostrEvent evt, IReadOnlyList<string> relays, CancellationToken cancellationToken)
    {
        var replies = await Task.WhenAll(relays.Select(relay => network.PublishAsync(relay, evt, cancellationToken)));
        return new PublishedEvent(evt.Id, evt.Kind, evt.CreatedAt, replies);
    }

    /// <summary>What all of the relays have, each event once.</summary>
    public async Task<IReadOnlyList<NostrEvent>> FetchAsync(IReadOnlyList<string> relays, Filter filter, bool asAccount, CancellationToken cancellationToken)
    {
        var answers = await Task.WhenAll(relays.Select(relay => network.FetchAsync(relay, filter, asAccount, cancellationToken)));
        return [.. answers.SelectMany(answer => answer.Events).DistinctBy(evt => evt.Id)];
    }

    /// <summary>The relays of the newest list of a kind; a marker "read" is not where its owner writes.</summary>
    public static IReadOnlyList<string> NewestList(IEnumerable<NostrEvent> lists, int kind, string tagName)
    {
        var newest = lists.Where(list => list.Kind == kind).OrderByDescending(list => list.CreatedAt).ThenBy(list => list.Id).FirstOrDefault();
        return newest is null
            ? []
            : RelayUrls.Distinct(newest.Tags.Where(tag => tag[0] == tagName && tag.Length > 1 && !(tag.Length > 2 && tag[2] == "read")).Select(tag => tag[1]));
    }
}
