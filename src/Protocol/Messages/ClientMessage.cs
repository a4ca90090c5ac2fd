using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Protocol.Messages;

/// <summary>The verbs a client may send.</summary>
public enum ClientMessageKind
{
    /// <summary>Not known: not JSON, not an array, or another verb.</summary>
    None,

    /// <summary><c>["EVENT", event]</c> (NIP-01).</summary>
    Event,

    /// <summary><c>["REQ", subscription, filter...]</c> (NIP-01).</summary>
    Req,

    /// <summary><c>["CLOSE", subscription]</c> (NIP-01).</summary>
    Close,

    /// <summary><c>["AUTH", event]</c> (NIP-42).</summary>
    Auth,

    /// <summary><c>["COUNT", subscription, filter...]</c> (NIP-45).</summary>
    Count,

    /// <summary><c>["NEG-OPEN", subscription, filter, hex]</c> (NIP-77).</summary>
    NegOpen,

    /// <summary><c>["NEG-MSG", subscription, hex]</c> (NIP-77).</summary>
    NegMsg,

    /// <summary><c>["NEG-CLOSE", subscription]</c> (NIP-77).</summary>
    NegClose,
}

/// <summary>One client message in place.</summary>
/// <remarks>
/// After a refusal it holds what was read before the fault, so that the answer goes to the right place: OK with
/// <see cref="EventId"/>, CLOSED with <see cref="SubscriptionId"/>, else NOTICE. Valid as long as the frame's bytes.
/// </remarks>
public readonly ref struct ClientMessage
{
    /// <summary>The verb.</summary>
    public ClientMessageKind Kind { get; internal init; }

    /// <summary>The event of EVENT and AUTH.</summary>
    public NostrEventView Event { get; internal init; }

    /// <summary>The id a refused EVENT or AUTH claimed, or the event's id; meaningless unless <see cref="HasEventId"/>.</summary>
    public Bytes32 EventId { get; internal init; }

    /// <summary>True when <see cref="EventId"/> could be read.</summary>
    public bool HasEventId { get; internal init; }

    /// <summary>1 to 64 characters; null for EVENT and AUTH, and when there was no string. After a refusal also one of another length, so that the answer finds
    /// it.</summary>
    public string? SubscriptionId { get; internal init; }

    /// <summary>The filters of REQ, COUNT (at least one) and NEG-OPEN (one); empty otherwise.</summary>
    public Filter[] Filters { get; internal init; }

    /// <summary>The payload of NEG-OPEN and NEG-MSG: lower-case or upper-case hex of even length.</summary>
    public ReadOnlySpan<byte> NegentropyHex { get; internal init; }
}
