using System.Buffers;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>An event before its signature: the pieces written once, hashed and then put into JSON.</summary>
internal readonly ref struct EventDraft
{
    private readonly Bytes32 _publicKey;
    private readonly long _createdAt;
    private readonly int _kind;
    private readonly ReadOnlySpan<byte> _tags;
    private readonly ReadOnlySpan<byte> _quotedContent;

    private EventDraft(in Bytes32 publicKey, int kind, ReadOnlySpan<byte> tags, ReadOnlySpan<byte> quotedContent, long createdAt)
    {
        _publicKey = publicKey;
        _createdAt = createdAt;
        _kind = kind;
        _tags = tags;
        _quotedContent = quotedContent;
        Id = EventCanonicalForm.ComputeId(publicKey, createdAt, kind, tags, quotedContent);
    }

    public Bytes32 Id { get; }

    public static EventDraft Create(in Bytes32 publicKey, int kind, IReadOnlyList<string[]> tags, string content, long createdAt)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(kind);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(kind, NostrEventView.MaxKind);
        ArgumentOutOfRangeException.ThrowIfNegative(createdAt);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(createdAt, NostrEventView.MaxCreatedAt);
        foreach (var tag in tags)
        {
            if (tag.Length == 0)
            {
                throw new ArgumentException("a tag has at least one item", nameof(tags));
            }
        }

        var tagBytes = new ArrayBufferWriter<byte>();
        EventJson.WriteTags(tagBytes, tags);
        var contentBytes = new ArrayBufferWriter<byte>(content.Length + 2);
        JsonText.WriteString(contentBytes, content);
        return new EventDraft(publicKey, kind, tagBytes.WrittenSpan, contentBytes.WrittenSpan, createdAt);
    }

    public byte[] ToJson(ReadOnlySpan<byte> signatureHex)
    {
        var output = new ArrayBufferWriter<byte>(_tags.Length + _quotedContent.Length + 400);
        EventJson.Write(output, Id, _publicKey, _createdAt, _kind, _tags, _quotedContent[1..^1], signatureHex);
        return output.WrittenSpan.ToArray();
    }
}
