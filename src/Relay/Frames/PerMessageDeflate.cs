using System.Buffers.Binary;
using System.Globalization;

namespace Marmot.Relay.Frames;

/// <summary>permessage-deflate (RFC 7692): what is agreed on in the handshake, and the shape of a compressed message.</summary>
/// <remarks>
/// Always without context takeover in either direction, so a connection keeps no compression state and a message compressed once goes to
/// every subscriber. What this side compresses holds no back-references (<see cref="MessageDeflater"/>): any window the client names will
/// do, and the length of a message tells nothing about repeated secrets in it.
/// </remarks>
internal static class PerMessageDeflate
{
    private const string Name = "permessage-deflate";
    private const string Agreed = Name + "; server_no_context_takeover; client_no_context_takeover";
    private const int StoredHeaderSize = 5; // RFC 1951, 3.2.4: block header padded to a byte, LEN, NLEN

    /// <summary>The value of <c>Sec-WebSocket-Extensions</c> to answer; null when nothing acceptable was offered.</summary>
    /// <param name="offers">The client's header, several joined by commas (RFC 6455, 9.1): the first acceptable one counts.</param>
    public static string? Negotiate(ReadOnlySpan<char> offers)
    {
        foreach (var range in offers.Split(','))
        {
            if (TryAccept(offers[range], out var windowBits))
            {
                return windowBits == 0 ? Agreed : string.Create(CultureInfo.InvariantCulture, $"{Agreed}; server_max_window_bits={windowBits}");
            }
        }

        return null;
    }

    /// <summary>Bytes of a message that stand uncompressed before compressed ones: DEFLATE blocks may follow one another.</summary>
    public static byte[] ToStoredBlock(ReadOnlySpan<byte> bytes)
    {
        var block = new byte[StoredHeaderSize + bytes.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(1), checked((ushort)bytes.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(3), (ushort)~bytes.Length);
        bytes.CopyTo(block.AsSpan(StoredHeaderSize));
        return block;
    }

    // RFC 7692, 7.1: an offer with an unknown, repeated or wrong parameter is declined.
    private static bool TryAccept(ReadOnlySpan<char> offer, out int serverWindowBits)
    {
        serverWindowBits = 0;
        var seen = 0;
        var isName = true;
        foreach (var range in offer.Split(';'))
        {
            var part = offer[range].Trim(" \t");
            if (isName)
            {
                if (!part.Equals(Name, StringComparison.OrdinalIgnoreCase))
                {
                    return false;
                }

                isName = false;
                continue;
            }

            var equals = part.IndexOf('=');
            var name = (equals < 0 ? part : part[..equals]).TrimEnd(" \t");
            var value = equals < 0 ? default : part[(equals + 1)..].TrimStart(" \t").Trim('"');
            var windowBits = 0;
            var flag = name switch
            {
                "server_no_context_takeover" when equals < 0 => 1,
                "client_no_context_takeover" when equals < 0 => 2,
                "server_max_window_bits" when IsWindow(value, out windowBits) => 4,
                "client_max_window_bits" when equals < 0 || IsWindow(value, out _) => 8,
                _ => 0,
            };
            if (flag == 0 || (seen & flag) != 0)
            {
                return false;
            }

            seen |= flag;
            serverWindowBits += windowBits;
        }

        return true;
    }

    // 8 to 15, without leading zeros.
    private static bool IsWindow(ReadOnlySpan<char> text, out int bits) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out bits) && bits is >= 8 and <= 15 && text[0] != '0';
}
