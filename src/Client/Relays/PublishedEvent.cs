using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Relays;

/// <summary>An event that was sent, and what its relays said.</summary>
/// <param name="EventId">The event.</param>
/// <param name="Kind">Its kind.</param>
/// <param name="CreatedAt">Unix seconds.</param>
/// <param name="Replies">One answer a relay.</param>
public sealed record PublishedEvent(Bytes32 EventId, int Kind, long CreatedAt, IReadOnlyList<RelayReply> Replies)
{
    /// <summary>True when at least one relay has it.</summary>
    public bool Acked => Replies.Any(reply => reply.Answer == RelayAnswer.Accepted);

    /// <summary>True when every relay said no: nobody has it.</summary>
    public bool IsRefused => Replies.All(reply => reply.Answer == RelayAnswer.Refused);

    /// <summary>True when every relay said no in words that asking again will not change (NIP-01).</summary>
    public bool IsRefusedForGood =>
        Replies.All(reply => reply.Answer == RelayAnswer.Refused
        && RejectPrefixes.Of(reply.Message) is RejectPrefix.Invalid or RejectPrefix.Blocked);

    /// <summary>The relays' words, for an error message.</summary>
    public string Reasons => Replies.Count == 0 ? "no relay is known" : string.Join("; ", Replies.Select(reply => $"{reply.Relay}: {reply.Message}"));
}
