using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>A single-letter tag and its first value, as the indexes know it: the letter and 16 bytes as the key, and beside it what makes it exact.</summary>
/// <remarks>
/// A value of 64 hex digits is its 32 bytes, any other its SHA-256; the first half is the key, the second stands beside it. Different values
/// may share a key when a sender wants them to, so keys alone (two are equal by letter and first half) never decide a match.
/// </remarks>
internal readonly record struct TagKey
{
    /// <summary>Letter and first half.</summary>
    public const int Size = 17;

    /// <summary>Form and second half.</summary>
    public const int RestSize = 17;

    /// <summary>The exact form: letter, and both halves.</summary>
    public const int ExactSize = 33;

    private const byte Hashed = 0x80;
    private const byte IsUnsure = 0, IsKey = 1, IsHash = 2;
    private readonly UInt128 _rest;
    private readonly byte _form;

    private TagKey(byte letter, ReadOnlySpan<byte> digest, byte form)
    {
        Letter = letter;
        Value = BinaryPrimitives.ReadUInt128BigEndian(digest);
        _rest = BinaryPrimitives.ReadUInt128BigEndian(digest[16..]);
        _form = form;
    }

    public byte Letter { get; private init; }

    public UInt128 Value { get; private init; }

    public static TagKey FromText(char letter, string value)
    {
        var length = Encoding.UTF8.GetByteCount(value);
        Span<byte> utf8 = length <= 512 ? stackalloc byte[length] : new byte[length];
        Encoding.UTF8.GetBytes(value, utf8);
        return Create((byte)letter, utf8);
    }

    public static TagKey FromKey(char letter, in Bytes32 key) => new((byte)letter, key.Span, IsKey);

    /// <summary>False when the tag is not indexed: a name of more than one letter, or no value.</summary>
    public static bool TryCreate(in TagView tag, out TagKey key)
    {
        key = default;
        if (!tag.HasValue || tag.Name.Length != 1 || !char.IsAsciiLetter((char)tag.Name[0]))
        {
            return false;
        }

        key = Create(tag.Name[0], tag.Value.Contains((byte)'\\') ? Unescape(tag.Value) : tag.Value);
        return true;
    }

    public void Write(Span<byte> destination)
    {
        destination[0] = Letter;
        BinaryPrimitives.WriteUInt128BigEndian(destination[1..], Value);
    }

    public void WriteRest(Span<byte> destination)
    {
        destination[0] = _form;
        BinaryPrimitives.WriteUInt128BigEndian(destination[1..], _rest);
    }

    /// <summary>The letter, with its high bit set when a hash follows; then the 32 bytes. Never of a merged key.</summary>
    public byte[] ToExact()
    {
        var exact = new byte[ExactSize];
        Write(exact);
        exact[0] |= _form == IsHash ? Hashed : (byte)0;
        BinaryPrimitives.WriteUInt128BigEndian(exact.AsSpan(Size), _rest);
        return exact;
    }

    /// <summary>Whether a stored tag of the same key, known by what <see cref="WriteRest"/> wrote, has this very value; null when only the event can
    /// tell.</summary>
    public bool? IsValueOf(ReadOnlySpan<byte> rest) =>
        rest[0] == IsUnsure ? null : rest[0] == _form && BinaryPrimitives.ReadUInt128BigEndian(rest[1..]) == _rest;

    /// <summary>The key of two tags of one event that differ in the second half only: one entry of the index stands for both.</summary>
    public TagKey Merge(in TagKey other) => _form == other._form && _rest == other._rest ? this : new TagKey { Letter = Letter, Value = Value };

    /// <summary>True when the value is this 32-byte key in hex.</summary>
    public bool IsFor(in Bytes32 key) => FromKey((char)Letter, key) is var same && Equals(same) && _form == IsKey && _rest == same._rest;

    public bool Equals(TagKey other) => Letter == other.Letter && Value == other.Value;

    public override int GetHashCode() => HashCode.Combine(Letter, Value);

    private static TagKey Create(byte letter, ReadOnlySpan<byte> value)
    {
        if (Bytes32.TryParseHex(value, out var bytes))
        {
            return new TagKey(letter, bytes.Span, IsKey);
        }

        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(value, hash);
        return new TagKey(letter, hash, IsHash);
    }

    private static byte[] Unescape(ReadOnlySpan<byte> escaped)
    {
        byte[] quoted = [(byte)'"', .. escaped, (byte)'"'];
        var reader = new Utf8JsonReader(quoted);
        reader.Read();
        return Encoding.UTF8.GetBytes(reader.GetString()!);
    }
}
