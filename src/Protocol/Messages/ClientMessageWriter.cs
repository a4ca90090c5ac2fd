using System.Buffers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Protocol.Messages;

/// <summary>Writes what clients send (NIP-01, NIP-42, NIP-45, NIP-77), for the suite's own relay connections.</summary>
public static class ClientMessageWriter
{
    /// <summary><c>["EVENT", event]</c>.</summary>
    public static byte[] Event(ReadOnlySpan<byte> eventJson) => Wrap("[\"EVENT\","u8, eventJson);

    /// <summary><c>["AUTH", event]</c> (NIP-42).</summary>
    public static byte[] Auth(ReadOnlySpan<byte> eventJson) => Wrap("[\"AUTH\","u8, eventJson);

    /// <summary><c>["REQ", subscription, filter...]</c>.</summary>
    public static byte[] Req(string subscriptionId, params ReadOnlySpan<Filter> filters) => WithFilters("[\"REQ\","u8, subscriptionId, filters);

    /// <summary><c>["COUNT", subscription, filter...]</c> (NIP-45).</summary>
    public static byte[] Count(string subscriptionId, params ReadOnlySpan<Filter> filters) => WithFilters("[\"COUNT\","u8, subscriptionId, filters);

    /// <summary><c>["CLOSE", subscription]</c>.</summary>
    public static byte[] Close(string subscriptionId) => WithText("[\"CLOSE\","u8, subscriptionId);

    /// <summary><c>["NEG-OPEN", subscription, filter, hex]</c> (NIP-77).</summary>
    public static byte[] NegentropyOpen(string subscriptionId, Filter filter, ReadOnlySpan<byte> payload)
    {
        var output = Start("[\"NEG-OPEN\","u8, subscriptionId);
        output.Write(","u8);
        filter.WriteTo(output);
        return EndWithHex(output, payload);
    }

    /// <summary><c>["NEG-MSG", subscription, hex]</c> (NIP-77).</summary>
    public static byte[] NegentropyMessage(string subscriptionId, ReadOnlySpan<byte> payload) =>
        EndWithHex(Start("[\"NEG-MSG\","u8, subscriptionId), payload);

    /// <summary><c>["NEG-CLOSE", subscription]</c> (NIP-77).</summary>
    public static byte[] NegentropyClose(string subscriptionId) => WithText("[\"NEG-CLOSE\","u8, subscriptionId);

    private static byte[] Wrap(ReadOnlySpan<byte> start, ReadOnlySpan<byte> body) => [.. start, .. body, (byte)']'];

    private static byte[] WithText(ReadOnlySpan<byte> start, string text)
    {
        var output = Start(start, text);
        output.Write("]"u8);
        return output.WrittenSpan.ToArray();
    }

    private static byte[] WithFilters(ReadOnlySpan<byte> start, string subscriptionId, ReadOnlySpan<Filter> filters)
    {
        var output = Start(start, subscriptionId);
        foreach (var filter in filters)
        {
            output.Write(","u8);
            filter.WriteTo(output);
        }

        output.Write("]"u8);
        return output.WrittenSpan.ToArray();
    }

    private static ArrayBufferWriter<byte> Start(ReadOnlySpan<byte> start, string subscriptionId)
    {
        var output = new ArrayBufferWriter<byte>(256);
        output.Write(start);
        JsonText.WriteString(output, subscriptionId);
        return output;
    }

    private static byte[] EndWithHex(ArrayBufferWriter<byte> output, ReadOnlySpan<byte> payload)
    {
        output.Write(",\""u8);
        Hex.EncodeLower(payload, output.GetSpan(payload.Length * 2));
        output.Advance(payload.Length * 2);
        output.Write("\"]"u8);
        return output.WrittenSpan.ToArray();
    }
}
