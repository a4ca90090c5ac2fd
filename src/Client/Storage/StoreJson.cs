using System.Text.Json;
using System.Text.Json.Serialization;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Storage;

/// <summary>How records are written as JSON: ids and keys as hex, bytes as base64.</summary>
internal static class StoreJson
{
    internal static readonly JsonSerializerOptions Options = new()
    {
        Converters = { new Bytes32Converter() },
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    internal static T Read<T>(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize<T>(json, Options) ?? throw new InvalidDataException("a record of the store is null");

    private sealed class Bytes32Converter : JsonConverter<Bytes32>
    {
        public override Bytes32 Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            Bytes32.ParseHex(reader.GetString() ?? string.Empty);

        public override void Write(Utf8JsonWriter writer, Bytes32 value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
    }
}
