using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Support;

/// <summary>Vector files and their common fields.</summary>
internal static class VectorFile
{
    public static JsonElement Read(string name) => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name))).RootElement;

    extension(JsonElement element)
    {
        public string Text(string name) => element.GetProperty(name).GetString()!;

        public byte[] Bytes(string name) => Convert.FromHexString(element.Text(name));

        public Bytes32 Key(string name) => Bytes32.ParseHex(element.Text(name));

        public NostrEvent Event(string name) => element.GetProperty(name).ToEvent();

        public NostrEvent ToEvent() => NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(element.GetRawText()), out var evt, out var reason) ? evt : throw new InvalidDataException(reason.ToString());

        /// <summary>An unsigned event of a file; its id is checked.</summary>
        public Rumor ToRumor() => Rumor.TryParse(System.Text.Encoding.UTF8.GetBytes(element.GetRawText()), out var rumor, out var reason) ? rumor : throw new InvalidDataException(reason.ToString());
    }
}
