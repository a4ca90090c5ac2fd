using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Marmot.Protocol.Addresses;
using StackExchange.Redis;

namespace Marmot.Hosting.Redis;

/// <summary>Where a Redis server is and how to be let in.</summary>
public sealed record RedisEndpoint(string Host, int Port)
{
    private const int DefaultPort = 6379;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ReplyTimeout = TimeSpan.FromSeconds(2.5);
    private static readonly TimeSpan PingInterval = TimeSpan.FromSeconds(2);

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
        if (!Uri.TryCreate("redis://" + text, UriKind.Absolute, out var uri) || !HostName.TryFrom(uri, out var host) || uri.PathAndQuery.Length > 1
            || uri.UserInfo.Length > 0)
        {
            return false;
        }

        endpoint = new RedisEndpoint(host.Text, uri.Port > 0 ? uri.Port : DefaultPort);
        return true;
    }

    /// <summary>Never shows the password.</summary>
    public override string ToString() => $"{Host}:{Port}";

    /// <summary>The library's settings: commands fail at once without a connection, so that a caller can decide, and nothing is asked of the server that an ACL
    /// for these commands would refuse.</summary>
    internal ConfigurationOptions ToConfiguration()
    {
        var options = new ConfigurationOptions
        {
            EndPoints = { { Host, Port } },
            User = User.Length > 0 ? User : null,
            Password = Password.Length > 0 ? Password : null,
            AbortOnConnectFail = false,
            BacklogPolicy = BacklogPolicy.FailFast,
            Protocol = RedisProtocol.Resp2, // any server from 6.2 on, and a connection of its own for what is heard
            ConnectTimeout = (int)ConnectTimeout.TotalMilliseconds,
            AsyncTimeout = (int)ReplyTimeout.TotalMilliseconds,
            KeepAlive = (int)PingInterval.TotalSeconds,
            HeartbeatInterval = TimeSpan.FromMilliseconds(500), // how soon a lost connection is tried again
            ReconnectRetryPolicy = new GrowingPause(),
            ConfigurationChannel = "",
            TieBreaker = "",
            IncludeDetailInExceptions = false, // they would hold the address
            SetClientLibrary = false,
        };
        if (UseTls)
        {
            options.Ssl = true;
            options.SslHost = Host;
            options.SslClientAuthenticationOptions = _ => TlsOptions();
        }

        return options;
    }

    private SslClientAuthenticationOptions TlsOptions()
    {
        var options = new SslClientAuthenticationOptions { TargetHost = Host };
        if (TrustedRoots is { } roots)
        {
            options.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            options.CertificateChainPolicy.CustomTrustStore.AddRange(roots);
        }

        return options;
    }

    // 50 ms doubled up to 5 s, half of it random: replicas that lost the server together do not come back together.
    private sealed class GrowingPause : IReconnectRetryPolicy
    {
        public bool ShouldRetry(long currentRetryCount, int timeElapsedMillisecondsSinceLastRetry) =>
            timeElapsedMillisecondsSinceLastRetry >= Math.Min(5000, 50 << (int)Math.Min(currentRetryCount, 7)) * (0.5 + (Random.Shared.NextDouble() / 2));
    }
}
