using System.Buffers;
using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;
using IPNetwork = System.Net.IPNetwork;

namespace Marmot.Hosting;

/// <summary>
/// The address that limits count: behind a proxy of ours, the one its <c>X-Forwarded-For</c> names. Read from the right, and only past addresses we trust,
/// since whatever stands further left is the caller's own writing. Scheme and host are taken for URLs that are handed out alone
/// (<see cref="ForwardedOrigin"/>).
/// </summary>
/// <remarks>Used by the HTTP pipeline of every server and by what answers before it (<see cref="IConnectionShortcut"/>). Thread-safe.</remarks>
public sealed class TrustedProxies(IOptions<PublicOptions> options) : IStartupFilter
{
    /// <summary>The header with the addresses.</summary>
    public const string ForHeader = "X-Forwarded-For";

    private static readonly SearchValues<char> AddressCharacters = SearchValues.Create("0123456789abcdefABCDEF.:[]");

    private readonly IPNetwork[] _networks =
    [
        IPNetwork.Parse("127.0.0.0/8"),
        IPNetwork.Parse("::1/128"),
        .. Split(options.Value.TrustedProxies).Select(text => TryParse(text, out var network) ? network : (IPNetwork?)null).OfType<IPNetwork>(),
    ];

    /// <inheritdoc/>
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(following => context =>
        {
            if (context.Request.Headers.ContainsKey("X-Forwarded-Proto") && ForwardedOrigin.Read(context, _networks) is { } origin)
            {
                context.Features.Set(origin);
            }

            // After that: the caller's address takes the place of the proxy's.
            context.Connection.RemoteIpAddress = Find(context.Connection.RemoteIpAddress, context.Request.Headers[ForHeader].ToString());
            return following(context);
        });
        next(app);
    };

    /// <summary>Finds whose limits and blocks count for one request.</summary>
    /// <param name="connection">Where the connection comes from; null for a Unix socket, which only this machine reaches.</param>
    /// <param name="forwardedFor">The value of <see cref="ForHeader"/>, several headers joined by commas.</param>
    public IPAddress? Find(IPAddress? connection, ReadOnlySpan<char> forwardedFor)
    {
        var address = connection;
        for (var rest = forwardedFor; !rest.IsEmpty && IsTrusted(address);)
        {
            var comma = rest.LastIndexOf(',');
            if (!TryParseAddress(rest[(comma + 1)..].Trim(), out var earlier))
            {
                break;
            }

            address = earlier;
            rest = rest[..Math.Max(0, comma)];
        }

        return address;
    }

    /// <summary>The parts of <see cref="PublicOptions.TrustedProxies"/>.</summary>
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

    private bool IsTrusted(IPAddress? address)
    {
        if (address is null)
        {
            return true;
        }

        var plain = CallerAddress.Unmapped(address);
        foreach (var network in _networks)
        {
            if (network.Contains(plain))
            {
                return true;
            }
        }

        return false;
    }

    // An address, with a port if the proxy writes one.
    private static bool TryParseAddress(ReadOnlySpan<char> text, out IPAddress? address)
    {
        address = null;
        if (text.ContainsAnyExcept(AddressCharacters) || !IPEndPoint.TryParse(text, out var endPoint))
        {
            return false;
        }

        address = CallerAddress.Unmapped(endPoint.Address);
        return true;
    }
}
