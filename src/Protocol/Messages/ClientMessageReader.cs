using System.Text.Json;
using System.Text.Unicode;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Protocol.Messages;

/// <summary>Reads what clients send (NIP-01, NIP-42, NIP-45, NIP-77).</summary>
/// <remarks>EVENT is read without allocation. Bad input is a <see cref="RejectReason"/>, never an exception. Thread-safe.</remarks>
public static class ClientMessageReader
{
    /// <summary>Longest subscription id in characters (NIP-01).</summary>
    public const int MaxSubscriptionIdLength = 64;

    /// <summary>Reads a frame under the default limits.</summary>
    public static bool TryRead(ReadOnlySpan<byte> frame, out ClientMessage message, out RejectReason reason) =>
        TryRead(frame, FilterLimits.Default, out message, out reason);

    /// <summary>Reads a frame.</summary>
    /// <param name="frame">One whole message; the result points into it.</param>
    /// <param name="limits">What its filters may ask for.</param>
    /// <param name="message">The message; after a refusal, as far as it was understood.</param>
    /// <param name="reason">What is wrong; default on success.</param>
    public static bool TryRead(ReadOnlySpan<byte> frame, FilterLimits limits, out ClientMessage message, out RejectReason reason)
    {
        message = new ClientMessage { Filters = [] };
        var cursor = new JsonCursor(frame);
        if (!cursor.TryTake((byte)'[') || !cursor.TryReadString(out var verb, out _))
        {
            return Fail("a message is a JSON array that starts with its verb", out reason);
        }

        var kind = ToKind(verb);
        message = new ClientMessage { Kind = kind, Filters = [] };
        switch (kind)
        {
            case ClientMessageKind.None:
                return Fail("unknown verb", out reason);
            case ClientMessageKind.Event or ClientMessageKind.Auth:
                return TryReadEvent(frame, cursor, kind, out message, out reason);
            default:
                return TryReadSubscription(frame, cursor, kind, limits, out message, out reason);
        }
    }

    /// <summary>The verb of a frame alone, which costs next to nothing; whether the rest can be read is another question.</summary>
    public static ClientMessageKind ReadKind(ReadOnlySpan<byte> frame)
    {
        var cursor = new JsonCursor(frame);
        return cursor.TryTake((byte)'[') && cursor.TryReadString(out var verb, out _) ? ToKind(verb) : ClientMessageKind.None;
    }

    // Most frames are EVENT; the rest are told apart by length and bytes.
    private static ClientMessageKind ToKind(ReadOnlySpan<byte> verb) => verb switch
    {
        _ when verb.SequenceEqual("EVENT"u8) => ClientMessageKind.Event,
        _ when verb.SequenceEqual("REQ"u8) => ClientMessageKind.Req,
        _ when verb.SequenceEqual("CLOSE"u8) => ClientMessageKind.Close,
        _ when verb.SequenceEqual("AUTH"u8) => ClientMessageKind.Auth,
        _ when verb.SequenceEqual("COUNT"u8) => ClientMessageKind.Count,
        _ when verb.SequenceEqual("NEG-OPEN"u8) => ClientMessageKind.NegOpen,
        _ when verb.SequenceEqual("NEG-MSG"u8) => ClientMessageKind.NegMsg,
        _ when verb.SequenceEqual("NEG-CLOSE"u8) => ClientMessageKind.NegClose,
        _ => ClientMessageKind.None,
    };

    private static bool TryReadEvent(
        ReadOnlySpan<byte> frame, JsonCursor cursor, ClientMessageKind kind, out ClientMessage message, out RejectReason reason)
    {
        message = new ClientMessage { Kind = kind, Filters = [] };
        if (!cursor.TryTake((byte)','))
        {
            return Fail("the event is missing", out reason);
        }

        var rest = frame[cursor.Position..];
        var read = NostrEventReader.TryReadStart(rest, out var view, out var consumed, out reason);
        if (read)
        {
            var tail = new JsonCursor(rest[consumed..]);
            read = TryTakeEnd(ref tail);
            reason = read ? default : RejectReason.Invalid("unexpected bytes after the event");
        }

        var id = view.Id;
        message = new ClientMessage
        {
            Kind = kind,
            Event = view,
            HasEventId = read || NostrEventReader.TryFindId(rest, out id),
            EventId = id,
            Filters = [],
        };
        return read;
    }

