using System.Buffers;
using System.Runtime.CompilerServices;

namespace Marmot.Protocol.Events;

/// <summary>One pass over UTF-8 JSON without allocation and without exceptions: the scanner under events and client messages.</summary>
/// <remarks>
/// Strict RFC 8259 grammar; lone surrogates are refused because no UTF-8 string can hold them. UTF-8 validity is not checked
/// here: the caller runs one vectorised check over the whole input. Not thread-safe; lives on the stack.
/// </remarks>
internal ref struct JsonCursor(ReadOnlySpan<byte> json)
{
    /// <summary>Deepest nesting accepted in members that are skipped; an event itself needs three.</summary>
    public const int MaxDepth = 32;

    // What ends a run of plain string bytes: the quote, the backslash, and raw control bytes, which JSON forbids.
    private static readonly SearchValues<byte> StringStops = SearchValues.Create(
        [.. Enumerable.Range(0, 0x20).Select(b => (byte)b), (byte)'"', (byte)'\\']);

    private readonly ReadOnlySpan<byte> _json = json;

    /// <summary>Offset of the next byte.</summary>
    public int Position { get; private set; }

    /// <summary>Blank bytes skipped since the cursor was made: legal, but not the form NIP-01 hashes.</summary>
    public int BlankCount { get; private set; }

    public readonly bool AtEnd => Position >= _json.Length;

    /// <summary>The next byte, or 0 at the end (0 is never legal outside a string).</summary>
    public readonly byte Peek => Position < _json.Length ? _json[Position] : (byte)0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SkipBlanks()
    {
        if (Position < _json.Length && _json[Position] <= 0x20)
        {
            SkipBlanksSlow();
        }
    }

    /// <summary>Takes one structural byte, blanks before it allowed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(byte expected)
    {
        SkipBlanks();
        if (Peek != expected || AtEnd)
        {
            return false;
        }

        Position++;
        return true;
    }

    /// <summary>Reads a string and gives its bytes between the quotes as they stand.</summary>
    /// <param name="raw">The escaped bytes; a slice of the input.</param>
    /// <param name="isCanonical">False when an escape is not the one NIP-01 would have written.</param>
    public bool TryReadString(out ReadOnlySpan<byte> raw, out bool isCanonical)
    {
        raw = default;
        isCanonical = true;
        if (!TryTake((byte)'"'))
        {
            return false;
        }

        var start = Position;
        while (true)
        {
            var run = _json[Position..].IndexOfAny(StringStops);
            if (run < 0)
            {
                return false;
            }

            Position += run;
            var stop = _json[Position];
            if (stop == (byte)'"')
            {
                raw = _json[start..Position];
                Position++;
                return true;
            }

            if (stop != (byte)'\\' || !TryTakeEscape(ref isCanonical))
            {
                return false;
            }
        }
    }

    /// <summary>Reads digits only: no sign, point, exponent or leading zero (engine rule: other forms would hash differently).</summary>
    public bool TryReadPlainInteger(long max, out long value)
    {
        SkipBlanks();
        value = 0;
        var start = Position;
        while (Position < _json.Length && (uint)(_json[Position] - '0') <= 9)
        {
            // max is at most 2^53, so seventeen digits cannot overflow before the comparison.
            value = (value * 10) + (_json[Position] - '0');
            Position++;
            if (value > max)
            {
                return false;
            }
        }

        var length = Position - start;
        return length > 0
            && (length == 1 || _json[start] != (byte)'0')
            && Peek is (byte)',' or (byte)'}' or (byte)']' or <= 0x20;
    }

    /// <summary>Takes <c>true</c> or <c>false</c>.</summary>
    public bool TryReadBoolean(out bool value)
    {
        SkipBlanks();
        value = Peek == (byte)'t';
        return TryTakeLiteral(value ? "true"u8 : "false"u8);
    }

    /// <summary>True when nothing but blanks is left.</summary>
    public bool TryTakeEnd()
    {
        SkipBlanks();
        return AtEnd;
    }

    /// <summary>Steps over any one value, checking its grammar.</summary>
    public bool TrySkipValue()
    {
        // One bit a level: 1 for an object, 0 for an array.
        ulong kinds = 0;
        var depth = 0;
        while (true)
        {
            SkipBlanks();
            var first = Peek;
            if (first is (byte)'{' or (byte)'[')
            {
                if (depth == MaxDepth)
                {
                    return false;
                }

                Position++;
                var isObject = first == (byte)'{';
                kinds = (kinds << 1) | (isObject ? 1UL : 0UL);
                depth++;
                if (!TryTake(isObject ? (byte)'}' : (byte)']'))
                {
                    if (isObject && !TrySkipName())
                    {
                        return false;
                    }

                    continue;
                }

                kinds >>= 1;
                depth--;
            }
            else if (!TrySkipScalar(first))
            {
                return false;
            }

            // A value is complete: close what closes here, then go on to the next one.
            while (depth > 0 && !TryTake((byte)','))
            {
                var close = (kinds & 1) == 1 ? (byte)'}' : (byte)']';
                if (!TryTake(close))
                {
                    return false;
                }

                kinds >>= 1;
                depth--;
            }

            if (depth == 0)
            {
                return true;
            }

            if ((kinds & 1) == 1 && !TrySkipName())
            {
                return false;
            }
        }
    }

    private bool TrySkipName() => TryReadString(out _, out _) && TryTake((byte)':');

    private bool TrySkipScalar(byte first) => first switch
    {
        (byte)'"' => TryReadString(out _, out _),
        (byte)'t' => TryTakeLiteral("true"u8),
        (byte)'f' => TryTakeLiteral("false"u8),
        (byte)'n' => TryTakeLiteral("null"u8),
        _ => TrySkipNumber(),
    };

    private bool TryTakeLiteral(ReadOnlySpan<byte> literal)
    {
        if (!_json[Position..].StartsWith(literal))
        {
            return false;
        }

        Position += literal.Length;
        return true;
    }

    // RFC 8259, 6: [minus] int [frac] [exp].
    private bool TrySkipNumber()
    {
        if (Peek == (byte)'-')
        {
            Position++;
        }

        if (Peek == (byte)'0')
        {
            Position++;
        }
        else if (!TrySkipDigits())
        {
            return false;
        }

        if (Peek == (byte)'.')
        {
            Position++;
            if (!TrySkipDigits())
            {
                return false;
            }
        }

        if (Peek is (byte)'e' or (byte)'E')
        {
            Position++;
            if (Peek is (byte)'+' or (byte)'-')
            {
                Position++;
            }

            return TrySkipDigits();
        }

        return true;
    }

    private bool TrySkipDigits()
    {
        var start = Position;
        while ((uint)(Peek - '0') <= 9)
        {
            Position++;
        }

        return Position > start;
    }

    // Position is on the backslash. Canonical are the seven short escapes, and \u00xx in lower case for the other C0 controls.
    private bool TryTakeEscape(ref bool isCanonical)
    {
        if (Position + 1 >= _json.Length)
        {
            return false;
        }

        var kind = _json[Position + 1];
        if (kind is (byte)'n' or (byte)'"' or (byte)'\\' or (byte)'r' or (byte)'t' or (byte)'b' or (byte)'f')
        {
            Position += 2;
            return true;
        }

        if (kind == (byte)'/')
        {
            isCanonical = false;
            Position += 2;
            return true;
        }

        if (kind != (byte)'u' || !TryReadCodeUnit(_json[Position..], out var unit))
        {
            return false;
        }

        if (unit is < 0x20 and not (0x08 or 0x09 or 0x0A or 0x0C or 0x0D))
        {
            isCanonical &= !_json.Slice(Position + 2, 4).ContainsAnyInRange((byte)'A', (byte)'F');
            Position += 6;
            return true;
        }

        isCanonical = false;
        Position += 6;
        if (!char.IsSurrogate((char)unit))
        {
            return true;
        }

        if (!char.IsHighSurrogate((char)unit)
            || !TryReadCodeUnit(_json[Position..], out var low)
            || !char.IsLowSurrogate((char)low))
        {
            return false;
        }

        Position += 6;
        return true;
    }

    /// <summary>Reads <c>\uXXXX</c>, either case, from the start of <paramref name="escape"/>.</summary>
    public static bool TryReadCodeUnit(ReadOnlySpan<byte> escape, out int unit)
    {
        unit = 0;
        if (escape.Length < 6 || escape[0] != (byte)'\\' || escape[1] != (byte)'u')
        {
            return false;
        }

        for (var i = 2; i < 6; i++)
        {
            int digit = escape[i] switch
            {
                >= (byte)'0' and <= (byte)'9' => escape[i] - '0',
                >= (byte)'a' and <= (byte)'f' => escape[i] - 'a' + 10,
                >= (byte)'A' and <= (byte)'F' => escape[i] - 'A' + 10,
                _ => -1,
            };
            if (digit < 0)
            {
                return false;
            }

            unit = (unit << 4) | digit;
        }

        return true;
    }

    private void SkipBlanksSlow()
    {
        while (Position < _json.Length && _json[Position] is 0x20 or 0x0A or 0x0D or 0x09)
        {
            Position++;
            BlankCount++;
        }
    }
}
