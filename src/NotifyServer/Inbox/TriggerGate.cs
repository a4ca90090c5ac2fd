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

    /// <summary><c>queued</c> when it may go on, else the reason as a metric's label.</summary>
    public string Check(in NostrEventView evt, bool live)
    {
        if (!live)
        {
            return "backlog"; // a stored event: whoever it was for has seen the message since, and it may have rung before a restart
        }

        if (evt.Json.Length > maxEventBytes)
        {
            return "too-large";
        }

        if (evt.Kind != GiftWrap.Kind && !(acceptEphemeral && evt.Kind == GiftWrap.EphemeralKind))
        {
            return "other-kind";
        }

        if (!IsForUs(evt))
        {
            return "other-recipient";
        }

        // '\/' is the one escape base64 can hold; the length bound only gets looser by it.
        if (evt.RawContent.Length < MinContentLength || evt.RawContent.ContainsAnyExcept(PayloadCharacters))
        {
            return "not-nip44";
        }

        return seen.Contains(evt.Id) ? "seen" : EventVerifier.IsIdCorrect(evt) ? "queued" : "bad-id";
    }

    private static readonly System.Buffers.SearchValues<byte> PayloadCharacters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"u8);

    // One tag, a p tag, one value, one of our keys: several recipients or a second tag is malformed (marmot-push-v1).
    private bool IsForUs(in NostrEventView evt)
    {
        var tags = 0;
        var ours = false;
        foreach (var tag in evt.Tags)
        {
            ours = ++tags == 1 && tag.Count == 2 && tag.Name.SequenceEqual("p"u8)
                && Bytes32.TryParseHex(tag.Value, out var recipient) && keys.TryFind(recipient, out _, out _);
            if (!ours)
            {
                return false;
            }
        }

        return ours;
    }
}
