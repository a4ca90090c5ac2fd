using System.Text.Unicode;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>Reads one event object in one pass over its bytes, without allocation (NIP-01).</summary>
/// <remarks>
/// Checks the shape: all seven members exactly once, lower-case hex of the right length, plain integers in range, tags an array
/// of non-empty arrays of strings, valid UTF-8. Unknown members are stepped over. Id and signature are left to
/// <see cref="EventVerifier"/>. Bad input is a <see cref="RejectReason"/>, never an exception. Thread-safe.
/// </remarks>
public static class NostrEventReader
{
    // Longest escaped spelling of a member name that could still mean one of ours: ten times \u00xx.
    private const int MaxEscapedNameSize = 60;

    [Flags]
    private enum Members
    {
        None = 0,
        Id = 1,
        PublicKey = 2,
        CreatedAt = 4,
        Kind = 8,
        Tags = 16,
        Content = 32,
        Signature = 64,
        Signed = 127,
        Unknown = 128,
    }

    /// <summary>Reads an event that is the whole input, blanks around it allowed.</summary>
    /// <param name="utf8Json">The bytes; the view points into them.</param>
    /// <param name="view">The event when the answer is true; on false only what was read before the fault.</param>
    /// <param name="reason">What is wrong; default on success.</param>
    public static bool TryRead(ReadOnlySpan<byte> utf8Json, out NostrEventView view, out RejectReason reason)
    {
        if (!TryReadStart(utf8Json, out view, out var consumed, out reason))
        {
            return false;
        }

        var rest = new JsonCursor(utf8Json[consumed..]);
        rest.SkipBlanks();
        if (!rest.AtEnd)
        {
            reason = RejectReason.Invalid("unexpected bytes after the event");
            return false;
        }

        return true;
    }

    /// <summary>Reads an event at the start of the input and says where it ends.</summary>
    internal static bool TryReadStart(ReadOnlySpan<byte> utf8Json, out NostrEventView view, out int consumed, out RejectReason reason) =>
        TryReadCore(utf8Json, Members.Signed, out view, out consumed, out _, out reason);

    /// <summary>Reads an unsigned event (NIP-59): a signature is refused, <c>id</c> may be absent.</summary>
    /// <remarks>NIP-59: a rumor "is a regular nostr event, but is not signed". <c>"sig":""</c>, which clients write that keep rumors in their event type, signs
    /// nothing and is taken.</remarks>
    internal static bool TryReadUnsigned(ReadOnlySpan<byte> utf8Json, out NostrEventView view, out bool hasId, out RejectReason reason)
    {
        if (!TryReadCore(utf8Json, Members.Signed & ~(Members.Signature | Members.Id), out view, out var consumed, out var seen, out reason))
        {
            hasId = false;
            return false;
        }

        hasId = (seen & Members.Id) != 0;
        if (!view.SignatureHex.IsEmpty)
        {
            reason = RejectReason.Invalid("an unsigned event carries a signature");
            return false;
        }

        var rest = new JsonCursor(utf8Json[consumed..]);
        rest.SkipBlanks();
        if (!rest.AtEnd)
        {
            reason = RejectReason.Invalid("unexpected bytes after the event");
            return false;
        }

        return true;
    }

    /// <summary>Looks for a usable id in an event that was refused, so that the refusal can name it (NIP-01, OK).</summary>
    internal static bool TryFindId(ReadOnlySpan<byte> utf8Json, out Bytes32 id)
    {
        id = default;
        var cursor = new JsonCursor(utf8Json);
        if (!cursor.TryTake((byte)'{'))
        {
            return false;
        }

        do
        {
            if (!cursor.TryReadString(out var name, out _) || !cursor.TryTake((byte)':'))
            {
                return false;
            }

            if (name.SequenceEqual("id"u8))
            {
                return cursor.TryReadString(out var hex, out _) && Bytes32.TryParseHex(hex, out id);
            }

            if (!cursor.TrySkipValue())
            {
                return false;
            }
        }
        while (cursor.TryTake((byte)','));

        return false;
    }

