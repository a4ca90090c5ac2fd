using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Marmot.Protocol.Encoding;

/// <summary>A profile with the relays where it is found (NIP-19, nprofile).</summary>
/// <param name="PublicKey">The key.</param>
/// <param name="Relays">Relay URLs, maybe none.</param>
public sealed record Nip19Profile(Bytes32 PublicKey, IReadOnlyList<string> Relays);

/// <summary>An event with the relays where it is found (NIP-19, nevent).</summary>
/// <param name="Id">The event.</param>
/// <param name="Relays">Relay URLs, maybe none.</param>
/// <param name="Author">The author when given.</param>
/// <param name="Kind">The kind when given.</param>
public sealed record Nip19Event(Bytes32 Id, IReadOnlyList<string> Relays, Bytes32? Author = null, int? Kind = null);

/// <summary>An addressable event (NIP-19, naddr).</summary>
/// <param name="Identifier">Value of the <c>d</c> tag, empty for a replaceable event.</param>
/// <param name="Author">The author.</param>
/// <param name="Kind">The kind.</param>
/// <param name="Relays">Relay URLs, maybe none.</param>
public sealed record Nip19Address(string Identifier, Bytes32 Author, int Kind, IReadOnlyList<string> Relays);

/// <summary>Keys, ids and pointers as people see them: npub, nsec, note, nprofile, nevent, naddr (NIP-19).</summary>
/// <remarks>Reading never throws: bad text gives false. Unknown TLV types are skipped, as the NIP asks. Thread-safe.</remarks>
public static class Nip19
{
    /// <summary>Longest text read, in characters (NIP-19 advises 5,000).</summary>
    public const int MaxTextLength = 5000;

    private const byte SpecialType = 0;
    private const byte RelayType = 1;
    private const byte AuthorType = 2;
    private const byte KindType = 3;
    private const int MaxTlvSize = 255;

    /// <summary>The npub form.</summary>
    public static string EncodePublicKey(in Bytes32 publicKey) => Bech32.Encode("npub", publicKey.Span);

    /// <summary>The note form.</summary>
    public static string EncodeNote(in Bytes32 eventId) => Bech32.Encode("note", eventId.Span);

