using System.Text.Json;

namespace Marmot.Protocol.Tests.Encryption;

/// <summary>Reads the published vectors copied next to the tests; origin and licences are in Vectors/README.md.</summary>
internal static class VectorFile
{
    public static JsonElement Read(string name)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name)));
        return document.RootElement.Clone();
    }

    public static byte[] Bytes(this JsonElement element, string member) => Convert.FromHexString(element.Text(member));

    public static string Text(this JsonElement element, string member) => element.GetProperty(member).GetString()!;

    public static byte[] Utf8(this JsonElement element) => System.Text.Encoding.UTF8.GetBytes(element.GetRawText());
}
