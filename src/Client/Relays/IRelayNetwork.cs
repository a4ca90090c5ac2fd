using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Client.Relays;

/// <summary>How a relay answered to a published event.</summary>
public enum RelayAnswer
{
    /// <summary>No answer in time, or no connection: the relay may have it or not.</summary>
    Unknown,

    /// <summary>OK true.</summary>
    Accepted,

    /// <summary>OK false: the relay does not have it.</summary>
    Refused,
}

/// <summary>One relay's answer to one event.</summary>
/// <param name="Relay">The relay's URL.</param>
/// <param name="Answer">The verdict.</param>
/// <param name="Message">The relay's words, or what went wrong; for people.</param>
public sealed record RelayReply(string Relay, RelayAnswer Answer, string Message);

/// <summary>What one relay gave for a filter.</summary>
/// <param name="Relay">The relay's URL.</param>
/// <param name="Events">Events whose id and signature hold and that match the filter, in the relay's order.</param>
/// <param name="Complete">False when the relay could not be asked to the end; then more may exist.</param>
/// <param name="Message">Why it is not complete.</param>
public sealed record RelayFetch(string Relay, IReadOnlyList<NostrEvent> Events, bool Complete, string Message = "")
{
    /// <summary>What the EOSE of the last page said (NIP-67).</summary>
    internal EoseHint Hint { get; init; }
}

/// <summary>
/// The relays as the client sees them. Nothing here throws for what a relay or the network does. The seam where tests put lying, losing and slow relays.
/// Thread-safe.
/// </summary>
public interface IRelayNetwork : IAsyncDisposable
{
    /// <summary>Publishes one event to one relay and waits for its answer, for a bounded time.</summary>
    Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken);

    /// <summary>All stored events that match, page by page until nothing new comes.</summary>
    /// <param name="relay">The relay's URL.</param>
    /// <param name="filter">What is wanted; <see cref="Filter.Limit"/> is set here.</param>
    /// <param name="asAccount">Authenticate as the account: for gift wraps. Otherwise the relay is only told who asks when it insists.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken);

    /// <summary>Hands over new events that match until cancelled, whatever happens to the connection.</summary>
    Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken);
}
