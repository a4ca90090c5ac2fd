using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8001: the group's name and description. Immutable and thread-safe.</summary>
/// <param name="Name">UTF-8, at most <see cref="MaxNameSize"/> bytes.</param>
/// <param name="Description">UTF-8, at most <see cref="MaxDescriptionSize"/> bytes.</param>
public sealed record GroupProfile(string Name, string Description)
{
    /// <summary>Longest name in bytes.</summary>
    public const int MaxNameSize = 256;

    /// <summary>Longest description in bytes.</summary>
    public const int MaxDescriptionSize = 4096;

    /// <summary>Reads a body.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out GroupProfile? profile, out RejectReason reason)
    {
        var cursor = new VectorCursor(body);
        var name = cursor.TakeVector();
        var description = cursor.TakeVector();
        var read = new GroupProfile(cursor.Text(name), cursor.Text(description));
        bool good = !cursor.Failed && cursor.AtEnd && name.Length <= MaxNameSize && description.Length <= MaxDescriptionSize;
        profile = good ? read : null;
        reason = good ? default : RejectReason.Invalid("the group profile is malformed or too long");
        return good;
    }

    /// <summary>The body.</summary>
    /// <exception cref="InvalidOperationException">A text is too long.</exception>
    public byte[] ToBytes()
    {
        byte[] body = new VectorWriter().Text(Name).Text(Description).ToArray();
        return TryRead(body, out _, out var reason) ? body : throw new InvalidOperationException(reason.Text);
    }
}
