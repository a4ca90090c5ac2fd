using System.Buffers;
using Marmot.NotifyServer.Apps;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;

namespace Marmot.NotifyServer.Inbox;

/// <summary>Everything that can be said against an event before any curve operation, cheapest first. Runs in the relay's read loop.</summary>
internal sealed class TriggerGate(KeyRing keys, SeenEvents seen, int maxEventBytes, bool acceptEphemeral)
{
    // NIP-44: base64 of 99 bytes, the shortest payload.
    private const int MinContentLength = 132;

    private static readonly SearchValues<byte> PayloadCharacters = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"u8);

    /// <summary><see cref="EventOutcome.Queued"/> when it may go on, else why not.</summary>
    public EventOutcome Check(in NostrEventView evt, bool live)
    {
        if (!live)
        {
            return EventOutcome.Backlog; // a stored event: whoever it was for has seen the message since, and it may have rung before a restart
        }

        if (evt.Json.Length > maxEventBytes)
        {
            return EventOutcome.TooLarge;
        }

        if (evt.Kind != GiftWrap.Kind && !(acceptEphemeral && evt.Kind == GiftWrap.EphemeralKind))
        {
            return EventOutcome.OtherKind;
        }

        if (!IsForUs(evt))
        {
            return EventOutcome.OtherRecipient;
        }

        // '\/' is the one escape base64 can hold; the length bound only gets looser by it.
        if (evt.RawContent.Length < MinContentLength || evt.RawContent.ContainsAnyExcept(PayloadCharacters))
        {
            return EventOutcome.NotNip44;
        }

        return seen.Contains(evt.Id) ? EventOutcome.Seen : EventVerifier.IsIdCorrect(evt) ? EventOutcome.Queued : EventOutcome.BadId;
    }

    // Exactly one p tag, with one of our keys: several recipients make a wrap malformed. Other tags (NIP-40 and the like) say nothing about that.
    private bool IsForUs(in NostrEventView evt)
    {
        var recipients = 0;
        var ours = false;
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("p"u8))
            {
                recipients++;
                ours = tag.HasValue && Bytes32.TryParseHex(tag.Value, out var recipient) && keys.TryFind(recipient, out _, out _);
            }
        }

        return ours && recipients == 1;
    }
}
