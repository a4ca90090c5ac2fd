using System.Buffers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Messages;

/// <summary>Writes what relays send (NIP-01, NIP-42, NIP-45, NIP-77).</summary>
/// <remarks>Writes to the caller's buffer and keeps nothing. A subscription id is encoded once with <see cref="EncodeSubscriptionId"/> and reused for each
/// event.</remarks>
public static class RelayMessageWriter
{
    /// <summary>The id as a JSON string with its quotes, for <see cref="WriteEvent"/> and its siblings.</summary>
    public static byte[] EncodeSubscriptionId(string subscriptionId)
    {
        var output = new ArrayBufferWriter<byte>(subscriptionId.Length + 2);
        JsonText.WriteString(output, subscriptionId);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Size of what <see cref="WriteEvent"/> writes.</summary>
    public static int EventSize(int encodedSubscriptionIdSize, int eventSize) => "[\"EVENT\",,]".Length + encodedSubscriptionIdSize + eventSize;

    /// <summary><c>["EVENT", subscription, event]</c>; the event's bytes go out as they are stored.</summary>
    public static void WriteEvent(IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, ReadOnlySpan<byte> eventJson)
    {
        var size = EventSize(encodedSubscriptionId.Length, eventJson.Length);
        var span = output.GetSpan(size);
        "[\"EVENT\","u8.CopyTo(span);
        span = span[9..];
        encodedSubscriptionId.CopyTo(span);
        span = span[encodedSubscriptionId.Length..];
        span[0] = (byte)',';
        eventJson.CopyTo(span[1..]);
        span[1 + eventJson.Length] = (byte)']';
        output.Advance(size);
    }

    /// <summary><c>["OK", id, true, ""]</c>.</summary>
    public static void WriteOk(IBufferWriter<byte> output, in Bytes32 eventId) => WriteOk(output, eventId, accepted: true, string.Empty);

    /// <summary><c>["OK", id, accepted, "prefix: text"]</c>.</summary>
    public static void WriteOk(IBufferWriter<byte> output, in Bytes32 eventId, bool accepted, in RejectReason reason) =>
        WriteOk(output, eventId, accepted, reason.ToString());

    /// <summary><c>["EOSE", subscription]</c>, or with a third element <c>["finish"]</c> or <c>["more"]</c> (NIP-67).</summary>
    public static void WriteEose(IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, EoseHint hint = EoseHint.None)
    {
        output.Write("[\"EOSE\","u8);
        output.Write(encodedSubscriptionId);
        output.Write(hint switch
        {
            EoseHint.Finish => ",[\"finish\"]]"u8,
            EoseHint.More => ",[\"more\"]]"u8,
            _ => "]"u8,
        });
    }

    /// <summary><c>["CLOSED", subscription, "prefix: text"]</c>.</summary>
    public static void WriteClosed(IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, in RejectReason reason)
    {
        output.Write("[\"CLOSED\","u8);
        output.Write(encodedSubscriptionId);
        WriteLastText(output, reason.ToString());
    }

    /// <summary><c>["NOTICE", text]</c>.</summary>
    public static void WriteNotice(IBufferWriter<byte> output, string text)
    {
        output.Write("[\"NOTICE\""u8);
        WriteLastText(output, text);
    }

    /// <summary><c>["AUTH", challenge]</c> (NIP-42).</summary>
    public static void WriteAuth(IBufferWriter<byte> output, string challenge)
    {
        output.Write("[\"AUTH\""u8);
        WriteLastText(output, challenge);
    }

    /// <summary><c>["COUNT", subscription, {"count": n}]</c> (NIP-45).</summary>
    /// <param name="output">Where to.</param>
    /// <param name="encodedSubscriptionId">From <see cref="EncodeSubscriptionId"/>.</param>
    /// <param name="count">The number.</param>
    /// <param name="isApproximate">True when the number is an estimate.</param>
    /// <param name="hyperLogLogHex">512 hex digits of registers, or empty.</param>
    public static void WriteCount(
        IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, long count, bool isApproximate = false,
        ReadOnlySpan<byte> hyperLogLogHex = default)
    {
        output.Write("[\"COUNT\","u8);
        output.Write(encodedSubscriptionId);
        output.Write(",{\"count\":"u8);
        EventJson.WriteNumber(output, count);
        output.Write(isApproximate ? ",\"approximate\":true"u8 : ""u8);
        if (!hyperLogLogHex.IsEmpty)
        {
            output.Write(",\"hll\":\""u8);
            output.Write(hyperLogLogHex);
            output.Write("\""u8);
        }

        output.Write("}]"u8);
    }

    /// <summary><c>["NEG-MSG", subscription, hex]</c> (NIP-77).</summary>
    public static void WriteNegentropyMessage(IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, ReadOnlySpan<byte> payload)
    {
        output.Write("[\"NEG-MSG\","u8);
        output.Write(encodedSubscriptionId);
        output.Write(",\""u8);
        Hex.EncodeLower(payload, output.GetSpan(payload.Length * 2));
        output.Advance(payload.Length * 2);
        output.Write("\"]"u8);
    }

    /// <summary><c>["NEG-ERR", subscription, "prefix: text"]</c> (NIP-77).</summary>
    public static void WriteNegentropyError(IBufferWriter<byte> output, ReadOnlySpan<byte> encodedSubscriptionId, in RejectReason reason)
    {
        output.Write("[\"NEG-ERR\","u8);
        output.Write(encodedSubscriptionId);
        WriteLastText(output, reason.ToString());
    }

    // NIP-01: the fourth element is always there, empty when there is nothing to say.
    private static void WriteOk(IBufferWriter<byte> output, in Bytes32 eventId, bool accepted, string text)
    {
        output.Write("[\"OK\",\""u8);
        EventJson.WriteHex(output, eventId);
        output.Write(accepted ? "\",true"u8 : "\",false"u8);
        WriteLastText(output, text);
    }

    private static void WriteLastText(IBufferWriter<byte> output, string text)
    {
        output.Write(","u8);
        JsonText.WriteString(output, text);
        output.Write("]"u8);
    }
}