    /// <summary>The nsec form: a secret in a string that cannot be wiped, so only for showing on request.</summary>
    public static string EncodeSecretKey(ReadOnlySpan<byte> secretKey)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(secretKey.Length, Bytes32.Size);
        return Bech32.Encode("nsec", secretKey);
    }

    /// <summary>The nprofile form.</summary>
    public static string EncodeProfile(Nip19Profile profile)
    {
        var data = new List<byte>();
        AddTlv(data, SpecialType, profile.PublicKey.Span);
        AddRelays(data, profile.Relays);
        return Bech32.Encode("nprofile", [.. data]);
    }

    /// <summary>The nevent form.</summary>
    public static string EncodeEvent(Nip19Event reference)
    {
        var data = new List<byte>();
        AddTlv(data, SpecialType, reference.Id.Span);
        AddRelays(data, reference.Relays);
        if (reference.Author is { } author)
        {
            AddTlv(data, AuthorType, author.Span);
        }

        if (reference.Kind is { } kind)
        {
            AddKind(data, kind);
        }

        return Bech32.Encode("nevent", [.. data]);
    }

    /// <summary>The naddr form.</summary>
    public static string EncodeAddress(Nip19Address address)
    {
        var data = new List<byte>();
        AddTlv(data, SpecialType, System.Text.Encoding.UTF8.GetBytes(address.Identifier));
        AddRelays(data, address.Relays);
        AddTlv(data, AuthorType, address.Author.Span);
        AddKind(data, address.Kind);
        return Bech32.Encode("naddr", [.. data]);
    }

    /// <summary>Reads an npub.</summary>
    public static bool TryDecodePublicKey(ReadOnlySpan<char> text, out Bytes32 publicKey) => TryDecode32(text, "npub", out publicKey);

    /// <summary>Reads a note.</summary>
    public static bool TryDecodeNote(ReadOnlySpan<char> text, out Bytes32 eventId) => TryDecode32(text, "note", out eventId);

    /// <summary>Reads an npub or 64 lower-case hex digits, as settings and command lines take them.</summary>
    public static bool TryDecodePublicKeyOrHex(ReadOnlySpan<char> text, out Bytes32 publicKey) =>
        Bytes32.TryParseHex(text, out publicKey) || TryDecodePublicKey(text, out publicKey);

    /// <summary>Reads an nsec into 32 bytes, which the caller wipes.</summary>
    public static bool TryDecodeSecretKey(ReadOnlySpan<char> text, Span<byte> secretKey)
    {
        const int TextLength = 63; // "nsec1" + 52 data + 6 checksum characters
        if (text.Length != TextLength || secretKey.Length != Bytes32.Size)
        {
            return false;
        }

        Span<byte> data = stackalloc byte[Bech32.MaxDecodedSize(TextLength)];
        var decoded = Bech32.TryDecode(text, "nsec", data, out var written) && written == Bytes32.Size;
        if (decoded)
        {
            data[..written].CopyTo(secretKey);
        }

        CryptographicOperations.ZeroMemory(data);
        return decoded;
    }

    /// <summary>Reads an nprofile.</summary>
    public static bool TryDecodeProfile(ReadOnlySpan<char> text, [NotNullWhen(true)] out Nip19Profile? profile)
    {
        profile = TryDecodePointer(text, "nprofile", out var pointer) && TryTake32(pointer.Special, out var key)
            ? new Nip19Profile(key, pointer.Relays)
            : null;
        return profile is not null;
    }

    /// <summary>Reads an nevent.</summary>
    public static bool TryDecodeEvent(ReadOnlySpan<char> text, [NotNullWhen(true)] out Nip19Event? reference)
    {
        reference = TryDecodePointer(text, "nevent", out var read) && TryTake32(read.Special, out var id)
            ? new Nip19Event(id, read.Relays, read.Author, read.Kind)
            : null;
        return reference is not null;
    }

    /// <summary>Reads an naddr; author and kind are required.</summary>
    public static bool TryDecodeAddress(ReadOnlySpan<char> text, [NotNullWhen(true)] out Nip19Address? address)
    {
        address = TryDecodePointer(text, "naddr", out var read)
            && read is { Special: not null, Author: { } author, Kind: { } kind }
            && TryGetText(read.Special, out var identifier)
            ? new Nip19Address(identifier, author, kind, read.Relays)
            : null;
        return address is not null;
    }

    private static bool TryDecode32(ReadOnlySpan<char> text, string prefix, out Bytes32 value)
    {
        value = default;
        if (text.Length != prefix.Length + 1 + 52 + 6)
        {
            return false;
        }

        Span<byte> data = stackalloc byte[Bech32.MaxDecodedSize(text.Length)];
        if (!Bech32.TryDecode(text, prefix, data, out var written) || written != Bytes32.Size)
        {
            return false;
        }

        value = new Bytes32(data[..written]);
        return true;
    }

    private static bool TryDecodePointer(ReadOnlySpan<char> text, string prefix, out Pointer pointer)
    {
        pointer = new Pointer();
        if (text.Length > MaxTextLength)
        {
            return false;
        }

        var buffer = new byte[Bech32.MaxDecodedSize(text.Length)];
        if (!Bech32.TryDecode(text, prefix, buffer, out var written))
        {
            return false;
        }

        ReadOnlySpan<byte> data = buffer.AsSpan(0, written);
        while (!data.IsEmpty)
        {
            if (data.Length < 2 || data.Length < 2 + data[1])
            {
                return false;
            }

            if (!pointer.TryAdd(data[0], data.Slice(2, data[1])))
            {
                return false;
            }

            data = data[(2 + data[1])..];
        }

        return true;
    }

    private static bool TryTake32(byte[]? bytes, out Bytes32 value)
    {
        value = bytes is { Length: Bytes32.Size } ? new Bytes32(bytes) : default;
        return bytes is { Length: Bytes32.Size };
    }

    private static bool TryGetText(ReadOnlySpan<byte> utf8, out string text)
    {
        text = string.Empty;
        if (!System.Text.Unicode.Utf8.IsValid(utf8))
        {
            return false;
        }

        text = System.Text.Encoding.UTF8.GetString(utf8);
        return true;
    }

    private static void AddRelays(List<byte> data, IReadOnlyList<string> relays)
    {
        foreach (var relay in relays)
        {
            AddTlv(data, RelayType, System.Text.Encoding.UTF8.GetBytes(relay));
        }
    }

    private static void AddKind(List<byte> data, int kind)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, kind);
        AddTlv(data, KindType, bytes);
    }

    private static void AddTlv(List<byte> data, byte type, ReadOnlySpan<byte> value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value.Length, MaxTlvSize);
        data.Add(type);
        data.Add((byte)value.Length);
        data.AddRange(value);
    }

    private sealed class Pointer
    {
        public byte[]? Special { get; private set; }

        public List<string> Relays { get; } = [];

        public Bytes32? Author { get; private set; }

        public int? Kind { get; private set; }

        public bool TryAdd(byte type, ReadOnlySpan<byte> value)
        {
            switch (type)
            {
                case SpecialType when Special is null:
                    Special = value.ToArray();
                    return true;
                case RelayType:
                    if (!TryGetText(value, out var relay))
                    {
                        return false;
                    }

                    Relays.Add(relay);
                    return true;
                case AuthorType when Author is null && value.Length == Bytes32.Size:
                    Author = new Bytes32(value);
                    return true;
                case KindType when Kind is null && value.Length == 4 && BinaryPrimitives.ReadUInt32BigEndian(value) <= 65535:
                    Kind = BinaryPrimitives.ReadInt32BigEndian(value);
                    return true;
                default:
                    return type > KindType;
            }
        }
    }
}
