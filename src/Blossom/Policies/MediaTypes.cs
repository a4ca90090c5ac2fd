using System.Collections.Frozen;
using Marmot.Blossom.Blobs;

namespace Marmot.Blossom.Policies;

/// <summary>The table of media types and file extensions: <c>media-types.txt</c>, and before it what that table does not have or orders against common
/// use.</summary>
internal static class MediaTypes
{
    private const string Resource = "Marmot.Blossom.Policies.media-types.txt";

    /// <summary>Type, then its extensions, the usual one first.</summary>
    private static readonly string[] First =
    [
        "application/gzip gz",
        "application/octet-stream bin",
        "application/vnd.apple.mpegurl m3u8",
        "application/x-7z-compressed 7z",
        "application/x-mpegurl m3u8",
        "application/zstd zst",
        "audio/aac aac",
        "audio/aiff aiff",
        "audio/flac flac",
        "audio/mp4 m4a",
        "audio/mpeg mp3",
        "audio/ogg ogg",
        "audio/opus opus",
        "audio/wav wav",
        "audio/webm weba",
        "image/jpeg jpg",
        "image/tiff tiff",
        "image/vnd.microsoft.icon ico",
        "image/x-icon ico",
        "text/javascript js",
        "text/markdown md",
        "text/plain txt",
        "text/xml xml",
        "video/mp2t ts",
        "video/mp4 mp4",
        "video/mpeg mpeg",
        "video/quicktime mov",
        "video/x-matroska mkv",
    ];

    private static readonly FrozenDictionary<string, string> Extensions;
    private static readonly FrozenDictionary<string, string> Types;

    static MediaTypes()
    {
        var extensions = new Dictionary<string, string>(StringComparer.Ordinal);
        var types = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var line in First.Concat(ReadTable()))
        {
            var words = line.Split(' ');
            if (words[1].Length > BlobPath.MaxExtensionLength)
            {
                continue;
            }

            extensions.TryAdd(words[0], "." + words[1]);
            foreach (var extension in words.AsSpan(1))
            {
                types.TryAdd("." + extension, words[0]);
            }
        }

        Extensions = extensions.ToFrozenDictionary(StringComparer.Ordinal);
        Types = types.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>The usual extension of a type without parameters, with its dot; null when there is none.</summary>
    public static string? ExtensionOf(string type) => Extensions.GetValueOrDefault(type);

    /// <summary>The type of files with an extension, which begins with a dot; null when unknown.</summary>
    public static string? TypeOf(string extension) => Types.GetValueOrDefault(extension);

    private static IEnumerable<string> ReadTable()
    {
        using var reader = new StreamReader(typeof(MediaTypes).Assembly.GetManifestResourceStream(Resource)!);
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0 && line[0] != '#')
            {
                yield return line;
            }
        }
    }
}
