using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Addresses;
using Microsoft.AspNetCore.Http;

namespace Marmot.Hosting.Admin;

/// <summary>The names the admin port answers to: those of loopback, the hosts of <c>Admin:Urls</c>, and the address that the connection came in on.</summary>
/// <remarks>
/// Any other name in the Host header is a web page whose own name was pointed at this machine, so that the operator's browser lets it read the answers
/// (DNS rebinding). An address cannot be pointed elsewhere.
/// </remarks>
/// <param name="urls">The addresses it listens on.</param>
internal sealed class AdminHosts(IEnumerable<string> urls)
{
    private readonly HashSet<HostName> _hosts = [.. urls.Select(ReadHost).OfType<HostName>().Where(host => !IsAnyAddress(host))];

    public bool Contains(HttpContext context)
    {
        if (!HostName.TryParseWithPort(context.Request.Headers.Host.ToString(), out var host, out _))
        {
            return false;
        }

        return host.IsLoopback || _hosts.Contains(host)
            || (host.Address is { } address && context.Connection.LocalIpAddress is { } local
                && CallerAddress.Unmapped(local).Equals(CallerAddress.Unmapped(address)));
    }

    private static bool IsAnyAddress(HostName host) => host.Address is { } address && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any));

    // Host of an address as Kestrel takes it; null for "*" and "+".
    private static HostName? ReadHost(string url) => HostName.TryParse(BindingAddress.Parse(url).Host, out var host) ? host : null;
}
