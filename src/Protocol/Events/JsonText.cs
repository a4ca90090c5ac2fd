using System.Buffers;
using System.Text;

namespace Marmot.Protocol.Events;

/// <summary>Strings as NIP-01 writes them: the seven short escapes, <c>\u00xx</c> for the other C0 controls, all else verbatim.</summary>
/// <remarks>
/// System.Text.Json's encoders escape more than this and would give other event ids, so the writer is by hand.
/// Every string has exactly one canonical form, so canonical bytes may be compared in place of the strings.
/// </remarks>
internal static class JsonText
{
    private const string LowerHex = "0123456789abcdef";

    private static readonly SearchValues<byte> NeedEscape = SearchValues.Create(
        [.. Enumerable.Range(0, 0x20).Select(b => (byte)b), (byte)'"', (byte)'\\']);

    /// <summary>Longest escaped form of one UTF-8 byte: <c>\u00xx</c>.</summary>
    private const int MaxEscapedByteSize = 6;

    /// <summary>Turns escaped bytes that <see cref="JsonCursor"/> accepted into the canonical escaped bytes, never longer than the source.</summary>
    /// <returns>Bytes written.</returns>
    public static int Canonicalize(ReadOnlySpan<byte> raw, Span<byte> destination)
    {
        var written = 0;
        while (true)
        {
            var run = raw.IndexOf((byte)'\\');
            if (run < 0)
            {
                raw.CopyTo(destination[written..]);
                return written + raw.Length;
            }

            raw[..run].CopyTo(destination[written..]);
            written += run;
            raw = raw[run..];
            raw = raw[ReadEscape(raw, out var rune)..];
            written += WriteRune(rune, destination[written..]);
        }
    }

    /// <summary>Decodes escaped bytes that <see cref="JsonCursor"/> accepted.</summary>
    public static string Decode(ReadOnlySpan<byte> raw)
    {
        if (!raw.Contains((byte)'\\'))
        {
            return System.Text.Encoding.UTF8.GetString(raw);
        }

        var rented = ArrayPool<byte>.Shared.Rent(raw.Length);
        try
        {
            return System.Text.Encoding.UTF8.GetString(rented, 0, Unescape(raw, rented));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented, clearArray: true); // may have held the plaintext of a rumor
        }
    }

    /// <summary>Decodes escaped bytes to plain UTF-8, never longer than the source.</summary>
    public static int Unescape(ReadOnlySpan<byte> raw, Span<byte> destination)
    {
        var written = 0;
        while (true)
        {
            var run = raw.IndexOf((byte)'\\');
            if (run < 0)
            {
                raw.CopyTo(destination[written..]);
                return written + raw.Length;
            }

            raw[..run].CopyTo(destination[written..]);
            written += run;
            raw = raw[run..];
            raw = raw[ReadEscape(raw, out var rune)..];
            written += rune.EncodeToUtf8(destination[written..]);
        }
    }

    /// <summary>Writes a string with its quotes. A lone surrogate becomes U+FFFD, since UTF-8 cannot hold it.</summary>
    public static void WriteString(IBufferWriter<byte> output, ReadOnlySpan<char> text)
    {
        var rented = ArrayPool<byte>.Shared.Rent(System.Text.Encoding.UTF8.GetMaxByteCount(text.Length));
        try
        {
            WriteUtf8String(output, rented.AsSpan(0, System.Text.Encoding.UTF8.GetBytes(text, rented)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented, clearArray: true); // may have held the plaintext of a rumor
        }
    }

    /// <summary>Writes plain UTF-8 as a string with its quotes.</summary>
    public static void WriteUtf8String(IBufferWriter<byte> output, ReadOnlySpan<byte> utf8)
    {
        output.Write("\""u8);
        while (true)
        {
            var run = utf8.IndexOfAny(NeedEscape);
            if (run < 0)
            {
                output.Write(utf8);
                output.Write("\""u8);
                return;
            }

            output.Write(utf8[..run]);
            var span = output.GetSpan(MaxEscapedByteSize);
            output.Advance(WriteAscii(utf8[run], span));
            utf8 = utf8[(run + 1)..];
        }
    }

    /// <summary>The canonical escaped bytes of a string, without quotes.</summary>
    public static byte[] Escape(string text)
    {
        var output = new ArrayBufferWriter<byte>(text.Length + 2);
        WriteString(output, text);
        return output.WrittenSpan[1..^1].ToArray();
    }

    // The source was accepted by JsonCursor, so the escape is whole and surrogates are paired.
    private static int ReadEscape(ReadOnlySpan<byte> raw, out Rune rune)
    {
        if (raw[1] != (byte)'u')
        {
            rune = new Rune(raw[1] switch
            {
                (byte)'n' => '\n',
                (byte)'r' => '\r',
                (byte)'t' => '\t',
                (byte)'b' => '\b',
                (byte)'f' => '\f',
                var same => (char)same,
            });
            return 2;
        }

        JsonCursor.TryReadCodeUnit(raw, out var unit);
        if (!char.IsHighSurrogate((char)unit))
        {
            rune = new Rune((char)unit);
            return 6;
        }

        JsonCursor.TryReadCodeUnit(raw[6..], out var low);
        rune = new Rune((char)unit, (char)low);
        return 12;
    }

    private static int WriteRune(Rune rune, Span<byte> destination) =>
        rune.IsAscii ? WriteAscii((byte)rune.Value, destination) : rune.EncodeToUtf8(destination);

    private static int WriteAscii(byte value, Span<byte> destination)
    {
        var shortForm = value switch
        {
            (byte)'\n' => 'n',
            (byte)'"' => '"',
            (byte)'\\' => '\\',
            (byte)'\r' => 'r',
            (byte)'\t' => 't',
            (byte)'\b' => 'b',
            (byte)'\f' => 'f',
            _ => '\0',
        };
        if (shortForm != '\0')
        {
            destination[0] = (byte)'\\';
            destination[1] = (byte)shortForm;
            return 2;
        }

        if (value >= 0x20)
        {
            destination[0] = value;
            return 1;
        }

        "\\u00"u8.CopyTo(destination);
        destination[4] = (byte)LowerHex[value >> 4];
        destination[5] = (byte)LowerHex[value & 0xF];
        return MaxEscapedByteSize;
    }
}
