using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>An event on its way into the store: its bytes once, and everything the indexes need, worked out before the writer sees it.</summary>
internal sealed class EventRecord
{
    /// <summary>With more tags than this a table of them is quicker than a look through all.</summary>
    private const int MaxSearchedTags = 16;

    private EventRecord(byte[] json, in NostrEventView view, TagKey[] tags, bool vanishesHere)
    {
        Json = json;
        Id = view.Id;
        PublicKey = view.PublicKey;
        CreatedAt = view.CreatedAt;
        Kind = view.Kind;
        Tags = tags;
        VanishesHere = vanishesHere;
        Expiration = ReadExpiration(view);
        Address = TryGetAddress(view, out var address) ? address : null;
    }

    /// <summary>Canonical bytes, sent to subscribers and stored as they are; never written to.</summary>
    public byte[] Json { get; }

    public Bytes32 Id { get; }

    public Bytes32 PublicKey { get; }

    public long CreatedAt { get; }

    public int Kind { get; }

    /// <summary>Unix seconds, or <see cref="long.MaxValue"/> (NIP-40).</summary>
    public long Expiration { get; }

    /// <summary>Distinct single-letter tags, each key once.</summary>
    public TagKey[] Tags { get; }

    /// <summary>The slot a replaceable or addressable event fills; null for the others.</summary>
    public UInt128? Address { get; }

    /// <summary>A kind 62 that names this relay (NIP-62). Decided once, on arrival, and kept in the log.</summary>
    public bool VanishesHere { get; }

    /// <summary>Copies a checked event.</summary>
    public static EventRecord Create(in NostrEventView view, bool vanishesHere)
    {
        var json = view.ToNormalizedJson();
        if (view.IsNormalized)
        {
            return new EventRecord(json, view, ReadTags(view), vanishesHere);
        }

        return NostrEventReader.TryRead(json, out var normal, out _)
            ? new EventRecord(json, normal, ReadTags(normal), vanishesHere)
            : throw new InvalidOperationException("a normalised event must parse");
    }

    /// <summary>About 40 us: for the one event whose check was put off until the disk is at work.</summary>
    public bool IsSignatureCorrect() => NostrEventReader.TryRead(Json, out var view, out _) && EventVerifier.IsSignatureCorrect(view);

    /// <summary>NIP-40; an expiration that is not a number is none.</summary>
    public static long ReadExpiration(in NostrEventView view) =>
        view.TryGetTag("expiration"u8, out var text)
        && System.Buffers.Text.Utf8Parser.TryParse(text, out long seconds, out var used) && used == text.Length && seconds >= 0
            ? seconds
            : long.MaxValue;

    public static TagKey[] ReadTags(in NostrEventView view)
    {
        List<TagKey>? keys = null;
        Dictionary<TagKey, int>? places = null;
        foreach (var tag in view.Tags)
        {
            if (!TagKey.TryCreate(tag, out var key))
            {
                continue;
            }

            keys ??= [];
            if (keys.Count == MaxSearchedTags)
            {
                places ??= keys.Index().ToDictionary(k => k.Item, k => k.Index);
            }

            var place = places is null ? keys.IndexOf(key) : places.GetValueOrDefault(key, -1);
            if (place >= 0)
            {
                keys[place] = keys[place].Merge(key);
                continue;
            }

            places?.Add(key, keys.Count);
            keys.Add(key);
        }

        return keys is null ? [] : [.. keys];
    }

    public static bool TryGetAddress(in NostrEventView view, out UInt128 address)
    {
        var addressable = KindRules.IsAddressable(view.Kind);
        address = 0;
        if (!addressable && !KindRules.IsReplaceable(view.Kind))
        {
            return false;
        }

        ReadOnlySpan<byte> name = default;
        if (addressable && view.TryGetTag("d"u8, out var d))
        {
            name = d;
        }

        address = HashAddress(view.PublicKey, view.Kind, name);
        return true;
    }

    /// <summary>The slot named by the value of an <c>a</c> tag, <c>kind:author:d</c>; only the author's own.</summary>
    public static bool TryReadAddress(ReadOnlySpan<byte> text, in Bytes32 author, out UInt128 address)
    {
        address = 0;
        if (!System.Buffers.Text.Utf8Parser.TryParse(text, out int kind, out var used)
            || !(KindRules.IsReplaceable(kind) || KindRules.IsAddressable(kind))
            || text.Length < used + 1 + Bytes32.HexSize + 1 || text[used] != (byte)':' || text[used + 1 + Bytes32.HexSize] != (byte)':'
            || !Bytes32.TryParseHex(text.Slice(used + 1, Bytes32.HexSize), out var key) || key != author)
        {
            return false;
        }

        address = HashAddress(author, kind, KindRules.IsAddressable(kind) ? text[(used + 2 + Bytes32.HexSize)..] : default);
        return true;
    }

    /// <summary>Hash of author, kind and escaped <c>d</c> value (NIP-01: the empty string when absent).</summary>
    public static UInt128 HashAddress(in Bytes32 publicKey, int kind, ReadOnlySpan<byte> escapedName)
    {
        var length = Bytes32.Size + sizeof(ushort) + escapedName.Length;
        Span<byte> input = length <= 1024 ? stackalloc byte[length] : new byte[length];
        publicKey.Span.CopyTo(input);
        BinaryPrimitives.WriteUInt16BigEndian(input[Bytes32.Size..], (ushort)kind);
        escapedName.CopyTo(input[(Bytes32.Size + sizeof(ushort))..]);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(input, hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }
}
