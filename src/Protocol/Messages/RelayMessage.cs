using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Messages;

/// <summary>The verbs a relay may send.</summary>
public enum RelayMessageKind
{
    /// <summary>Not known; clients ignore it.</summary>
    None,

    /// <summary>An event for a subscription (NIP-01).</summary>
    Event,

    /// <summary>The verdict on an event (NIP-01).</summary>
    Ok,

    /// <summary>All stored events were sent (NIP-01).</summary>
    Eose,

    /// <summary>The relay ended a subscription (NIP-01).</summary>
    Closed,

    /// <summary>A text for people (NIP-01).</summary>
    Notice,

    /// <summary>A challenge (NIP-42).</summary>
    Auth,

    /// <summary>A number (NIP-45).</summary>
    Count,

    /// <summary>A step of a reconciliation (NIP-77).</summary>
    NegMsg,

    /// <summary>A reconciliation failed (NIP-77).</summary>
    NegErr,
}

/// <summary>What an EOSE says about the stored events that were not sent (NIP-67).</summary>
public enum EoseHint
{
    /// <summary>Nothing: the relay does not know, or does not implement NIP-67.</summary>
    None,

    /// <summary>Every stored event that the filters select was sent.</summary>
    Finish,

    /// <summary>The relay holds more of them than it sent.</summary>
    More,
}

/// <summary>One relay message in place; valid as long as the frame's bytes.</summary>
public readonly ref struct RelayMessage
{
    /// <summary>The verb.</summary>
    public RelayMessageKind Kind { get; internal init; }

    /// <summary>The subscription of EVENT, EOSE, CLOSED, COUNT, NEG-MSG and NEG-ERR.</summary>
    public string? SubscriptionId { get; internal init; }

    /// <summary>The hint of EOSE (NIP-67). One that says both counts as <see cref="EoseHint.More"/>.</summary>
    public EoseHint Hint { get; internal init; }

    /// <summary>The event of EVENT; its shape is checked, id and signature are not.</summary>
    public NostrEventView Event { get; internal init; }

    /// <summary>The id of OK.</summary>
    public Bytes32 EventId { get; internal init; }

    /// <summary>The verdict of OK.</summary>
    public bool Accepted { get; internal init; }

    /// <summary>The number of COUNT.</summary>
    public long Count { get; internal init; }

    /// <summary>The text of OK, CLOSED, NOTICE, NEG-ERR, or the challenge of AUTH; never null, written by the relay's operator.</summary>
    public string Text { get; internal init; }

    /// <summary>The machine-readable part of <see cref="Text"/> before the colon; empty when it has none.</summary>
    public ReadOnlySpan<char> Prefix
    {
        get
        {
            var colon = Text.IndexOf(':', StringComparison.Ordinal);
            return colon < 0 ? default : Text.AsSpan(0, colon);
        }
    }

    /// <summary>The payload of NEG-MSG, hex.</summary>
    public ReadOnlySpan<byte> NegentropyHex { get; internal init; }
}
