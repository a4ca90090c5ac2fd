using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Groups;

/// <summary>The Marmot Group Data extension, 0xF2EE, of an MLS group context (MIP-01).</summary>
/// <remarks>
/// Reads versions 1 (both layouts found in the field), 2 and 3, and the known part of later ones. Writes version 2, or 3 when the disappearing
/// timer is set, because deployed readers refuse version 3. Admins and relays are sets: written sorted, read in any order. Immutable.
/// </remarks>
public sealed record GroupData
{
    /// <summary>MLS extension type.</summary>
    public const ushort ExtensionType = 0xF2EE;

    /// <summary>Version without a disappearing timer.</summary>
    public const ushort CurrentVersion = 2;

    /// <summary>Version with a disappearing timer, the last one known here.</summary>
    public const ushort TimerVersion = 3;

    internal const int HashSize = 32;
    internal const int NonceSize = 12;

    /// <summary>The version read; what is written depends on the timer alone.</summary>
    public ushort Version { get; init; } = CurrentVersion;

    /// <summary>The public routing id, the <c>h</c> tag of group events; may be rotated.</summary>
    public required Bytes32 NostrGroupId { get; init; }

    /// <summary>Group name, UTF-8.</summary>
    public string Name { get; init; } = string.Empty;

    /// <summary>Group description, UTF-8.</summary>
    public string Description { get; init; } = string.Empty;

    /// <summary>Keys that may change the group, when they are also members.</summary>
    public IReadOnlyList<Bytes32> Admins { get; init; } = [];

    /// <summary>The group's relays, ws or wss.</summary>
    public IReadOnlyList<string> Relays { get; init; } = [];

    /// <summary>SHA-256 of the encrypted image; null without one.</summary>
    public byte[]? ImageHash { get; init; }

    /// <summary>Seed of the image key (version 2), or the key itself (version 1); null without an image.</summary>
    public byte[]? ImageKey { get; init; }

    /// <summary>12-byte nonce of the image; null without one.</summary>
    public byte[]? ImageNonce { get; init; }

    /// <summary>Seed of the key that uploaded the image; null without one.</summary>
    public byte[]? ImageUploadKey { get; init; }

    /// <summary>Seconds after which messages disappear, never 0; null for off.</summary>
    public ulong? DisappearingSeconds { get; init; }

    /// <summary>True when a later version was read: known fields only, must not be rewritten.</summary>
    public bool IsFuture => Version > TimerVersion;

    /// <summary>Reads an extension body.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out GroupData? data, out RejectReason reason)
    {
        var cursor = new VectorCursor(body);
        ushort version = cursor.TakeUInt16();
        data = cursor.Failed || version == 0 ? null : ReadStructure(body) ?? (version == 1 ? ReadTextLayout(body) : null);
        reason = data is null ? RejectReason.Invalid("the group data extension is malformed") : default;
        return data is not null;
    }

    /// <summary>Writes the extension body.</summary>
    /// <exception cref="InvalidOperationException">It was read from a later version, or a field has an impossible length.</exception>
    public byte[] ToBytes()
    {
        if (IsFuture || DisappearingSeconds is 0 || !HasLength(ImageHash, HashSize) || !HasLength(ImageKey, HashSize)
            || !HasLength(ImageNonce, NonceSize) || !HasLength(ImageUploadKey, HashSize))
        {
            throw new InvalidOperationException("this group data cannot be written");
        }

        var output = new ArrayBufferWriter<byte>(256);
        BinaryPrimitives.WriteUInt16BigEndian(output.GetSpan(sizeof(ushort)), DisappearingSeconds is null ? CurrentVersion : TimerVersion);
        output.Advance(sizeof(ushort));
        output.Write(NostrGroupId.Span);
        WriteVector(output, System.Text.Encoding.UTF8.GetBytes(Name));
        WriteVector(output, System.Text.Encoding.UTF8.GetBytes(Description));
        WriteVector(output, [.. Admins.Distinct().Order().SelectMany(admin => admin.Span.ToArray())]);
        var relays = new ArrayBufferWriter<byte>();
        foreach (byte[] relay in Relays.Distinct().Select(System.Text.Encoding.UTF8.GetBytes).Order(ByteOrder))
        {
            WriteVector(relays, relay);
        }

        WriteVector(output, relays.WrittenSpan);
        WriteVector(output, ImageHash);
        WriteVector(output, ImageKey);
        WriteVector(output, ImageNonce);
        WriteVector(output, ImageUploadKey);
        if (DisappearingSeconds is { } seconds)
        {
            Span<byte> timer = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(timer, seconds);
            WriteVector(output, timer);
        }

        return output.WrittenSpan.ToArray();
    }

    /// <summary>Does not print keys.</summary>
    public override string ToString() => $"{nameof(GroupData)} v{Version} {NostrGroupId}";

