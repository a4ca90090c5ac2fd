using System.Net;
using Marmot.Protocol.Addresses;
using Microsoft.AspNetCore.Http;

namespace Marmot.Hosting;

/// <summary>Scheme and host by which the caller came to a proxy that is trusted, a feature of the request. For URLs that are handed out only: no decision about
/// who may do what may rest on it.</summary>
/// <param name="Scheme"><c>http</c> or <c>https</c>.</param>
/// <param name="Host">Host, and port when there is one.</param>
public sealed record ForwardedOrigin(string Scheme, string Host)
{
    /// <summary>From <c>X-Forwarded-Proto</c> and <c>X-Forwarded-Host</c>, else <c>Host</c>; of several values the last, which the proxy next to us wrote. Null
    /// when nothing usable stands there.</summary>
    internal static ForwardedOrigin? Read(HttpContext context, IEnumerable<IPNetwork> trusted)
    {
        var headers = context.Request.Headers;
        var scheme = Last(headers["X-Forwarded-Proto"].ToString());
        if (context.Connection.RemoteIpAddress is not { } peer || scheme is not ("http" or "https"))
        {
            return null;
        }

        var address = peer.IsIPv4MappedToIPv6 ? peer.MapToIPv4() : peer;
        var named = Last(headers["X-Forwarded-Host"].ToString());
        var host = named.Length > 0 ? named : headers.Host.ToString();
        return trusted.Any(network => network.Contains(address)) && HostName.TryParseWithPort(host, out var name, out var port)
            ? new ForwardedOrigin(scheme, port is null ? name.UrlText : $"{name.UrlText}:{port}")
            : null;
    }

    private static string Last(string list) => list[(list.LastIndexOf(',') + 1)..].Trim().ToLowerInvariant();
}
