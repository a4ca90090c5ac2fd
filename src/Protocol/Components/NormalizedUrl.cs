using System.Buffers;
using System.Globalization;
using System.Net;
using Marmot.Protocol.Addresses;

namespace Marmot.Protocol.Components;

/// <summary>
/// Tells whether a URL is written exactly as a WHATWG URL parser writes it back, which is the canonical form of URLs in components. Not by <see cref="Uri"/>,
/// which changes other things: it decodes, completes and lower-cases differently.
/// </summary>
internal static class NormalizedUrl
{
    /// <summary>Longest URL of a component in bytes.</summary>
    public const int MaxSize = 2048;

    // URL Standard, path percent-encode set: these come out percent-encoded, so they cannot stand in what was written back. The backslash comes out as a slash.
    private static readonly SearchValues<char> NeverInPath = SearchValues.Create(" \"#<>?^`{}\\");
    private static readonly SearchValues<char> NeverInQuery = SearchValues.Create(" \"#<>'");

    /// <summary>https, or http where that is allowed; lower-case host, no default port, no dot segments, no user, no fragment; a query only where that is
    /// allowed.</summary>
    public static bool IsNormalized(string url, bool allowHttp, bool allowQuery)
    {
        if (url.Length > MaxSize || !url.All(c => c is > ' ' and < (char)127))
        {
            return false; // longer than MaxSize bytes, or not ASCII: what is written back is
        }

        bool isHttp = url.StartsWith("http://", StringComparison.Ordinal);
        if (!url.StartsWith("https://", StringComparison.Ordinal) && !(isHttp && allowHttp))
        {
            return false;
        }

        int start = url.IndexOf("//", StringComparison.Ordinal) + 2;
        int slash = url.IndexOf('/', start);
        if (slash < 0)
        {
            return false; // the path is at least a slash
        }

        int query = url.IndexOf('?', slash);
        string path = query < 0 ? url[slash..] : url[slash..query];
        return (query < 0 || (allowQuery && IsQuery(url[(query + 1)..])))
            && IsHost(url[start..slash], isHttp ? 80 : 443)
            && !path.AsSpan().ContainsAny(NeverInPath)
            && !path.Split('/').Any(IsDotSegment);
    }

    private static bool IsQuery(string query) => !query.AsSpan().ContainsAny(NeverInQuery);

    private static bool IsHost(string authority, int defaultPort)
    {
        int bracket = authority.LastIndexOf(']');
        int colon = authority.IndexOf(':', bracket + 1);
        string host = colon < 0 ? authority : authority[..colon];
        if (colon >= 0)
        {
            string port = authority[(colon + 1)..];
            if (!ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out ushort number) || number == defaultPort
                || port != number.ToString(CultureInfo.InvariantCulture))
            {
                return false;
            }
        }

        if (bracket >= 0)
        {
            return host.Length > 2 && host[0] == '[' && IPAddress.TryParse(host[1..^1], out var address) && $"[{address}]" == host && address.ScopeId == 0;
        }

        return HostName.TryParse(host, out var name) && name.UrlText == host;
    }

    private static bool IsDotSegment(string segment)
        => segment.Replace("%2e", ".", StringComparison.OrdinalIgnoreCase) is "." or "..";
}
