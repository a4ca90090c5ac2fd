using System.Text.Json;

namespace Marmot.Protocol.Tests;

/// <summary>Opens a vector file from the output folder.</summary>
internal static class TestVectors
{
    public static JsonDocument Open(string name) =>
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name)));
}
