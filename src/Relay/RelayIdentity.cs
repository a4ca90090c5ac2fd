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

    /// <summary>The relay's URL for one request: the configured origin, else what the Host header says.</summary>
    public string UrlFor(HttpRequest request) => UrlFor(request.IsHttps ? "wss" : "ws", request.Headers.Host.ToString()); // Request.Host throws for bad Punycode

    /// <remarks>Naming an inner name helps no stranger: whom he brings here by it must have signed for it.</remarks>
    public string UrlFor(string scheme, string host) => _origin.Length > 0 && !options.Value.IsInnerName(host) ? _origin : $"{scheme}://{host}/";

    /// <summary>NIP-62: a <c>relay</c> tag with our host or ALL_RELAYS. Without a configured origin only ALL_RELAYS is believed.</summary>
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
        HostName.TryReadUrl(_origin, out _, out var ours)
        && HostName.TryReadUrl(url, out var theirs, out var named)
        && theirs.Scheme is "ws" or "wss"
        && ours == named;
}
