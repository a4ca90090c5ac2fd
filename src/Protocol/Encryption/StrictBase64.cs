using System.Buffers;
using System.Buffers.Text;

namespace Marmot.Protocol.Encryption;

/// <summary>Base64 as the wire formats here want it: RFC 4648 standard alphabet, padded, no blank and no line break, unused bits zero.</summary>
internal static class StrictBase64
{
    /// <summary>The decoded length read off the text's length and its padding, without decoding; -1 when no valid text has this shape.</summary>
    public static int DecodedLength(ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty || text.Length % 4 != 0)
        {
            return text.IsEmpty ? 0 : -1;
        }

        int padding = text[^1] != '=' ? 0 : text[^2] != '=' ? 1 : 2;
        return (text.Length / 4 * 3) - padding;
    }

    /// <summary>Length of the text for so many bytes.</summary>
    public static long EncodedLength(long byteCount) => (byteCount + 2) / 3 * 4;

    /// <summary>Decodes all of the text; <paramref name="destination"/> must hold <see cref="DecodedLength"/> bytes.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> destination, out int written)
    {
        int expected = DecodedLength(text);
        written = 0;

        // The framework skips blanks and line breaks; skipped characters make the result shorter than the text's length promises.
        return expected >= 0
            && expected <= destination.Length
            && HasZeroTail(text, (text.Length / 4 * 3) - expected)
            && Base64.DecodeFromUtf8(text, destination, out _, out written) == OperationStatus.Done
            && written == expected;
    }

    private static bool HasZeroTail(ReadOnlySpan<byte> text, int padding) => padding switch
    {
        1 => "AEIMQUYcgkosw048"u8.Contains(text[^2]), // the last digit carries 4 of its 6 bits: the values divisible by 4
        2 => "AQgw"u8.Contains(text[^3]), // 2 of its 6 bits: divisible by 16
        _ => true,
    };
}