    private static bool TryReadSubscription(
        ReadOnlySpan<byte> frame,
        JsonCursor cursor,
        ClientMessageKind kind,
        FilterLimits limits,
        out ClientMessage message,
        out RejectReason reason)
    {
        message = new ClientMessage { Kind = kind, Filters = [] };
        if (!Utf8.IsValid(frame))
        {
            return Fail("the message is not valid UTF-8", out reason);
        }

        if (!cursor.TryTake((byte)',') || !cursor.TryReadString(out var rawId, out _))
        {
            return Fail("the subscription id is missing or not a string", out reason);
        }

        var subscriptionId = JsonText.Decode(rawId);
        reason = default;
        message = new ClientMessage { Kind = kind, SubscriptionId = subscriptionId, Filters = [] };
        if (CountCharacters(subscriptionId) is var length && length is 0 or > MaxSubscriptionIdLength)
        {
            return Fail($"a subscription id has 1 to {MaxSubscriptionIdLength} characters, this one has {length}", out reason);
        }

        Filter[] filters = [];
        if (kind is ClientMessageKind.Req or ClientMessageKind.Count or ClientMessageKind.NegOpen
            && !TryReadFilters(frame, ref cursor, kind == ClientMessageKind.NegOpen, limits, out filters, out reason))
        {
            return false;
        }

        ReadOnlySpan<byte> payload = default;
        if (kind is ClientMessageKind.NegOpen or ClientMessageKind.NegMsg
            && (!cursor.TryTake((byte)',') || !cursor.TryReadString(out payload, out _) || !Hex.IsAnyCase(payload)))
        {
            return Fail("the negentropy payload is missing or not hex", out reason);
        }

        if (!TryTakeEnd(ref cursor))
        {
            return Fail("unexpected bytes at the end of the message", out reason);
        }

        message = new ClientMessage { Kind = kind, SubscriptionId = subscriptionId, Filters = filters, NegentropyHex = payload };
        reason = default;
        return true;
    }

    // The cursor checks the grammar of each filter first, so that the JSON reader after it has nothing to throw about.
    private static bool TryReadFilters(
        ReadOnlySpan<byte> frame, ref JsonCursor cursor, bool isSingle, FilterLimits limits, out Filter[] filters, out RejectReason reason)
    {
        var max = isSingle ? 1 : limits.MaxFilters;
        var list = new List<Filter>(1);
        filters = [];
        while (list.Count < max && cursor.TryTake((byte)','))
        {
            cursor.SkipBlanks();
            var start = cursor.Position;
            if (!cursor.TrySkipValue())
            {
                return Fail("the message is not valid JSON", out reason);
            }

            var reader = new Utf8JsonReader(frame[start..cursor.Position]);
            if (!Filter.TryRead(ref reader, limits, out var filter, out reason))
            {
                return false;
            }

            list.Add(filter);
        }

        if (list.Count == 0)
        {
            return Fail("the filter is missing", out reason);
        }

        if (!isSingle && cursor.TryTake((byte)','))
        {
            return Fail($"a message has at most {limits.MaxFilters} filters", out reason);
        }

        filters = [.. list];
        reason = default;
        return true;
    }

    // Characters of Unicode, not the 16-bit units that a string counts: an emoji is one.
    private static int CountCharacters(string text)
    {
        var count = text.Length;
        for (var i = 1; i < text.Length; i++)
        {
            if (char.IsSurrogatePair(text[i - 1], text[i]))
            {
                count--;
            }
        }

        return count;
    }

    private static bool TryTakeEnd(ref JsonCursor cursor)
    {
        if (!cursor.TryTake((byte)']'))
        {
            return false;
        }

        cursor.SkipBlanks();
        return cursor.AtEnd;
    }

    private static bool Fail(string text, out RejectReason reason)
    {
        reason = RejectReason.Invalid(text);
        return false;
    }
}
