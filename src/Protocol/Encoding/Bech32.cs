namespace Marmot.Protocol.Encoding;

/// <summary>Bech32 as NIP-19 uses it.</summary>
/// <remarks>References: BIP-173 (not the later bech32m). Parameters: checksum constant 1; no 90-character limit, the caller bounds the length.</remarks>
internal static class Bech32
{
    private const string Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    private const int ChecksumLength = 6;
    private const int MaxPrefixLength = 16;

    /// <summary>Bytes that data characters can hold at most.</summary>
    public static int MaxDecodedSize(int textLength) => textLength * 5 / 8;

    /// <summary>Encodes bytes under a lower-case prefix.</summary>
    public static string Encode(string prefix, ReadOnlySpan<byte> data)
    {
        var text = new char[prefix.Length + 1 + (((data.Length * 8) + 4) / 5) + ChecksumLength];
        prefix.CopyTo(text);
        text[prefix.Length] = '1';
        var position = prefix.Length + 1;
        var checksum = StartChecksum(prefix);
        int bits = 0, buffer = 0;
        foreach (var value in data)
        {
            buffer = ((buffer << 8) | value) & 0xFFF;
            bits += 8;
            while (bits >= 5)
            {
                bits -= 5;
                Put((buffer >> bits) & 31);
            }
        }

        if (bits > 0)
        {
            Put((buffer << (5 - bits)) & 31);
        }

        for (var i = 0; i < ChecksumLength; i++)
        {
            checksum = Step(checksum, 0);
        }

        checksum ^= 1;
        for (var i = 0; i < ChecksumLength; i++)
        {
            text[position++] = Alphabet[(int)(checksum >> (5 * (ChecksumLength - 1 - i))) & 31];
        }

        return new string(text);

        void Put(int value)
        {
            text[position++] = Alphabet[value];
            checksum = Step(checksum, value);
        }
    }

    /// <summary>Decodes text with the given lower-case prefix; all lower or all upper case.</summary>
    /// <param name="text">The whole text.</param>
    /// <param name="prefix">The only prefix accepted.</param>
    /// <param name="destination">At least <see cref="MaxDecodedSize"/> bytes; may hold key bytes even on false, the caller wipes it.</param>
    /// <param name="written">Bytes decoded.</param>
    public static bool TryDecode(ReadOnlySpan<char> text, string prefix, Span<byte> destination, out int written)
    {
        written = 0;
        if (text.Length < prefix.Length + 1 + ChecksumLength
            || !text[..prefix.Length].Equals(prefix, StringComparison.OrdinalIgnoreCase)
            || text[prefix.Length] != '1'
            || (text.ContainsAnyInRange('a', 'z') && text.ContainsAnyInRange('A', 'Z')))
        {
            return false;
        }

        var checksum = StartChecksum(prefix);
        var data = text[(prefix.Length + 1)..];
        int bits = 0, buffer = 0;
        for (var i = 0; i < data.Length; i++)
        {
            var value = Alphabet.IndexOf(char.ToLowerInvariant(data[i]), StringComparison.Ordinal);
            if (value < 0)
            {
                return false;
            }

            checksum = Step(checksum, value);
            if (i >= data.Length - ChecksumLength)
            {
                continue;
            }

            buffer = ((buffer << 5) | value) & 0xFFF;
            bits += 5;
            if (bits >= 8)
            {
                bits -= 8;
                destination[written++] = (byte)(buffer >> bits);
            }
        }

        // Fewer than five padding bits, all zero (BIP-173).
        return checksum == 1 && bits < 5 && (buffer & ((1 << bits) - 1)) == 0;
    }

    private static uint StartChecksum(string prefix)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(prefix.Length, MaxPrefixLength);
        uint checksum = 1;
        foreach (var c in prefix)
        {
            checksum = Step(checksum, c >> 5);
        }

        checksum = Step(checksum, 0);
        foreach (var c in prefix)
        {
            checksum = Step(checksum, c & 31);
        }

        return checksum;
    }

    // The BCH code of BIP-173, one five-bit value at a time.
    private static uint Step(uint checksum, int value)
    {
        var top = checksum >> 25;
        checksum = ((checksum & 0x1FFFFFF) << 5) ^ (uint)value;
        checksum ^= (top & 1) != 0 ? 0x3B6A57B2u : 0;
        checksum ^= (top & 2) != 0 ? 0x26508E6Du : 0;
        checksum ^= (top & 4) != 0 ? 0x1EA119FAu : 0;
        checksum ^= (top & 8) != 0 ? 0x3D4233DDu : 0;
        checksum ^= (top & 16) != 0 ? 0x2A1462B3u : 0;
        return checksum;
    }
}
