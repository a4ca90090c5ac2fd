using System.Buffers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Filters;

/// <summary>Writes a filter as JSON (NIP-01).</summary>
internal static class FilterWriter
{
    public static void Write(IBufferWriter<byte> output, Filter filter)
    {
        var first = true;
        output.Write("{"u8);
        WriteKeys(output, "ids", filter.Ids, ref first);
        WriteKeys(output, "authors", filter.Authors, ref first);
        if (filter.Kinds is { } kinds)
        {
            WriteName(output, "kinds", ref first);
            output.Write("["u8);
            for (var i = 0; i < kinds.Length; i++)
            {
                output.Write(i == 0 ? ""u8 : ","u8);
                EventJson.WriteNumber(output, kinds[i]);
            }

            output.Write("]"u8);
        }

        foreach (var (letter, values) in filter.Tags)
        {
            WriteName(output, $"#{letter}", ref first);
            output.Write("["u8);
            for (var i = 0; i < values.Length; i++)
            {
                output.Write(i == 0 ? ""u8 : ","u8);
                JsonText.WriteString(output, values[i]);
            }

            output.Write("]"u8);
        }

        WriteNumber(output, "since", filter.Since, ref first);
        WriteNumber(output, "until", filter.Until, ref first);
        WriteNumber(output, "limit", filter.Limit, ref first);
        if (filter.Search is { } search)
        {
            WriteName(output, "search", ref first);
            JsonText.WriteString(output, search);
        }

        output.Write("}"u8);
    }

    private static void WriteKeys(IBufferWriter<byte> output, string name, Bytes32[]? keys, ref bool first)
    {
        if (keys is null)
        {
            return;
        }

        WriteName(output, name, ref first);
        output.Write("["u8);
        for (var i = 0; i < keys.Length; i++)
        {
            output.Write(i == 0 ? "\""u8 : ",\""u8);
            EventJson.WriteHex(output, keys[i]);
            output.Write("\""u8);
        }

        output.Write("]"u8);
    }

    private static void WriteNumber(IBufferWriter<byte> output, string name, long? value, ref bool first)
    {
        if (value is { } number)
        {
            WriteName(output, name, ref first);
            EventJson.WriteNumber(output, number);
        }
    }

    private static void WriteName(IBufferWriter<byte> output, string name, ref bool first)
    {
        output.Write(first ? ""u8 : ","u8);
        first = false;
        JsonText.WriteString(output, name);
        output.Write(":"u8);
    }
}
