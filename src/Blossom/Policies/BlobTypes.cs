using System.Buffers;
using Marmot.Blossom.Index;

namespace Marmot.Blossom.Policies;

/// <summary>MIME types: what is stored, which file extension a url ends in, what a browser may not be shown.</summary>
internal static class BlobTypes
{
    public const string Opaque = "application/octet-stream";

    // RFC 9110, 5.6.2: token characters
    private static readonly SearchValues<char> Token = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

    private static readonly Dictionary<string, string> Extensions = new(StringComparer.Ordinal)
    {
        ["image/png"] = ".png",
        ["image/jpeg"] = ".jpg",
        ["image/gif"] = ".gif",
        ["image/webp"] = ".webp",
        ["image/avif"] = ".avif",
        ["image/bmp"] = ".bmp",
        ["image/tiff"] = ".tiff",
        ["image/svg+xml"] = ".svg",
        ["image/x-icon"] = ".ico",
        ["video/mp4"] = ".mp4",
        ["video/webm"] = ".webm",
        ["video/quicktime"] = ".mov",
        ["video/x-matroska"] = ".mkv",
        ["video/ogg"] = ".ogv",
        ["audio/mpeg"] = ".mp3",
        ["audio/ogg"] = ".ogg",
        ["audio/flac"] = ".flac",
        ["audio/wav"] = ".wav",
        ["audio/mp4"] = ".m4a",
        ["audio/aac"] = ".aac",
        ["application/pdf"] = ".pdf",
        ["application/json"] = ".json",
        ["application/zip"] = ".zip",
        ["application/gzip"] = ".gz",
        ["text/plain"] = ".txt",
        ["text/html"] = ".html",
        ["text/css"] = ".css",
        ["text/csv"] = ".csv",
        ["text/markdown"] = ".md",
    };

    /// <summary>Type and subtype in lower case without parameters; octet-stream for anything odd. Bytes are never looked at.</summary>
    public static string Normalize(string? declared)
    {
        if (string.IsNullOrEmpty(declared))
        {
            return Opaque;
        }

        var end = declared.IndexOf(';', StringComparison.Ordinal);
        var type = (end < 0 ? declared : declared[..end]).Trim().ToLowerInvariant();
        var slash = type.IndexOf('/', StringComparison.Ordinal);
        return type.Length <= ClaimSlot.MaxTypeLength && slash > 0 && slash < type.Length - 1
            && !type.AsSpan(0, slash).ContainsAnyExcept(Token) && !type.AsSpan(slash + 1).ContainsAnyExcept(Token)
            ? type
            : Opaque;
    }

    public static string ExtensionOf(string type) => Extensions.GetValueOrDefault(type, ".bin");

    /// <summary>The type an extension stands for, octet-stream when unknown: only for imported files, whose type nobody declared.</summary>
    public static string TypeOf(string extension) => Extensions.FirstOrDefault(pair => pair.Value.Equals(extension, StringComparison.OrdinalIgnoreCase)).Key ?? Opaque;

    /// <summary><c>image/*</c> and <c>*</c> match as one expects.</summary>
    public static bool Matches(string pattern, string type) =>
        pattern is "*" or "*/*" || pattern == type
        || (pattern.EndsWith("/*", StringComparison.Ordinal) && type.StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal));

    /// <summary>Types a browser shows without running anything in them; all others are offered as a download.</summary>
    public static bool IsPassive(string type) =>
        type is "text/plain" || (type != "image/svg+xml" && (type.StartsWith("image/", StringComparison.Ordinal)
        || type.StartsWith("video/", StringComparison.Ordinal) || type.StartsWith("audio/", StringComparison.Ordinal)));
}
