using System.Buffers;
using System.Buffers.Text;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>Writes event objects by hand, members in the order NIP-01 prints them, no blanks.</summary>
internal static class EventJson
{
    /// <summary>Writes a whole event; pass an empty signature for a rumor (NIP-59).</summary>
    public static void Write(
        IBufferWriter<byte> output,
        in Bytes32 id,
        in Bytes32 publicKey,
        long createdAt,
        int kind,
        ReadOnlySpan<byte> tags,
        ReadOnlySpan<byte> escapedContent,
        ReadOnlySpan<byte> signatureHex)
    {
        output.Write("{\"id\":\""u8);
        WriteHex(output, id);
        output.Write("\",\"pubkey\":\""u8);
        WriteHex(output, publicKey);
        output.Write("\",\"created_at\":"u8);
        WriteNumber(output, createdAt);
        output.Write(",\"kind\":"u8);
        WriteNumber(output, kind);
        output.Write(",\"tags\":"u8);
        output.Write(tags);
        output.Write(",\"content\":\""u8);
        output.Write(escapedContent);
        if (!signatureHex.IsEmpty)
        {
            output.Write("\",\"sig\":\""u8);
            output.Write(signatureHex);
        }

        output.Write("\"}"u8);
    }

    /// <summary>Writes a tags array.</summary>
    public static void WriteTags(IBufferWriter<byte> output, IReadOnlyList<string[]> tags)
    {
        output.Write("["u8);
        for (var i = 0; i < tags.Count; i++)
        {
            output.Write(i == 0 ? "["u8 : ",["u8);
            for (var j = 0; j < tags[i].Length; j++)
            {
                if (j > 0)
                {
                    output.Write(","u8);
                }

                JsonText.WriteString(output, tags[i][j]);
            }

            output.Write("]"u8);
        }

        output.Write("]"u8);
    }

    public static void WriteHex(IBufferWriter<byte> output, in Bytes32 value)
    {
        Hex.EncodeLower(value.Span, output.GetSpan(Bytes32.HexSize)[..Bytes32.HexSize]);
        output.Advance(Bytes32.HexSize);
    }

    public static void WriteNumber(IBufferWriter<byte> output, long value)
    {
        Utf8Formatter.TryFormat(value, output.GetSpan(20), out var digits);
        output.Advance(digits);
    }
}
