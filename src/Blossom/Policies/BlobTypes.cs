using System.Buffers;
using Marmot.Blossom.Index;

namespace Marmot.Blossom.Policies;

/// <summary>MIME types: what is stored, which file extension a url ends in, what a browser may not be shown.</summary>
internal static class BlobTypes
{
    public const string Opaque = "application/octet-stream";

    // RFC 9110, 5.6.2: token characters
    private static readonly SearchValues<char> Token = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

    /// <summary>Type and subtype in lower case, with the charset parameter when there is one and no other; octet-stream for anything odd. Bytes are never
    /// looked at.</summary>
    public static string Normalize(string? declared)
    {
        if (string.IsNullOrEmpty(declared))
        {
            return Opaque;
        }

        var end = declared.IndexOf(';', StringComparison.Ordinal);
        var type = (end < 0 ? declared : declared[..end]).Trim().ToLowerInvariant();
        var slash = type.IndexOf('/', StringComparison.Ordinal);
        if (type.Length > ClaimSlot.MaxTypeLength || slash <= 0 || slash == type.Length - 1
            || type.AsSpan(0, slash).ContainsAnyExcept(Token) || type.AsSpan(slash + 1).ContainsAnyExcept(Token))
        {
            return Opaque;
        }

        if (end < 0 || type == Opaque || CharsetOf(declared.AsSpan(end + 1)) is not { } charset)
        {
            return type;
        }

        var whole = $"{type}; charset={charset}";
        return whole.Length <= ClaimSlot.MaxTypeLength ? whole : type;
    }

    /// <summary>The type without parameters.</summary>
    public static ReadOnlySpan<char> WithoutParameters(string type)
    {
        var end = type.IndexOf(';', StringComparison.Ordinal);
        return end < 0 ? type : type.AsSpan(0, end);
    }

    /// <summary>The type a blob goes by when one owner declared the first and another the second: anything says more than octet-stream.</summary>
    public static string Better(string kept, string declared) => kept == Opaque ? declared : kept;

    public static string ExtensionOf(string type) => MediaTypes.ExtensionOf(WithoutParameters(type).ToString()) ?? ".bin";

    /// <summary>The type an extension stands for, octet-stream when unknown: only for imported files, whose type nobody declared.</summary>
    public static string TypeOf(string extension) => MediaTypes.TypeOf(extension) ?? Opaque;

    /// <summary><c>image/*</c> and <c>*</c> match as one expects.</summary>
    public static bool Matches(string pattern, string type)
    {
        var plain = WithoutParameters(type);
        return pattern is "*" or "*/*" || plain.SequenceEqual(pattern)
            || (pattern.EndsWith("/*", StringComparison.Ordinal) && plain.StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal));
    }

    /// <summary>Types a browser shows without running anything in them; all others are offered as a download.</summary>
    public static bool IsPassive(string type)
    {
        var plain = WithoutParameters(type);
        return plain is "text/plain" || (plain is not "image/svg+xml" && (plain.StartsWith("image/", StringComparison.Ordinal)
            || plain.StartsWith("video/", StringComparison.Ordinal) || plain.StartsWith("audio/", StringComparison.Ordinal)));
    }

    /// <summary>The value of the charset parameter in lower case (RFC 9110, 8.3.1 and 8.3.2), null when there is none or it is no token.</summary>
    private static string? CharsetOf(ReadOnlySpan<char> parameters)
    {
        const string Name = "charset=";
        foreach (var at in parameters.Split(';'))
        {
            var parameter = parameters[at].Trim();
            if (parameter.StartsWith(Name, StringComparison.OrdinalIgnoreCase))
            {
                var value = parameter[Name.Length..];
                value = value is ['"', .., '"'] && value.Length > 2 ? value[1..^1] : value;
                var charset = value.ToString().ToLowerInvariant();
                return charset.Length > 0 && !charset.AsSpan().ContainsAnyExcept(Token) ? charset : null;
            }
        }

        return null;
    }
}
