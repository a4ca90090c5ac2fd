using System.Buffers;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>The path of a blob: <c>&lt;sha256&gt;[.ext]</c> (BUD-01).</summary>
internal static class BlobPath
{
    /// <summary>Of an extension without its dot.</summary>
    public const int MaxExtensionLength = 20;

    private static readonly SearchValues<char> ExtensionCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdefABCDEF");

    public static bool TryParse(ReadOnlySpan<char> segment, out Bytes32 hash)
    {
        hash = default;
        return segment.Length >= Bytes32.HexSize
            && Bytes32.TryParseHex(segment[..Bytes32.HexSize], out hash)
            && (segment.Length == Bytes32.HexSize || IsExtension(segment[Bytes32.HexSize..]));
    }

    /// <summary>Whether a path is meant for this server at all: 32 hex digits in front, so that a mistyped hash gets the answer of BUD-01 (400) and the front
    /// page keeps its own paths.</summary>
    public static bool LooksLikeBlob(ReadOnlySpan<char> segment) => segment.Length >= 32 && !segment[..32].ContainsAnyExcept(HexDigits);

    private static bool IsExtension(ReadOnlySpan<char> rest) =>
        rest is ['.', _, ..] && rest.Length <= 1 + MaxExtensionLength && !rest.ContainsAnyExcept(ExtensionCharacters);
}
