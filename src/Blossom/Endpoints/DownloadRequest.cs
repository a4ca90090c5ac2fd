using System.Buffers;
using System.Text;
using Marmot.Blossom.Blobs;
using Marmot.Hosting;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Endpoints;

/// <summary>A plain GET of a blob (BUD-01) read from the bytes of a connection: HTTP/1.1, no body, no token, no condition; at most a Range.</summary>
/// <remarks>Takes only what is plainly right; whatever is unusual goes to the HTTP server, which refuses or serves it.</remarks>
/// <param name="Hash">The blob.</param>
/// <param name="Range">The value of that header; null without one.</param>
/// <param name="IsForwarded">A proxy says who asks, which is not read here.</param>
internal readonly record struct DownloadRequest(Bytes32 Hash, string? Range, bool IsForwarded)
{
    private const int MaxSize = 8 * 1024;
    private static readonly SearchValues<byte> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"u8);
    private static readonly SearchValues<byte> HostCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:[]"u8);

    /// <param name="source">What came; it is looked at from its start.</param>
    /// <param name="request">The request when complete.</param>
    /// <param name="end">Behind the request when complete.</param>
    public static RequestResult TryRead(in ReadOnlySequence<byte> source, out DownloadRequest request, out SequencePosition end)
    {
        request = default;
        var result = RequestHead.Find(source, MaxSize, out var lines, out end);
        return result != RequestResult.Complete || TryParse(lines, out request) ? result : RequestResult.Other;
    }

    /// <param name="lines">The head, each line with its end.</param>
    /// <param name="request">The request when it is one.</param>
    private static bool TryParse(ReadOnlySpan<byte> lines, out DownloadRequest request)
    {
        request = default;
        var first = TakeLine(ref lines);
        if (!first.EndsWith(" HTTP/1.1"u8) || !TryReadName(first[5..^9], out var hash))
        {
            return false;
        }

        var hasHost = false;
        var isForwarded = false;
        string? range = null;
        while (!lines.IsEmpty)
        {
            var line = TakeLine(ref lines);
            var colon = line.IndexOf((byte)':');
            if (colon <= 0 || line[..colon].ContainsAnyExcept(NameCharacters) || line.ContainsAnyExceptInRange((byte)' ', (byte)'~'))
            {
                return false;
            }

            var value = line[(colon + 1)..].Trim((byte)' ');
            switch (Judge(line[..colon]))
            {
                case Header.Ignored:
                    break;
                case Header.Forwarded:
                    isForwarded = true;
                    break;
                case Header.Host when !hasHost && !value.IsEmpty && !value.ContainsAnyExcept(HostCharacters):
                    hasHost = true;
                    break;
                case Header.Range when range is null:
                    range = Encoding.ASCII.GetString(value);
                    break;
                case Header.Connection when Ascii.EqualsIgnoreCase(value, "keep-alive"u8):
                    break;
                default:
                    return false;
            }
        }

        request = new DownloadRequest(hash, range, isForwarded);
        return hasHost;
    }

    private static bool TryReadName(ReadOnlySpan<byte> name, out Bytes32 hash)
    {
        hash = default;
        Span<char> text = stackalloc char[128];
        return name.Length <= text.Length && Ascii.IsValid(name) && BlobPath.TryParse(text[..Encoding.ASCII.GetChars(name, text)], out hash);
    }

    private static ReadOnlySpan<byte> TakeLine(ref ReadOnlySpan<byte> lines)
    {
        var end = lines.IndexOf("\r\n"u8);
        var line = lines[..end];
        lines = lines[(end + 2)..];
        return line;
    }

    private enum Header
    {
        Ignored,
        Host,
        Range,
        Connection,
        Forwarded,
        Other,
    }

    /// <summary>What a browser or client says about itself changes no answer here; what is not known to be such is left to the HTTP server.</summary>
    private static Header Judge(ReadOnlySpan<byte> name) => name.Length switch
    {
        4 when Ascii.EqualsIgnoreCase(name, "Host"u8) => Header.Host,
        5 when Ascii.EqualsIgnoreCase(name, "Range"u8) => Header.Range,
        10 when Ascii.EqualsIgnoreCase(name, "Connection"u8) => Header.Connection,
        10 when Ascii.EqualsIgnoreCase(name, "User-Agent"u8) => Header.Ignored,
        6 when Ascii.EqualsIgnoreCase(name, "Accept"u8) || Ascii.EqualsIgnoreCase(name, "Origin"u8) => Header.Ignored,
        7 when Ascii.EqualsIgnoreCase(name, "Referer"u8) => Header.Ignored,
        15 when Ascii.EqualsIgnoreCase(name, "Accept-Encoding"u8) || Ascii.EqualsIgnoreCase(name, "Accept-Language"u8) => Header.Ignored,
        > 4 when Ascii.EqualsIgnoreCase(name[..4], "Sec-"u8) && !Ascii.EqualsIgnoreCase(name[..Math.Min(name.Length, 8)], "Sec-WebS"u8) => Header.Ignored,
        > 12 when Ascii.EqualsIgnoreCase(name[..12], "X-Forwarded-"u8) => Header.Forwarded,
        _ => Header.Other,
    };
}
