using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Support;

/// <summary>Files under Vectors and their spellings.</summary>
internal static class VectorFile
{
    public static JsonElement Read(string name)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name)));
        return document.RootElement.Clone();
    }

    /// <summary>A gzipped file under Vectors/adopted.</summary>
    public static JsonElement ReadAdopted(string name)
    {
        using var stream = new System.IO.Compression.GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Vectors", "adopted",
            name + ".json.gz")), System.IO.Compression.CompressionMode.Decompress);
        using var document = JsonDocument.Parse(stream);
        return document.RootElement.Clone();
    }

    public static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    public static byte[] Bytes(this JsonElement element, string name) => Convert.FromHexString(element.Text(name));

    public static Bytes32 Key(this JsonElement element, string name) => Bytes32.ParseHex(element.Text(name));

    public static DateTimeOffset Clock(this JsonElement file) => DateTimeOffset.FromUnixTimeSeconds(file.GetProperty("clock").GetInt64());

    public static NostrEvent Event(this JsonElement element, string? name = null)
    {
        string json = (name is null ? element : element.GetProperty(name)).GetRawText();
        return NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(json), out var evt, out var reason)
            ? evt
            : throw new InvalidDataException(reason.ToString());
    }

    /// <summary>An unsigned event of a file; its id is checked.</summary>
    public static Rumor ToRumor(this JsonElement element) =>
        Rumor.TryParse(System.Text.Encoding.UTF8.GetBytes(element.GetRawText()), out var rumor, out var reason)
            ? rumor
            : throw new InvalidDataException(reason.ToString());
}
