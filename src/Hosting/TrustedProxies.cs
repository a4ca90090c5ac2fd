using System.Net;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Options;
using IPNetwork = System.Net.IPNetwork;

namespace Marmot.Hosting;

/// <summary>
/// The address that limits count: behind a proxy of ours, the one its <c>X-Forwarded-For</c> names. Read from the right, and only past addresses we trust,
/// since whatever stands further left is the caller's own writing. Scheme and host are taken for URLs that are handed out alone (<see cref="ForwardedOrigin"/>).
/// </summary>
public sealed class TrustedProxies(IOptions<PublicOptions> options) : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor, ForwardLimit = null };
        forwarded.KnownProxies.Clear();
        forwarded.KnownIPNetworks.Clear();
        forwarded.KnownIPNetworks.Add(IPNetwork.Parse("127.0.0.0/8"));
        forwarded.KnownIPNetworks.Add(IPNetwork.Parse("::1/128"));
        foreach (string text in Split(options.Value.TrustedProxies))
        {
            if (TryParse(text, out var network))
            {
                forwarded.KnownIPNetworks.Add(network);
            }
        }

        IPNetwork[] trusted = [.. forwarded.KnownIPNetworks];
        app.Use((context, further) =>
        {
            // Before the caller's address takes the place of the proxy's.
            if (context.Request.Headers.ContainsKey("X-Forwarded-Proto") && ForwardedOrigin.Read(context, trusted) is { } origin)
            {
                context.Features.Set(origin);
            }

            return further(context);
        });
        app.UseForwardedHeaders(forwarded);
        next(app);
    };

    public static string[] Split(string text) => text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>A network (<c>10.0.0.0/8</c>) or one address.</summary>
    public static bool TryParse(string text, out IPNetwork network)
    {
        if (IPNetwork.TryParse(text, out network))
        {
            return true;
        }

        if (!IPAddress.TryParse(text, out var address))
        {
            return false;
        }

        network = new IPNetwork(address, address.GetAddressBytes().Length * 8);
        return true;
    }
}
