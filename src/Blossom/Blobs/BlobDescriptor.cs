using System.Text.Json;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;

namespace Marmot.Blossom.Blobs;

/// <summary>Writes a blob descriptor (BUD-02). The url always ends in an extension, <c>.bin</c> when the type has none.</summary>
internal static class BlobDescriptor
{
    public static void Write(Utf8JsonWriter json, BlobEntry entry, string origin)
    {
        var hash = entry.Hash.ToString();
        json.WriteStartObject();
        json.WriteString("url"u8, $"{origin}/{hash}{BlobTypes.ExtensionOf(entry.Type)}");
        json.WriteString("sha256"u8, hash);
        json.WriteNumber("size"u8, entry.Size);
        json.WriteString("type"u8, entry.Type);
        json.WriteNumber("uploaded"u8, entry.UploadedAt);
        json.WriteEndObject();
    }
}
