using Marmot.Protocol.Addresses;

namespace Marmot.Client;

/// <summary>Relay URLs as settings and events give them.</summary>
public static class RelayUrls
{
    /// <summary>True for an absolute ws or wss URL with a host, without user and fragment, up to 512 characters.</summary>
    public static bool IsValid(string url) => url.Length <= 512
        && HostName.TryReadUrl(url, out var uri, out _)
        && uri.Scheme is "ws" or "wss"
        && uri.UserInfo.Length == 0
        && uri.Fragment.Length == 0;

    /// <summary>The form in which two URLs of one relay are equal: host case, default port and an empty path folded.</summary>
    public static string Normalize(string url) => Uri.TryCreate(url, UriKind.Absolute, out var uri) ? uri.AbsoluteUri : url;

    /// <summary>Valid ones, normalized, each once, in the order given.</summary>
    public static IReadOnlyList<string> Distinct(IEnumerable<string> urls) => [.. urls.Where(IsValid).Select(Normalize).Distinct(StringComparer.Ordinal)];
}
