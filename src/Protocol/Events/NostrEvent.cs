using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Events;

/// <summary>A signed event with its own memory (NIP-01), for code off the hot path.</summary>
/// <remarks>Immutable and thread-safe. <see cref="TryParse"/> checks the shape only; call <see cref="TryVerify"/> before trusting the author.</remarks>
public sealed class NostrEvent
{
    private NostrEvent(in NostrEventView view, byte[] json)
    {
        Id = view.Id;
        PublicKey = view.PublicKey;
        CreatedAt = view.CreatedAt;
        Kind = view.Kind;
        Tags = view.ReadTags();
        Content = view.ReadContent();
        Signature = Convert.FromHexString(System.Text.Encoding.ASCII.GetString(view.SignatureHex));
        Json = json;
    }

    /// <summary>The id the event claims.</summary>
    public Bytes32 Id { get; }

    /// <summary>The author's x-only key.</summary>
    public Bytes32 PublicKey { get; }

    /// <summary>Unix seconds.</summary>
    public long CreatedAt { get; }

    /// <summary>0 to 65535.</summary>
    public int Kind { get; }

    /// <summary>The tags; each has at least one item.</summary>
    public IReadOnlyList<string[]> Tags { get; }

    /// <summary>The content.</summary>
    public string Content { get; }

    /// <summary>64 bytes, BIP-340.</summary>
    public ReadOnlyMemory<byte> Signature { get; }

    /// <summary>The event as UTF-8, as it came from or goes to the wire.</summary>
    public ReadOnlyMemory<byte> Json { get; }

    /// <summary>Reads an event and copies what it needs; checks neither id nor signature.</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8Json, [NotNullWhen(true)] out NostrEvent? evt, out RejectReason reason)
    {
        evt = NostrEventReader.TryRead(utf8Json, out var view, out reason) ? new NostrEvent(view, view.Json.ToArray()) : null;
        return evt is not null;
    }

    /// <summary>Makes an event object from a view; the bytes are copied.</summary>
    public static NostrEvent FromView(in NostrEventView view) => new(view, view.Json.ToArray());

    /// <summary>Makes and signs an event.</summary>
    /// <param name="key">The author; not kept.</param>
    /// <param name="kind">0 to 65535.</param>
    /// <param name="tags">Each with at least one item.</param>
    /// <param name="content">Any text; a lone surrogate becomes U+FFFD.</param>
    /// <param name="createdAt">Unix seconds, 0 to 2^53.</param>
    public static NostrEvent Create(SecretKey key, int kind, IReadOnlyList<string[]> tags, string content, long createdAt)
    {
        var draft = EventDraft.Create(key.PublicKey, kind, tags, content, createdAt);
        Span<byte> signature = stackalloc byte[NostrEventView.SignatureHexSize / 2];
        key.Sign(draft.Id.Span, signature);
        Span<byte> hex = stackalloc byte[NostrEventView.SignatureHexSize];
        Hex.EncodeLower(signature, hex);
        var json = draft.ToJson(hex);
        return TryParse(json, out var evt, out var reason)
            ? evt
            : throw new InvalidOperationException($"wrote an event that does not read back: {reason}");
    }

    /// <summary>Checks the id and the signature.</summary>
    public bool TryVerify(out RejectReason reason) =>
        NostrEventReader.TryRead(Json.Span, out var view, out reason) && EventVerifier.TryVerify(view, out reason);

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
