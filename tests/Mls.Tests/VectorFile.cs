using System.IO.Compression;
using System.Text.Json;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Tests;

/// <summary>Opens an official vector file; large ones are kept gzipped.</summary>
internal static class VectorFile
{
    public static JsonElement[] Load(string name)
    {
        var path = Path.Combine(AppContext.BaseDirectory, "Vectors", name + ".json");
        using Stream stream = File.Exists(path) ? File.OpenRead(path) : new GZipStream(File.OpenRead(path + ".gz"), CompressionMode.Decompress);
        using var document = JsonDocument.Parse(stream);
        return [.. document.RootElement.Clone().EnumerateArray()];
    }

    /// <summary>The cases of the supported suites; the rest must be suites 4 and 6, counted.</summary>
    public static IEnumerable<(JsonElement Case, CipherSuite Suite)> Suites(string name, int skipped)
    {
        var count = 0;
        foreach (var item in Load(name))
        {
            var id = item.GetProperty("cipher_suite").GetUInt16();
            if (id is 4 or 6)
            {
                Assert.Throws<Mls.Codec.MlsException>(() => CipherSuite.Get(id));
                count++;
            }
            else
            {
                yield return (item, CipherSuite.Get(id));
            }
        }
        Assert.Equal(skipped, count);
    }

    public static byte[] Bytes(this JsonElement element, string name) => Convert.FromHexString(element.GetProperty(name).GetString()!);

    public static SecretBytes Secret(this JsonElement element, string name) => SecretBytes.Copy(element.Bytes(name));

    public static byte[]? OptionalBytes(this JsonElement element, string name)
        => element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? Convert.FromHexString(value.GetString()!) : null;

    public static uint UInt(this JsonElement element, string name) => element.GetProperty(name).GetUInt32();
}
