using Marmot.Protocol.Addresses;

namespace Marmot.NotifyServer;

/// <summary>Which relay URLs are taken: <c>wss</c>, or <c>ws</c> to loopback or by leave; one spelling for comparing.</summary>
internal static class RelayUrl
{
    /// <summary>What is wrong with the URL, or null.</summary>
    public static string? Problem(string text, bool allowPlaintext)
    {
        if (!HostName.TryReadUrl(text, out var uri, out var host) || uri.Scheme is not ("ws" or "wss"))
        {
            return "a ws or wss URL";
        }

        if (text.Length > 512 || uri.UserInfo.Length > 0 || uri.Fragment.Length > 0)
        {
            return "at most 512 characters, no user, no fragment";
        }

        if (host.Text.EndsWith(".onion", StringComparison.Ordinal))
        {
            return "onion services need a proxy, which this server does not speak";
        }

        return uri.Scheme == "ws" && !host.IsLoopback && !allowPlaintext ? "ws is for loopback; set Notify:AllowPlaintextRelays to insist" : null;
    }

    /// <summary>Scheme and host in lower case, no default port, no trailing slash.</summary>
    public static string Normalise(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri)
            ? uri.GetComponents(UriComponents.SchemeAndServer | UriComponents.PathAndQuery, UriFormat.UriEscaped).TrimEnd('/')
            : text;
}
