using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Marmot.Protocol.Components;

/// <summary>The one spelling of a media type in the adopted profile; it enters key derivations, so another spelling is another key.</summary>
public static class MediaType
{
    /// <summary>Longest canonical form in bytes.</summary>
    public const int MaxSize = 128;

    private const int MaxPartSize = 64;

    // RFC 9110, 5.6.2.
    private static readonly SearchValues<char> Token = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

    /// <summary>Cuts parameters off, trims tab, line feed, form feed, carriage return and blank, lower-cases, image/jpg becomes image/jpeg. False when that is
    /// no media type.</summary>
    public static bool TryMakeCanonical(string text, [NotNullWhen(true)] out string? canonical)
    {
        int end = text.IndexOf(';', StringComparison.Ordinal);
        canonical = (end < 0 ? text : text[..end]).Trim('\t', '\n', '\f', '\r', ' ').ToLowerInvariant();
        if (canonical == "image/jpg")
        {
            canonical = "image/jpeg";
        }

        int slash = canonical.IndexOf('/', StringComparison.Ordinal);
        if (canonical.Length > MaxSize || slash < 0 || !IsPart(canonical.AsSpan(0, slash)) || !IsPart(canonical.AsSpan(slash + 1)))
        {
            canonical = null;
        }

        return canonical is not null;
    }

    /// <summary>True for what <see cref="TryMakeCanonical"/> leaves as it is.</summary>
    public static bool IsCanonical(string text) => TryMakeCanonical(text, out string? canonical) && canonical == text;

    private static bool IsPart(ReadOnlySpan<char> part) => part.Length is > 0 and <= MaxPartSize && !part.ContainsAnyExcept(Token);
}
