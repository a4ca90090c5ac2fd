using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Marmot.Hosting.Outgoing;

/// <summary>The one place where servers make HTTP clients: what they send carries nothing of the request during which they send it.</summary>
/// <remarks>
/// The framework passes <c>traceparent</c>, <c>tracestate</c> and <c>baggage</c> of an incoming request on to every outgoing one (W3C Trace Context): the
/// operator of a mirror's origin, a bucket or a push provider could tell which requests belong to one caller. A House test finds clients made elsewhere.
/// </remarks>
public static class OutgoingHttp
{
    /// <summary>How long a connection may take.</summary>
    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    /// <summary>A handler without redirects, cookies and trace headers.</summary>
    /// <param name="roots">The authorities trusted in place of the system's; null for the system's.</param>
    public static SocketsHttpHandler CreateHandler(X509Certificate2Collection? roots = null)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = ConnectTimeout,
            ActivityHeadersPropagator = null,
        };
        if (roots is not null)
        {
            handler.SslOptions = PrivateTrust(roots);
        }

        return handler;
    }

    /// <summary>A client on a handler of <see cref="CreateHandler"/>, which it disposes with itself.</summary>
    /// <param name="timeout">For one request; null when each request has a deadline of its own.</param>
    /// <param name="handler">Null for a plain one.</param>
    public static HttpClient CreateClient(TimeSpan? timeout, SocketsHttpHandler? handler = null) =>
        new(handler ?? CreateHandler()) { Timeout = timeout ?? Timeout.InfiniteTimeSpan };

    /// <summary>The same without the extras of a client, e.g. for one that follows redirects by its own rules.</summary>
    public static HttpMessageInvoker CreateInvoker(SocketsHttpHandler handler) => new(handler);

    /// <summary>Trusts these roots and nothing else; names are still checked.</summary>
    public static SslClientAuthenticationOptions PrivateTrust(X509Certificate2Collection roots)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // a private authority publishes no lists
        };
        policy.CustomTrustStore.AddRange(roots);
        return new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
    }
}
