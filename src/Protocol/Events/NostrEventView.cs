using System.Buffers;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>A well-formed event in place (NIP-01): spans over the caller's bytes, nothing copied but the two 32-byte values.</summary>
/// <remarks>Made by <see cref="NostrEventReader"/>, so the shape is right; id and signature are checked by <see cref="EventVerifier"/>. Valid as long as the
/// bytes.</remarks>
public readonly ref struct NostrEventView
{
    /// <summary>Length of the signature as hex.</summary>
    public const int SignatureHexSize = 128;

    /// <summary>Largest <c>created_at</c> accepted, in seconds: 2^53, where JavaScript stops counting exactly.</summary>
    public const long MaxCreatedAt = 1L << 53;

    /// <summary>Largest kind (NIP-01).</summary>
    public const int MaxKind = 65535;

    /// <summary>The id the event claims.</summary>
    public Bytes32 Id { get; internal init; }

    /// <summary>The author's x-only key.</summary>
    public Bytes32 PublicKey { get; internal init; }

    /// <summary>Unix seconds, 0 to 2^53.</summary>
    public long CreatedAt { get; internal init; }

    /// <summary>0 to 65535.</summary>
    public int Kind { get; internal init; }

    /// <summary>The event object as received, without blanks around it.</summary>
    public ReadOnlySpan<byte> Json { get; internal init; }

    /// <summary>The tags as received, a JSON array.</summary>
    public ReadOnlySpan<byte> RawTags { get; internal init; }

    /// <summary>The content as received, escaped, without its quotes.</summary>
    public ReadOnlySpan<byte> RawContent { get; internal init; }

    /// <summary>128 lower-case hex digits.</summary>
    public ReadOnlySpan<byte> SignatureHex { get; internal init; }

    /// <summary>True when tags and content stand as NIP-01 hashes them, so that the id is a hash over these very bytes.</summary>
    public bool HasCanonicalBytes { get; internal init; }

    /// <summary>True when <see cref="Json"/> may be stored and sent as it is: canonical, no blanks, no unknown members.</summary>
    public bool IsNormalized { get; internal init; }

    /// <summary>The tags, in order, without allocation.</summary>
    public TagEnumerator Tags => new(RawTags);

    /// <summary>The content as a string.</summary>
    public string ReadContent() => JsonText.Decode(RawContent);

    /// <summary>The tags as strings.</summary>
    public string[][] ReadTags()
    {
        var tags = new List<string[]>();
        foreach (var tag in Tags)
        {
            var items = new string[tag.Count];
            var i = 0;
            foreach (var item in tag.Items)
            {
                items[i++] = JsonText.Decode(item);
            }

            tags.Add(items);
        }

        return [.. tags];
    }

    /// <summary>First value of the first tag of that name in plain ASCII; false when there is none.</summary>
    /// <param name="name">Tag name, no escapes.</param>
    /// <param name="value">The value as it stands in the event, escaped.</param>
    public bool TryGetTag(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        foreach (var tag in Tags)
        {
            if (tag.HasValue && tag.Name.SequenceEqual(name))
            {
                value = tag.Value;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>
    /// The event as it is stored, for rules that read tags: itself when its strings are spelled as NIP-01 hashes them, else a view of the normalised
    /// bytes. <c>["\u002d"]</c> and <c>["-"]</c> are one tag, and no rule may see two.
    /// </summary>
    public NostrEventView AsStored()
    {
        if (HasCanonicalBytes)
        {
            return this;
        }

        return NostrEventReader.TryRead(ToNormalizedJson(), out var stored, out _)
            ? stored
            : throw new InvalidOperationException("a normalised event must parse");
    }

    /// <summary>What a relay stores: the received bytes when they are normal, else the same event written by hand.</summary>
    public byte[] ToNormalizedJson()
    {
        if (IsNormalized)
        {
            return Json.ToArray();
        }

        var output = new ArrayBufferWriter<byte>(Json.Length);
        WriteNormalized(output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Writes what <see cref="ToNormalizedJson"/> returns.</summary>
    public void WriteNormalized(IBufferWriter<byte> output)
    {
        if (IsNormalized)
        {
            output.Write(Json);
            return;
        }

        var scratch = ArrayPool<byte>.Shared.Rent(RawTags.Length + RawContent.Length);
        try
        {
            var tagsLength = EventCanonicalForm.WriteTags(this, scratch);
            var contentLength = JsonText.Canonicalize(RawContent, scratch.AsSpan(tagsLength));
            EventJson.Write(
                output, Id, PublicKey, CreatedAt, Kind, scratch.AsSpan(0, tagsLength), scratch.AsSpan(tagsLength, contentLength), SignatureHex);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch, clearArray: true); // may have held the plaintext of a rumor
        }
    }
}
