using Marmot.Hosting.Settings;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Microsoft.Extensions.Options;

namespace Marmot.Relay;

/// <summary>The URL users know this relay by; NIP-42 and NIP-62 compare its host.</summary>
internal sealed class RelayIdentity(IOptions<PublicOptions> options)
{
    private readonly string _origin = options.Value.Origin.Replace("https://", "wss://", StringComparison.OrdinalIgnoreCase)
        .Replace("http://", "ws://", StringComparison.OrdinalIgnoreCase);

    /// <summary>Makes the challenge of a connection (NIP-42); tests with recorded AUTH events put a fixed one.</summary>
    public Func<string> CreateChallenge { get; set; } = RelayAuth.CreateChallenge;

    /// <summary>False without <c>Public:Origin</c>: then what is signed for this relay (NIP-42, NIP-62, NIP-98) is taken for loopback names only.</summary>
    public bool HasOrigin => _origin.Length > 0;

    /// <summary>The relay's URL as people see it on its page: the configured origin, else what the Host header says.</summary>
    public string ShownUrl(HttpRequest request) => HasOrigin && !options.Value.IsInnerName(Host(request)) ? _origin : $"{Scheme(request)}://{Host(request)}/";

    /// <summary>The URL that a signature for this relay has to name; null when there is none that can be believed.</summary>
    public string? SignedUrl(HttpRequest request) => SignedUrl(Scheme(request), Host(request));

    /// <summary>The URL that a signature for this relay has to name; null when there is none that can be believed.</summary>
    /// <remarks>
    /// A Host header is the client's word: who brings a stranger's signature for his own relay here could name that. Only loopback names and
    /// <see cref="PublicOptions.InnerNames"/> are taken from it; whoever is brought here by one of them must have signed for it.
    /// </remarks>
    /// <param name="scheme"><c>ws</c> or <c>wss</c>.</param>
    /// <param name="host">The Host header, with or without a port.</param>
    public string? SignedUrl(string scheme, string host)
    {
        if (options.Value.IsInnerName(host))
        {
            return $"{scheme}://{host}/";
        }

        if (HasOrigin)
        {
            return _origin;
        }

        return HostName.TryParseWithPort(host, out var name, out _) && name.IsLoopback ? $"{scheme}://{host}/" : null;
    }

    /// <summary>NIP-62: a <c>relay</c> tag with our host or ALL_RELAYS. Without a configured origin loopback names and ALL_RELAYS are believed.</summary>
    public bool IsNamedBy(in NostrEventView evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("relay"u8)
                && (tag.Value.SequenceEqual("ALL_RELAYS"u8) || IsOurs(System.Text.Encoding.UTF8.GetString(tag.Value))))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>NIP-62: a request to every relay there is; what an import honours without knowing its own URL.</summary>
    public static bool NamesAllRelays(in NostrEventView evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("relay"u8) && tag.Value.SequenceEqual("ALL_RELAYS"u8))
            {
                return true;
            }
        }

        return false;
    }

    private bool IsOurs(string url) =>
        HostName.TryReadUrl(url, out var theirs, out var named)
        && theirs.Scheme is "ws" or "wss"
        && (HostName.TryReadUrl(_origin, out _, out var ours) ? ours == named : !HasOrigin && named.IsLoopback);

    private static string Scheme(HttpRequest request) => request.IsHttps ? "wss" : "ws";

    private static string Host(HttpRequest request) => request.Headers.Host.ToString(); // Request.Host throws for bad Punycode
}
