using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>A single-letter tag and its first value, as the indexes know it: the letter and 16 bytes.</summary>
/// <remarks>
/// The 16 bytes are the first half of a value of 64 hex digits, else of its SHA-256. Different values may share a key when a sender
/// wants them to, so a match by key is always checked on the event itself.
/// </remarks>
internal readonly record struct TagKey(byte Letter, UInt128 Value)
{
    /// <summary>Letter and value.</summary>
    public const int Size = 17;

    public static TagKey FromText(char letter, string value)
    {
        var length = Encoding.UTF8.GetByteCount(value);
        Span<byte> utf8 = length <= 512 ? stackalloc byte[length] : new byte[length];
        Encoding.UTF8.GetBytes(value, utf8);
        return new TagKey((byte)letter, Shorten(utf8));
    }

    public static TagKey FromKey(char letter, in Bytes32 key) =>
        new((byte)letter, BinaryPrimitives.ReadUInt128BigEndian(key.Span));

    /// <summary>False when the tag is not indexed: a name of more than one letter, or no value.</summary>
    public static bool TryCreate(in TagView tag, out TagKey key)
    {
        key = default;
        if (!tag.HasValue || tag.Name.Length != 1 || !char.IsAsciiLetter((char)tag.Name[0]))
        {
            return false;
        }

        key = new TagKey(tag.Name[0], ShortenEscaped(tag.Value));
        return true;
    }

    /// <summary>The 16 bytes of a value that stands escaped in an event.</summary>
    public static UInt128 ShortenEscaped(ReadOnlySpan<byte> escaped)
    {
        if (!escaped.Contains((byte)'\\'))
        {
            return Shorten(escaped);
        }

        var quoted = new byte[escaped.Length + 2];
        quoted[0] = quoted[^1] = (byte)'"';
        escaped.CopyTo(quoted.AsSpan(1));
        var reader = new Utf8JsonReader(quoted);
        reader.Read();
        return Shorten(Encoding.UTF8.GetBytes(reader.GetString()!));
    }

    public static UInt128 Shorten(ReadOnlySpan<byte> value)
    {
        if (Bytes32.TryParseHex(value, out var bytes))
        {
            return BinaryPrimitives.ReadUInt128BigEndian(bytes.Span);
        }

        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(value, hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    public void Write(Span<byte> destination)
    {
        destination[0] = Letter;
        BinaryPrimitives.WriteUInt128BigEndian(destination[1..], Value);
    }
}
