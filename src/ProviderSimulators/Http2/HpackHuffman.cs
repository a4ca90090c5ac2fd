using System.Diagnostics.CodeAnalysis;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>
/// The Huffman code of header strings. RFC 7541, 5.2 and Appendix B. The code is canonical: within a length the codes count
/// up in symbol order, so the lengths alone define it; decoding walks the lengths, never a tree.
/// </summary>
internal static class HpackHuffman
{
    private const int EndOfString = 256;
    private const int LongestCode = 30;

    /// <summary>Code length in bits by symbol, 0 to 255 and end-of-string. RFC 7541, Appendix B.</summary>
    private static ReadOnlySpan<byte> Lengths =>
    [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
        28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
        5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
        6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
        21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
        19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ];

    private static readonly short[] Symbols = new short[EndOfString + 1];
    private static readonly int[] FirstCode = new int[LongestCode + 2];
    private static readonly int[] FirstIndex = new int[LongestCode + 2];

    [SuppressMessage("Performance", "CA1810", Justification = "three tables filled in one walk over the lengths")]
    static HpackHuffman()
    {
        var code = 0;
        var index = 0;
        for (var length = 1; length <= LongestCode; length++)
        {
            code <<= 1;
            FirstCode[length] = code;
            FirstIndex[length] = index;
            for (var symbol = 0; symbol <= EndOfString; symbol++)
            {
                if (Lengths[symbol] != length) continue;
                Symbols[index++] = (short)symbol;
                code++;
            }
        }
        FirstIndex[LongestCode + 1] = index;
        if (code != 1 << LongestCode) throw new InvalidOperationException("the Huffman code of RFC 7541 is complete");
    }

    /// <summary>False when the bits hold end-of-string or the padding is not the start of end-of-string below 8 bits (5.2).</summary>
    public static bool TryDecode(ReadOnlySpan<byte> source, [NotNullWhen(true)] out byte[]? text)
    {
        text = null;
        // The shortest code has 5 bits.
        var decoded = new byte[source.Length * 8 / 5];
        var count = 0;
        var code = 0;
        var length = 0;
        foreach (var octet in source)
        {
            for (var bit = 7; bit >= 0; bit--)
            {
                code = (code << 1) | ((octet >> bit) & 1);
                length++;
                if (length > LongestCode) return false;
                var offset = code - FirstCode[length];
                var index = FirstIndex[length] + offset;
                if (offset < 0 || index >= FirstIndex[length + 1]) continue;
                if (Symbols[index] == EndOfString) return false;
                decoded[count++] = (byte)Symbols[index];
                code = 0;
                length = 0;
            }
        }
        if (length > 7 || code != (1 << length) - 1) return false;
        text = decoded[..count];
        return true;
    }
}
