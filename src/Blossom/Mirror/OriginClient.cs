using System.Net;
using Marmot.Hosting.Outgoing;
using Marmot.Protocol.Addresses;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Mirror;

/// <summary>Fetches from the origin of a mirror request: no proxy, no cookies, no decompression, redirects by hand through the same guard.</summary>
internal sealed class OriginClient : IDisposable
{
    private const int MaxRedirects = 5;
    private readonly HttpMessageInvoker _http;

    public OriginClient(IOptions<BlossomOptions> options)
    {
        var allowPrivate = options.Value.MirrorPrivateAddresses;
        var handler = OutgoingHttp.CreateHandler();
        handler.UseProxy = false;
        handler.AutomaticDecompression = DecompressionMethods.None;
        handler.PooledConnectionLifetime = TimeSpan.Zero; // every fetch resolves and checks anew
        handler.MaxResponseHeadersLength = 16; // KiB
        handler.ConnectCallback = (context, cancellation) => AddressGuard.ConnectAsync(context.DnsEndPoint, allowPrivate, cancellation);
        _http = OutgoingHttp.CreateInvoker(handler);
    }

    /// <summary>The origin's answer with its body unread, or null when there is nothing usable: no reason is passed on, it might tell of the inside.</summary>
    public async ValueTask<HttpResponseMessage?> GetAsync(Uri url, CancellationToken cancellationToken)
    {
        for (var hop = 0; hop <= MaxRedirects; hop++)
        {
            if (!IsFetchable(url))
            {
                return null;
            }

            HttpResponseMessage response;
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, url);
                request.Headers.TryAddWithoutValidation("User-Agent", "marmot-blossom");
                response = await _http.SendAsync(request, cancellationToken);
            }
            catch (HttpRequestException)
            {
                return null;
            }

            if (response.StatusCode == HttpStatusCode.OK && response.Content.Headers.ContentEncoding.Count == 0)
            {
                return response;
            }

            var location = response.Headers.Location;
            var isRedirect = (int)response.StatusCode is 301 or 302 or 303 or 307 or 308;
            response.Dispose();
            if (!isRedirect || location is null || !Uri.TryCreate(url, location, out var next))
            {
                return null;
            }

            url = next;
        }

        return null;
    }

    public static bool IsFetchable(Uri url) => url is { IsAbsoluteUri: true, Scheme: "https" or "http", UserInfo: "" } && HostName.TryFrom(url, out _);

    public void Dispose() => _http.Dispose();
}