    private static readonly Comparer<byte[]> ByteOrder = Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b));

    // MIP-01 version 2 and 3; also what one implementation writes under version 1.
    private static GroupData? ReadStructure(ReadOnlySpan<byte> body)
    {
        var cursor = new VectorCursor(body);
        ushort version = cursor.TakeUInt16();
        var groupId = cursor.Take(Bytes32.Size);
        string name = cursor.Text(cursor.TakeVector());
        string description = cursor.Text(cursor.TakeVector());
        var admins = cursor.TakeVector();
        var relays = new VectorCursor(cursor.TakeVector());
        byte[]? hash = cursor.TakeOptional(HashSize);
        byte[]? key = cursor.TakeOptional(HashSize);
        byte[]? nonce = cursor.TakeOptional(NonceSize);
        byte[]? uploadKey = cursor.TakeOptional(HashSize);
        byte[]? timer = version >= TimerVersion ? cursor.TakeOptional(sizeof(ulong)) : null;
        ulong? seconds = timer is null ? null : BinaryPrimitives.ReadUInt64BigEndian(timer);
        var urls = new List<string>();
        while (!relays.AtEnd && !relays.Failed)
        {
            urls.Add(relays.Text(relays.TakeVector()));
        }

        // Bytes after the last field are an error in a version known here, and the future in a later one.
        if (cursor.Failed || relays.Failed || admins.Length % Bytes32.Size != 0 || seconds is 0 || !urls.TrueForAll(IsRelayUrl)
            || (version <= TimerVersion && !cursor.AtEnd))
        {
            return null;
        }

        return new GroupData
        {
            Version = version,
            NostrGroupId = new Bytes32(groupId),
            Name = name,
            Description = description,
            Admins = Split(admins),
            Relays = urls,
            ImageHash = hash,
            ImageKey = key,
            ImageNonce = nonce,
            ImageUploadKey = uploadKey,
            DisappearingSeconds = seconds,
        };
    }

    // Version 1 of January 2026: u16 lengths, admins and relays as text joined by commas, fixed image fields, zero when unset.
    private static GroupData? ReadTextLayout(ReadOnlySpan<byte> body)
    {
        var cursor = new VectorCursor(body);
        cursor.TakeUInt16();
        var groupId = cursor.Take(Bytes32.Size);
        string name = cursor.Text(cursor.Take(cursor.TakeUInt16()));
        string description = cursor.Text(cursor.Take(cursor.TakeUInt16()));
        string admins = cursor.Text(cursor.Take(cursor.TakeUInt16()));
        string relays = cursor.Text(cursor.Take(cursor.TakeUInt16()));
        var hash = cursor.Take(HashSize);
        var key = cursor.Take(HashSize);
        var nonce = cursor.Take(NonceSize);
        if (cursor.Failed || !cursor.AtEnd)
        {
            return null;
        }

        var keys = new List<Bytes32>();
        foreach (string hex in admins.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (!Bytes32.TryParseHex(hex, out var admin))
            {
                return null;
            }

            keys.Add(admin);
        }

        string[] urls = relays.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return !Array.TrueForAll(urls, IsRelayUrl) ? null : new GroupData
        {
            Version = 1,
            NostrGroupId = new Bytes32(groupId),
            Name = name,
            Description = description,
            Admins = keys,
            Relays = urls,
            ImageHash = NullIfZero(hash),
            ImageKey = NullIfZero(key),
            ImageNonce = NullIfZero(nonce),
        };
    }

    private static List<Bytes32> Split(ReadOnlySpan<byte> admins)
    {
        var keys = new List<Bytes32>(admins.Length / Bytes32.Size);
        for (; !admins.IsEmpty; admins = admins[Bytes32.Size..])
        {
            keys.Add(new Bytes32(admins[..Bytes32.Size]));
        }

        return keys;
    }

    private static bool IsRelayUrl(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme is "ws" or "wss" && uri.Host.Length > 0;

    private static byte[]? NullIfZero(ReadOnlySpan<byte> bytes) => bytes.ContainsAnyExcept((byte)0) ? bytes.ToArray() : null;

    private static bool HasLength(byte[]? field, int length) => field is null || field.Length == length;

    // RFC 9420, 2.1.2.
    private static void WriteVector(ArrayBufferWriter<byte> output, ReadOnlySpan<byte> bytes)
    {
        var head = output.GetSpan(sizeof(uint));
        if (bytes.Length < 1 << 6)
        {
            head[0] = (byte)bytes.Length;
            output.Advance(1);
        }
        else if (bytes.Length < 1 << 14)
        {
            BinaryPrimitives.WriteUInt16BigEndian(head, (ushort)(0x4000 | bytes.Length));
            output.Advance(sizeof(ushort));
        }
        else
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(bytes.Length, 1 << 30);
            BinaryPrimitives.WriteUInt32BigEndian(head, 0x8000_0000 | (uint)bytes.Length);
            output.Advance(sizeof(uint));
        }

        output.Write(bytes);
    }
}
