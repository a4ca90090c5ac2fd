using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8007: a public picture of the group; goes before the encrypted one. Immutable and thread-safe.</summary>
/// <param name="Url">https, in its normalised form, at most 2,048 bytes; empty for none.</param>
/// <param name="Dimensions">A hint, opaque, at most <see cref="MaxHintSize"/> bytes; empty without a URL.</param>
/// <param name="Thumbhash">A hint, opaque, at most <see cref="MaxHintSize"/> bytes; empty without a URL.</param>
public sealed record AvatarUrl(string Url, string Dimensions, string Thumbhash)
{
    /// <summary>Longest hint in bytes.</summary>
    public const int MaxHintSize = 256;

    /// <summary>No picture.</summary>
    public static AvatarUrl None { get; } = new(string.Empty, string.Empty, string.Empty);

    /// <summary>Reads a body.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out AvatarUrl? avatar, out RejectReason reason)
    {
        var cursor = new VectorCursor(body);
        var url = cursor.TakeVector();
        var dimensions = cursor.TakeVector();
        var thumbhash = cursor.TakeVector();
        var read = new AvatarUrl(cursor.Text(url), cursor.Text(dimensions), cursor.Text(thumbhash));
        bool good = !cursor.Failed && cursor.AtEnd && dimensions.Length <= MaxHintSize && thumbhash.Length <= MaxHintSize
            && (url.IsEmpty ? dimensions.IsEmpty && thumbhash.IsEmpty : NormalizedUrl.IsNormalized(read.Url, allowHttp: false, allowQuery: true));
        avatar = good ? read : null;
        reason = good ? default : RejectReason.Invalid("the avatar is malformed, too long or not a normalised https URL");
        return good;
    }

    /// <summary>The body.</summary>
    /// <exception cref="InvalidOperationException">A field breaks its rule.</exception>
    public byte[] ToBytes()
    {
        byte[] body = new VectorWriter().Text(Url).Text(Dimensions).Text(Thumbhash).ToArray();
        return TryRead(body, out _, out var reason) ? body : throw new InvalidOperationException(reason.Text);
    }
}
