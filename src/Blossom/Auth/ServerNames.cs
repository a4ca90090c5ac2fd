using System.Net;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Auth;

/// <summary>The name this server is known by: what a token's <c>server</c> tag must say (BUD-11) and where a descriptor's url points (BUD-02).</summary>
/// <remarks>
/// Without <c>Public:Origin</c> the Host header is believed for urls, which only the caller reads, but not for tokens: whoever replays a
/// token of another server chooses the Host header. Then only loopback names and the address the connection came in on count.
/// </remarks>
internal sealed class ServerNames
{
    private readonly string? _origin;
    private readonly string? _domain;
    private readonly PublicOptions _names;

    public ServerNames(IOptions<PublicOptions> options)
    {
        _names = options.Value;
        if (options.Value.Origin.Length > 0 && Uri.TryCreate(options.Value.Origin, UriKind.Absolute, out var uri))
        {
            var secure = uri.Scheme is "wss" or "https";
            _domain = uri.IdnHost.ToLowerInvariant();
            _origin = (secure ? "https://" : "http://") + uri.Authority;
        }
    }

    /// <summary>The domain a <c>server</c> tag must name for this request.</summary>
    public string DomainFor(HttpContext context)
    {
        if (_names.IsInnerName(context.Request.Host.Host))
        {
            return context.Request.Host.Host.ToLowerInvariant();
        }

        if (_domain is not null)
        {
            return _domain;
        }

        var host = context.Request.Host.Host.Trim('[', ']');
        var isLocal = host == "localhost"
            || (IPAddress.TryParse(host, out var address) && (IPAddress.IsLoopback(address) || address.Equals(Unmapped(context.Connection.LocalIpAddress))));
        return isLocal ? host : "localhost";
    }

    /// <summary>Scheme, host and port of the urls given out.</summary>
    public string OriginFor(HttpContext context) => !_names.IsInnerName(context.Request.Host.Host) && _origin is not null ? _origin : $"{context.Request.Scheme}://{context.Request.Host.Value}";

    private static IPAddress? Unmapped(IPAddress? address) => address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address;
}
