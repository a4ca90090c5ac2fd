using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Groups;

/// <summary>An <c>imeta</c> tag that points to encrypted media in Blossom (MIP-04, version mip04-v2).</summary>
/// <remarks>Immutable and thread-safe. A tag that breaks a rule means: show the message without the attachment.</remarks>
public sealed record MediaReference
{
    /// <summary>The only version read and written; mip04-v1 reused nonces and is refused.</summary>
    public const string Version = "mip04-v2";

    /// <summary>Longest file name in UTF-8 bytes, as MDK has it.</summary>
    public const int MaxFilenameSize = 210;

    /// <summary>Where the blob lies.</summary>
    public required string Url { get; init; }

    /// <summary>Canonical media type; part of the key derivation.</summary>
    public required string MimeType { get; init; }

    /// <summary>File name, exact; part of the key derivation.</summary>
    public required string Filename { get; init; }

    /// <summary>SHA-256 of the plaintext, <c>x</c>; part of the key derivation.</summary>
    public required Bytes32 PlaintextHash { get; init; }

    /// <summary>12 bytes, <c>n</c>.</summary>
    public required byte[] Nonce { get; init; }

    /// <summary>Width and height, <c>dim</c>.</summary>
    public string? Dimensions { get; init; }

    /// <summary>Placeholder image, <c>blurhash</c>.</summary>
    public string? Blurhash { get; init; }

    /// <summary>Placeholder image, <c>thumbhash</c>.</summary>
    public string? Thumbhash { get; init; }

    /// <summary>Cuts parameters off, trims, lower-cases: the form that enters the key derivation.</summary>
    public static string CanonicalMimeType(string mimeType)
    {
        int end = mimeType.IndexOf(';', StringComparison.Ordinal);
        return (end < 0 ? mimeType : mimeType[..end]).Trim().ToLowerInvariant();
    }

    /// <summary>Reads a tag; each entry is split at its first blank, their order is free, unknown entries are ignored.</summary>
    public static bool TryParse(IReadOnlyList<string> tag, [NotNullWhen(true)] out MediaReference? media, out RejectReason reason)
    {
        media = null;
        var entries = new Dictionary<string, string>(StringComparer.Ordinal);
        string? fault = tag.Count == 0 || tag[0] != "imeta" ? "not an imeta tag" : null;
        for (int i = 1; i < tag.Count && fault is null; i++)
        {
            int blank = tag[i].IndexOf(' ', StringComparison.Ordinal);
            if (blank > 0 && !entries.TryAdd(tag[i][..blank], tag[i][(blank + 1)..]) && IsSingle(tag[i][..blank]))
            {
                fault = "an imeta entry occurs twice";
            }
        }

        fault ??= Check(entries, out media);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>The tag, entries in the order MDK writes them.</summary>
    public string[] ToTag()
    {
        List<string> tag = ["imeta", $"url {Url}", $"m {MimeType}", $"filename {Filename}"];
        AddIf(tag, "dim", Dimensions);
        AddIf(tag, "blurhash", Blurhash);
        AddIf(tag, "thumbhash", Thumbhash);
        tag.Add($"x {PlaintextHash}");
        tag.Add($"n {Convert.ToHexStringLower(Nonce)}");
        tag.Add($"v {Version}");
        return [.. tag];
    }

    /// <summary>The blob's SHA-256 as the URL names it: 64 hex digits, perhaps with an extension.</summary>
    public bool TryGetBlobHash(out Bytes32 hash)
    {
        hash = default;
        return Uri.TryCreate(Url, UriKind.Absolute, out var uri)
            && uri.Segments[^1] is { Length: >= Bytes32.HexSize } name
            && (name.Length == Bytes32.HexSize || name[Bytes32.HexSize] == '.')
            && Bytes32.TryParseHex(name.AsSpan(0, Bytes32.HexSize), out hash);
    }

    internal static bool IsFilename(string filename) =>
        filename.Length > 0 && System.Text.Encoding.UTF8.GetByteCount(filename) <= MaxFilenameSize;

    private static string? Check(Dictionary<string, string> entries, out MediaReference? media)
    {
        media = null;
        if (!entries.TryGetValue("v", out string? version) || version != Version)
        {
            return "the media version is not mip04-v2";
        }

        if (!entries.TryGetValue("url", out string? url) || !HostName.TryReadUrl(url, out var uri, out _) || uri.Scheme is not ("http" or "https"))
        {
            return "the media url is missing or wrong";
        }

        if (!entries.TryGetValue("m", out string? mime) || CanonicalMimeType(mime) is not { Length: > 0 } canonical)
        {
            return "the media type is missing";
        }

        if (!entries.TryGetValue("filename", out string? filename) || !IsFilename(filename))
        {
            return "the file name is missing or longer than 210 bytes";
        }

        if (!entries.TryGetValue("x", out string? x) || !Bytes32.TryParseHex(x, out var hash))
        {
            return "the plaintext hash is missing or wrong";
        }

        byte[] nonce = new byte[Sodium.NonceSize];
        if (!entries.TryGetValue("n", out string? n) || !Hex.TryDecodeLower(System.Text.Encoding.UTF8.GetBytes(n), nonce))
        {
            return "the nonce is missing or wrong";
        }

        media = new MediaReference
        {
            Url = url,
            MimeType = canonical,
            Filename = filename,
            PlaintextHash = hash,
            Nonce = nonce,
            Dimensions = entries.GetValueOrDefault("dim"),
            Blurhash = entries.GetValueOrDefault("blurhash"),
            Thumbhash = entries.GetValueOrDefault("thumbhash"),
        };
        return null;
    }

    private static bool IsSingle(string name) => name is "url" or "m" or "filename" or "x" or "n" or "v";

    private static void AddIf(List<string> tag, string name, string? value)
    {
        if (value is not null)
        {
            tag.Add($"{name} {value}");
        }
    }
}