    // One loop over the members. Locals are gathered first and the view is made at each exit, because it is immutable.
    private static bool TryReadCore(
        ReadOnlySpan<byte> json, Members required, out NostrEventView view, out int consumed, out Members seen, out RejectReason reason)
    {
        Bytes32 id = default, publicKey = default;
        long createdAt = 0, kind = 0;
        ReadOnlySpan<byte> tags = default, content = default, signature = default;
        bool tagsCanonical = true, contentCanonical = true;
        string? fault = null;
        seen = Members.None;
        view = default;
        consumed = 0;

        var cursor = new JsonCursor(json);
        cursor.SkipBlanks();
        var start = cursor.Position;
        cursor = new JsonCursor(json[start..]);
        if (!cursor.TryTake((byte)'{'))
        {
            reason = RejectReason.Invalid("an event is a JSON object");
            return false;
        }

        do
        {
            if (!cursor.TryReadString(out var name, out _) || !cursor.TryTake((byte)':'))
            {
                fault = "the event is not valid JSON";
                break;
            }

            var member = Identify(name);
            if (member == Members.Unknown)
            {
                seen |= Members.Unknown;
                fault = cursor.TrySkipValue() ? null : "the event is not valid JSON";
                continue;
            }

            if ((seen & member) != 0)
            {
                fault = "a member of the event occurs twice";
                break;
            }

            seen |= !name.Contains((byte)'\\') ? member : member | Members.Unknown; // an escaped name is not stored
            switch (member)
            {
                case Members.Id:
                    fault = cursor.TryReadString(out var idHex, out _) && Bytes32.TryParseHex(idHex, out id)
                        ? null : "id is not 64 lower-case hex digits";
                    break;
                case Members.PublicKey:
                    fault = cursor.TryReadString(out var keyHex, out _) && Bytes32.TryParseHex(keyHex, out publicKey)
                        ? null : "pubkey is not 64 lower-case hex digits";
                    break;
                case Members.CreatedAt:
                    fault = cursor.TryReadPlainInteger(NostrEventView.MaxCreatedAt, out createdAt)
                        ? null : "created_at is not a plain integer from 0 to 2^53";
                    break;
                case Members.Kind:
                    fault = cursor.TryReadPlainInteger(NostrEventView.MaxKind, out kind)
                        ? null : "kind is not a plain integer from 0 to 65535";
                    break;
                case Members.Tags:
                    cursor.SkipBlanks();
                    fault = TryReadTags(ref cursor, json[start..], out tags, out tagsCanonical)
                        ? null : "tags is not an array of non-empty arrays of strings";
                    break;
                case Members.Content:
                    fault = cursor.TryReadString(out content, out contentCanonical) ? null : "content is not a valid string";
                    break;
                default:
                    fault = cursor.TryReadString(out signature, out _)
                        && (Hex.IsLower(signature, NostrEventView.SignatureHexSize) || (signature.IsEmpty && (required & Members.Signature) == 0))
                        ? null : "sig is not 128 lower-case hex digits";
                    break;
            }
        }
        while (fault is null && cursor.TryTake((byte)','));

        if (fault is null && !cursor.TryTake((byte)'}'))
        {
            fault = "the event is not valid JSON";
        }

        consumed = start + cursor.Position;
        var bytes = json[start..consumed];
        if (fault is null && (seen & required) != required)
        {
            fault = NameMissing(required & ~seen);
        }

        if (fault is null && !Utf8.IsValid(bytes))
        {
            fault = "the event is not valid UTF-8";
        }

        var canonical = tagsCanonical && contentCanonical;
        view = new NostrEventView
        {
            Id = id,
            PublicKey = publicKey,
            CreatedAt = createdAt,
            Kind = (int)kind,
            Json = bytes,
            RawTags = tags,
            RawContent = content,
            SignatureHex = signature,
            HasCanonicalBytes = canonical,
            IsNormalized = canonical && cursor.BlankCount == 0 && (seen & Members.Unknown) == 0,
        };
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    private static bool TryReadTags(scoped ref JsonCursor cursor, ReadOnlySpan<byte> json, out ReadOnlySpan<byte> raw, out bool isCanonical)
    {
        raw = default;
        isCanonical = true;
        var start = cursor.Position;
        var blanksBefore = cursor.BlankCount;
        if (!cursor.TryTake((byte)'['))
        {
            return false;
        }

        if (!cursor.TryTake((byte)']'))
        {
            do
            {
                if (!cursor.TryTake((byte)'['))
                {
                    return false;
                }

                do
                {
                    if (!cursor.TryReadString(out _, out var itemCanonical))
                    {
                        return false;
                    }

                    isCanonical &= itemCanonical;
                }
                while (cursor.TryTake((byte)','));

                if (!cursor.TryTake((byte)']'))
                {
                    return false;
                }
            }
            while (cursor.TryTake((byte)','));

            if (!cursor.TryTake((byte)']'))
            {
                return false;
            }
        }

        isCanonical &= cursor.BlankCount == blanksBefore;
        raw = json[start..cursor.Position];
        return true;
    }

    private static Members Identify(ReadOnlySpan<byte> name)
    {
        if (name.Contains((byte)'\\'))
        {
            return IdentifyEscaped(name);
        }

        return name.Length switch
        {
            2 when name.SequenceEqual("id"u8) => Members.Id,
            3 when name.SequenceEqual("sig"u8) => Members.Signature,
            4 when name.SequenceEqual("kind"u8) => Members.Kind,
            4 when name.SequenceEqual("tags"u8) => Members.Tags,
            6 when name.SequenceEqual("pubkey"u8) => Members.PublicKey,
            7 when name.SequenceEqual("content"u8) => Members.Content,
            10 when name.SequenceEqual("created_at"u8) => Members.CreatedAt,
            _ => Members.Unknown,
        };
    }

    // "\u0069d" is "id": two spellings of one name must count as a duplicate, or readers would disagree about the event.
    private static Members IdentifyEscaped(ReadOnlySpan<byte> name)
    {
        if (name.Length > MaxEscapedNameSize)
        {
            return Members.Unknown;
        }

        Span<byte> plain = stackalloc byte[MaxEscapedNameSize];
        plain = plain[..JsonText.Unescape(name, plain)];
        return plain.Contains((byte)'\\') ? Members.Unknown : Identify(plain);
    }

    private static string NameMissing(Members missing) => (Members)((int)missing & -(int)missing) switch
    {
        Members.Id => "id is missing",
        Members.PublicKey => "pubkey is missing",
        Members.CreatedAt => "created_at is missing",
        Members.Kind => "kind is missing",
        Members.Tags => "tags is missing",
        Members.Content => "content is missing",
        _ => "sig is missing",
    };
}
