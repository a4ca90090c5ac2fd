using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>A single-letter tag as the table of tags knows it: 33 bytes, and unlike the embedded store's short key exact, so that SQL alone decides a match.</summary>
/// <remarks>The letter, with its high bit set when a hash follows; then a value of 64 hex digits decoded, else its SHA-256.</remarks>
internal static class PostgresTagKey
{
    public const int Size = 1 + Bytes32.Size;
    private const byte Hashed = 0x80;

    public static byte[] FromText(char letter, string value) => Create((byte)letter, Encoding.UTF8.GetBytes(value));

    public static byte[] FromKey(char letter, in Bytes32 key) => [(byte)letter, .. key.Span];

    /// <summary>The distinct keys of an event.</summary>
    public static List<byte[]> ReadAll(in NostrEventView view)
    {
        var keys = new List<byte[]>();
        HashSet<(byte, Bytes32)>? seen = null;
        foreach (var tag in view.Tags)
        {
            if (!tag.HasValue || tag.Name.Length != 1 || !char.IsAsciiLetter((char)tag.Name[0]))
            {
                continue;
            }

            var key = Create(tag.Name[0], tag.Value.Contains((byte)'\\') ? Unescape(tag.Value) : tag.Value);
            if ((seen ??= []).Add((key[0], new Bytes32(key.AsSpan(1)))))
            {
                keys.Add(key);
            }
        }

        return keys;
    }

    private static byte[] Create(byte letter, ReadOnlySpan<byte> value)
    {
        var key = new byte[Size];
        key[0] = letter;
        if (Bytes32.TryParseHex(value, out var bytes))
        {
            bytes.Span.CopyTo(key.AsSpan(1));
        }
        else
        {
            key[0] |= Hashed;
            SHA256.HashData(value, key.AsSpan(1));
        }

        return key;
    }

    private static byte[] Unescape(ReadOnlySpan<byte> escaped)
    {
        byte[] quoted = [(byte)'"', .. escaped, (byte)'"'];
        var reader = new System.Text.Json.Utf8JsonReader(quoted);
        reader.Read();
        return Encoding.UTF8.GetBytes(reader.GetString()!);
    }
}
