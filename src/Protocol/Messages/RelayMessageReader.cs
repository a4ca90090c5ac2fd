using System.Text.Json;
using System.Text.Unicode;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Messages;

/// <summary>Reads what relays send, on the client's side (NIP-01, NIP-42, NIP-45, NIP-67, NIP-77).</summary>
/// <remarks>Bad input is a <see cref="RejectReason"/>, never an exception: a relay is a stranger. Extra elements at the end are ignored. Thread-safe.</remarks>
public static class RelayMessageReader
{
    /// <summary>Longest text kept, in bytes as they stand; longer ones are refused.</summary>
    public const int MaxTextBytes = 8192;

    /// <summary>Reads a frame; an unknown verb is accepted with <see cref="RelayMessageKind.None"/>.</summary>
    public static bool TryRead(ReadOnlySpan<byte> frame, out RelayMessage message, out RejectReason reason)
    {
        message = new RelayMessage { Text = string.Empty };
        reason = default;
        var cursor = new JsonCursor(frame);
        if (!cursor.TryTake((byte)'[') || !cursor.TryReadString(out var verb, out _))
        {
            return Fail("a message is a JSON array that starts with its verb", out reason);
        }

        var kind = verb switch
        {
            _ when verb.SequenceEqual("EVENT"u8) => RelayMessageKind.Event,
            _ when verb.SequenceEqual("OK"u8) => RelayMessageKind.Ok,
            _ when verb.SequenceEqual("EOSE"u8) => RelayMessageKind.Eose,
            _ when verb.SequenceEqual("CLOSED"u8) => RelayMessageKind.Closed,
            _ when verb.SequenceEqual("NOTICE"u8) => RelayMessageKind.Notice,
            _ when verb.SequenceEqual("AUTH"u8) => RelayMessageKind.Auth,
            _ when verb.SequenceEqual("COUNT"u8) => RelayMessageKind.Count,
            _ when verb.SequenceEqual("NEG-MSG"u8) => RelayMessageKind.NegMsg,
            _ when verb.SequenceEqual("NEG-ERR"u8) => RelayMessageKind.NegErr,
            _ => RelayMessageKind.None,
        };
        if (kind == RelayMessageKind.None)
        {
            return true;
        }

        if (!Utf8.IsValid(frame))
        {
            return Fail("the message is not valid UTF-8", out reason);
        }

        // 1. What the message is about: a subscription, an event id, or nothing.
        string? subscriptionId = null;
        Bytes32 eventId = default;
        var hasSubject = kind is not (RelayMessageKind.Notice or RelayMessageKind.Auth);
        if (hasSubject)
        {
            if (!cursor.TryTake((byte)',') || !cursor.TryReadString(out var subject, out _) || subject.Length > MaxTextBytes)
            {
                return Fail("the subscription or event id is missing", out reason);
            }

            if (kind == RelayMessageKind.Ok)
            {
                if (!Bytes32.TryParseHex(subject, out eventId))
                {
                    return Fail("the event id is not 64 lower-case hex digits", out reason);
                }
            }
            else
            {
                subscriptionId = JsonText.Decode(subject);
            }
        }

        // 2. What it says about it.
        NostrEventView view = default;
        ReadOnlySpan<byte> text = default, payload = default;
        var accepted = false;
        long count = 0;
        var hint = EoseHint.None;
        switch (kind)
        {
            case RelayMessageKind.Event:
                if (!cursor.TryTake((byte)','))
                {
                    return Fail("the event is missing", out reason);
                }

                var rest = frame[cursor.Position..];
                if (!NostrEventReader.TryReadStart(rest, out view, out var consumed, out reason))
                {
                    return false;
                }

                cursor = new JsonCursor(rest[consumed..]);
                break;
            case RelayMessageKind.Ok:
                if (!cursor.TryTake((byte)',') || !cursor.TryReadBoolean(out accepted))
                {
                    return Fail("the verdict is missing", out reason);
                }

                TryReadText(ref cursor, out text); // old relays leave it out
                break;
            case RelayMessageKind.Eose:
                hint = ReadHint(ref cursor);
                break;
            case RelayMessageKind.Closed or RelayMessageKind.NegErr:
                TryReadText(ref cursor, out text);
                break;
            case RelayMessageKind.Notice or RelayMessageKind.Auth:
                if (!TryReadText(ref cursor, out text))
                {
                    return Fail("the text is missing or too long", out reason);
                }

                break;
            case RelayMessageKind.Count:
                if (!TryReadCount(frame, ref cursor, out count))
                {
                    return Fail("the count is missing", out reason);
                }

                break;
            case RelayMessageKind.NegMsg:
                if (!cursor.TryTake((byte)',') || !cursor.TryReadString(out payload, out _) || !Hex.IsAnyCase(payload))
                {
                    return Fail("the negentropy payload is missing or not hex", out reason);
                }

                break;
        }

        // 3. Elements of later versions of the protocol, then the end.
        while (cursor.TryTake((byte)','))
        {
            if (!cursor.TrySkipValue())
            {
                return Fail("the message is not valid JSON", out reason);
            }
        }

        if (!cursor.TryTake((byte)']') || !cursor.TryTakeEnd())
        {
            return Fail("the message is not valid JSON", out reason);
        }

        message = new RelayMessage
        {
            Kind = kind,
            SubscriptionId = subscriptionId,
            Event = view,
            EventId = eventId,
            Accepted = accepted,
            Count = count,
            Hint = hint,
            Text = JsonText.Decode(text),
            NegentropyHex = payload,
        };
        return true;
    }

    // Leaves the cursor where it was when there is no text, so that the end is still checked.
    private static bool TryReadText(scoped ref JsonCursor cursor, out ReadOnlySpan<byte> text)
    {
        var before = cursor;
        if (cursor.TryTake((byte)',') && cursor.TryReadString(out text, out _) && text.Length <= MaxTextBytes)
        {
            return true;
        }

        cursor = before;
        text = default;
        return false;
    }

    // NIP-67: an array of strings, of which unknown ones are ignored. Whatever else stands there is an element of a later version.
    private static EoseHint ReadHint(scoped ref JsonCursor cursor)
    {
        var before = cursor;
        var hint = EoseHint.None;
        if (cursor.TryTake((byte)',') && cursor.TryTake((byte)'['))
        {
            var isFirst = true;
            while (!cursor.TryTake((byte)']'))
            {
                if ((!isFirst && !cursor.TryTake((byte)',')) || !cursor.TryReadString(out var word, out _))
                {
                    cursor = before;
                    return EoseHint.None;
                }

                isFirst = false;
                hint = word.SequenceEqual("more"u8) || hint == EoseHint.More ? EoseHint.More
                    : word.SequenceEqual("finish"u8) ? EoseHint.Finish
                    : hint;
            }

            return hint;
        }

        cursor = before;
        return EoseHint.None;
    }

    private static bool TryReadCount(ReadOnlySpan<byte> frame, scoped ref JsonCursor cursor, out long count)
    {
        count = 0;
        if (!cursor.TryTake((byte)','))
        {
            return false;
        }

        cursor.SkipBlanks();
        var start = cursor.Position;
        if (!cursor.TrySkipValue())
        {
            return false;
        }

        var reader = new Utf8JsonReader(frame[start..cursor.Position]);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            return false;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isCount = reader.ValueTextEquals("count"u8);
            reader.Read();
            if (isCount)
            {
                return reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out count) && count >= 0;
            }

            reader.Skip();
        }

        return false;
    }

    private static bool Fail(string text, out RejectReason reason)
    {
        reason = RejectReason.Invalid(text);
        return false;
    }
}
