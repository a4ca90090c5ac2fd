using System.Security.Cryptography.X509Certificates;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Relays;

/// <summary>How the client talks to relays.</summary>
public sealed class RelayNetworkOptions
{
    /// <summary>Answers NIP-42 challenges; owned by the caller. Null answers none.</summary>
    public SecretKey? Account { get; init; }

    /// <summary>Time to connect. Default 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for an OK or an EOSE. Default 10 s.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Pause before a listening connection is made again, doubled up to a minute. Default 500 ms.</summary>
    public TimeSpan ReconnectPause { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Events asked for in one page. Default 2,000; relays give fewer when they like.</summary>
    public int PageSize { get; init; } = 2000;

    /// <summary>Longest message taken in bytes; a longer one ends the connection. Default 4 MiB.</summary>
    public int MaxMessageBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Private authorities to trust instead of the system's. Default none.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }
}
