using System.Security.Cryptography.X509Certificates;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.RelayClient;

/// <summary>How one standing connection to a relay behaves.</summary>
public sealed class RelayConnectionOptions
{
    /// <summary>Where to connect, <c>ws</c> or <c>wss</c>.</summary>
    public required Uri Url { get; init; }

    /// <summary>The URL written into NIP-42 answers. Default: <see cref="Url"/>; another one when the relay is reached by an inner name.</summary>
    public string? AuthUrl { get; init; }

    /// <summary>Answers NIP-42 challenges. One key a connection, since some relays accept only one. The caller keeps ownership. Default: none, challenges go
    /// unanswered.</summary>
    public SecretKey? AuthKey { get; init; }

    /// <summary>Makes the standing subscription's filters anew for each REQ, so that <c>since</c> moves on. Default: none, nothing is subscribed.</summary>
    public Func<Filter[]>? Subscription { get; init; }

    /// <summary>Time to connect, upgrade included. Default: 15 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Pause between pings. Default: 30 s.</summary>
    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Time for the pong; then the connection counts as dead. Default: 20 s.</summary>
    public TimeSpan PongTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>A subscription without EOSE counts as live after this. Default: 10 s.</summary>
    public TimeSpan EoseTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for an OK, and for the EOSE of a query. Default: 10 s.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>First pause before a reconnect or another REQ; multiplied by <see cref="BackoffGrowth"/> each time. Default: 1 s.</summary>
    public TimeSpan BackoffBase { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>What a pause is multiplied by each time, above 1. Default: 2. With 1.25 a relay that was away for a minute is found within half a minute of its
    /// return, with 2 within one.</summary>
    public double BackoffGrowth { get; init; } = 2;

    /// <summary>Longest pause. Default: 1 min.</summary>
    public TimeSpan BackoffMax { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Pause before another REQ after the relay refused it for good (<c>restricted:</c> and the like). Default: 5 min.</summary>
    public TimeSpan RefusedPause { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>A connection that held this long starts the next back-off anew. Default: 1 min.</summary>
    public TimeSpan StableAfter { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Largest message taken in bytes; a longer one ends the connection. Default: 1 MiB.</summary>
    public int MaxMessageBytes { get; init; } = 1024 * 1024;

    /// <summary>Private authorities to trust instead of the system's. Default: none.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }
}
