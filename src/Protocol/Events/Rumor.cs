using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>An unsigned event (NIP-59): an id, but nobody's signature, so that it proves nothing to third parties.</summary>
/// <remarks>Immutable and thread-safe. Holds plaintext: never log it.</remarks>
public sealed class Rumor
{
    private Rumor(in Bytes32 id, in Bytes32 publicKey, int kind, IReadOnlyList<string[]> tags, string content, long createdAt)
    {
        Id = id;
        PublicKey = publicKey;
        Kind = kind;
        Tags = tags;
        Content = content;
        CreatedAt = createdAt;
    }

    /// <summary>The hash of the event; computed here, and equal to the one in the JSON when that had one.</summary>
    public Bytes32 Id { get; }

    /// <summary>The author the rumor claims; compare with the seal's.</summary>
    public Bytes32 PublicKey { get; }

    /// <summary>Unix seconds.</summary>
    public long CreatedAt { get; }

    /// <summary>0 to 65535.</summary>
    public int Kind { get; }

    /// <summary>The tags; each has at least one item.</summary>
    public IReadOnlyList<string[]> Tags { get; }

    /// <summary>The content.</summary>
    public string Content { get; }

    /// <summary>Makes a rumor.</summary>
    public static Rumor Create(in Bytes32 publicKey, int kind, IReadOnlyList<string[]> tags, string content, long createdAt) =>
        new(EventDraft.Create(publicKey, kind, tags, content, createdAt).Id, publicKey, kind, tags, content, createdAt);

    /// <summary>Reads a rumor: refuses a signature, and an id that is not the event's hash; an absent id is computed.</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8Json, [NotNullWhen(true)] out Rumor? rumor, out RejectReason reason)
    {
        rumor = null;
        if (!NostrEventReader.TryReadUnsigned(utf8Json, out var view, out var hasId, out reason))
        {
            return false;
        }

        Span<byte> hash = stackalloc byte[Bytes32.Size];
        EventCanonicalForm.ComputeId(view, hash);
        if (hasId && !hash.SequenceEqual(view.Id.Span))
        {
            reason = RejectReason.Invalid("id is not the hash of the event");
            return false;
        }

        rumor = new Rumor(new Bytes32(hash), view.PublicKey, view.Kind, view.ReadTags(), view.ReadContent(), view.CreatedAt);
        return true;
    }

    /// <summary>The rumor as UTF-8 JSON with its id; plaintext, wipe it after sealing.</summary>
    public byte[] ToJson() => EventDraft.Create(PublicKey, Kind, Tags, Content, CreatedAt).ToJson(signatureHex: default);

    /// <summary>Second item of the first tag with that name; null when there is no such tag or it has no value.</summary>
    public string? TagValue(string name)
    {
        foreach (var tag in Tags)
        {
            if (tag.Length > 1 && tag[0] == name)
            {
                return tag[1];
            }
        }

        return null;
    }
}
