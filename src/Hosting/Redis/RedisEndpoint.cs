using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Marmot.Hosting.Redis;

/// <summary>Where a Redis server is and how to be let in.</summary>
public sealed record RedisEndpoint(string Host, int Port)
{
    private const int DefaultPort = 6379;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    /// <summary>ACL user; empty for the default one.</summary>
    public string User { get; init; } = "";

    /// <summary>Password; empty for none.</summary>
    public string Password { get; init; } = "";

    /// <summary>Speak TLS.</summary>
    public bool UseTls { get; init; }

    /// <summary>Roots to trust instead of the system's; null for the system's.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }

    /// <summary>Reads <c>host</c> or <c>host:port</c>, an IPv6 address in brackets.</summary>
    public static bool TryParse(string text, out RedisEndpoint endpoint)
    {
        endpoint = new RedisEndpoint("", 0);
        if (!Uri.TryCreate("redis://" + text, UriKind.Absolute, out var uri) || uri.Host.Length == 0 || uri.PathAndQuery.Length > 1 || uri.UserInfo.Length > 0)
        {
            return false;
        }

        endpoint = new RedisEndpoint(uri.IdnHost, uri.Port > 0 ? uri.Port : DefaultPort);
        return true;
    }

    /// <summary>Never shows the password.</summary>
    public override string ToString() => $"{Host}:{Port}";

    /// <summary>A stream to the server, before any word is spoken on it.</summary>
    internal async Task<Stream> ConnectAsync(CancellationToken cancel)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(ConnectTimeout);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(Host, Port, deadline.Token);
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            var network = new NetworkStream(socket, ownsSocket: true);
            if (!UseTls)
            {
                return network;
            }

            var secure = new SslStream(network);
            try
            {
                await secure.AuthenticateAsClientAsync(TlsOptions(), deadline.Token);
                return secure;
            }
            catch
            {
                await secure.DisposeAsync();
                throw;
            }
        }
        catch (Exception exception)
        {
            socket.Dispose();
            if (exception is OperationCanceledException && !cancel.IsCancellationRequested)
            {
                throw new IOException("Redis did not answer in time");
            }

            throw;
        }
    }

    private SslClientAuthenticationOptions TlsOptions()
    {
        var options = new SslClientAuthenticationOptions { TargetHost = Host };
        if (TrustedRoots is { } roots)
        {
            options.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            options.CertificateChainPolicy.CustomTrustStore.AddRange(roots);
        }

        return options;
    }
}
