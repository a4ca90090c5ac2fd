using Marmot.Hosting;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Addresses;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Auth;

/// <summary>The name this server is known by: what a token's <c>server</c> tag must say (BUD-11) and where a descriptor's url points (BUD-02).</summary>
/// <remarks>
/// Without <c>Public:Origin</c> the Host header and what a trusted proxy says of it are believed for urls, which only the caller reads, but not for tokens:
/// whoever replays a token of another server chooses the Host header. Then only loopback names count.
/// </remarks>
internal sealed class ServerNames
{
    private readonly string? _origin;
    private readonly HostName _domain;
    private readonly PublicOptions _names;

    public ServerNames(IOptions<PublicOptions> options)
    {
        _names = options.Value;
        if (HostName.TryReadUrl(options.Value.Origin, out var uri, out _domain))
        {
            _origin = $"{(uri.Scheme is "wss" or "https" ? "https" : "http")}://{uri.Authority}";
        }
    }

    /// <summary>Whether the public name of this server is configured.</summary>
    public bool IsConfigured => _origin is not null;

    /// <summary>The host a <c>server</c> tag must name for this request; null when no name can be right.</summary>
    public HostName? DomainFor(HttpContext context)
    {
        // Request.Host throws for bad Punycode.
        if (!HostName.TryParseWithPort(context.Request.Headers.Host.ToString(), out var host, out _))
        {
            return IsConfigured ? _domain : null;
        }

        return _names.IsInnerName(host.UrlText) || (!IsConfigured && host.IsLoopback) ? host : IsConfigured ? _domain : null;
    }

    /// <summary>Scheme, host and port of the urls given out.</summary>
    public string OriginFor(HttpContext context)
    {
        var host = context.Request.Headers.Host.ToString();
        if (_origin is not null && !_names.IsInnerName(host))
        {
            return _origin;
        }

        return context.Features.Get<ForwardedOrigin>() is { } forwarded ? $"{forwarded.Scheme}://{forwarded.Host}" : $"{context.Request.Scheme}://{host}";
    }
}
