using System.Net;
using System.Security.Cryptography;

namespace Marmot.ProviderSimulators;

/// <summary>Apple's two worlds: a device token and a scoped key belong to one of them.</summary>
public enum ApnsEnvironment
{
    Production,
    Sandbox,
}

/// <summary>A key Apple would know: the public half of a <c>.p8</c>.</summary>
public sealed record ApnsSigningKey
{
    /// <summary>Ten characters, the <c>kid</c> of the provider token.</summary>
    public required string KeyId { get; init; }
    /// <summary>Ten characters, the <c>iss</c> of the provider token.</summary>
    public required string TeamId { get; init; }
    /// <summary>P-256. The simulator does not dispose it.</summary>
    public required ECDsa PublicKey { get; init; }
    /// <summary>Set for a key scoped to one environment.</summary>
    public ApnsEnvironment? Environment { get; init; }
    /// <summary>Set for a topic key: the only topics it may push to.</summary>
    public IReadOnlySet<string>? Topics { get; init; }
}

/// <summary>A device token that the simulator knows. Tokens it does not know are good for every topic unless
/// <see cref="ApnsSimulatorOptions.KnownDevicesOnly"/>.</summary>
public sealed record ApnsDevice
{
    public required string Token { get; init; }
    public required string Topic { get; init; }
    public ApnsEnvironment Environment { get; init; }
    /// <summary>Set when the app is gone from the device: 410 with this time.</summary>
    public DateTimeOffset? UnregisteredAt { get; init; }
}

/// <summary>Every knob of <see cref="ApnsSimulator"/>. The defaults are Apple's documented behaviour.</summary>
public sealed class ApnsSimulatorOptions
{
    public IPAddress Address { get; set; } = IPAddress.Loopback;
    /// <summary>0 takes a free one.</summary>
    public int Port { get; set; }
    /// <summary>More names for the server certificate than localhost and the loopback addresses.</summary>
    public IReadOnlyList<string> HostNames { get; set; } = [];
    /// <summary>Null makes a new one.</summary>
    public SimulatorAuthority? Authority { get; set; }
    public ApnsEnvironment Environment { get; set; }

    /// <summary>The keys Apple knows. Empty: one is made from <see cref="TeamId"/> and <see cref="KeyId"/>, see
    /// <see cref="ApnsSimulator.PrivateKeyPem"/>.</summary>
    public IReadOnlyList<ApnsSigningKey> Keys { get; set; } = [];
    public string TeamId { get; set; } = "MARMOTTEAM";
    public string KeyId { get; set; } = "MARMOTKEY1";

    /// <summary>The bundle ids of the team. Empty: every well-formed topic is good.</summary>
    public IReadOnlySet<string> Topics { get; set; } = new HashSet<string>();
    public IReadOnlyList<ApnsDevice> Devices { get; set; } = [];
    public bool KnownDevicesOnly { get; set; }

    /// <summary>Streams allowed before the first accepted provider token. Apple: 1.</summary>
    public int InitialMaxStreams { get; set; } = 1;
    /// <summary>Streams allowed after it. Seen in the wild: 500 to 1,500.</summary>
    public int RaisedMaxStreams { get; set; } = 1000;
    /// <summary>Falls back to <see cref="InitialMaxStreams"/> after a rejected push, as Apple did in 2016.</summary>
    public bool LowerStreamsOnRejection { get; set; }
    /// <summary>Each connection gets GOAWAY with reason Shutdown on its n-th request, which is still answered. 0: never.</summary>
    public int GoAwayAfterRequests { get; set; }

    /// <summary>Apple: a provider token lives 60 minutes from <c>iat</c>.</summary>
    public TimeSpan ProviderTokenLifetime { get; set; } = TimeSpan.FromMinutes(60);
    /// <summary>Apple: no new token within 20 minutes of the last new one of the same key.</summary>
    public TimeSpan ProviderTokenUpdateInterval { get; set; } = TimeSpan.FromMinutes(20);
    /// <summary>How far <c>iat</c> may lie ahead.</summary>
    public TimeSpan ClockSkew { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Time before every answer.</summary>
    public TimeSpan Latency { get; set; }
    /// <summary>Random time from zero to this, added to <see cref="Latency"/>.</summary>
    public TimeSpan Jitter { get; set; }
    /// <summary>The provider's clock: token windows, times of requests, delays.</summary>
    public TimeProvider Clock { get; set; } = TimeProvider.System;
    /// <summary>Called with each request in order, under a lock: be brief.</summary>
    public Action<SimulatedRequest>? OnRequest { get; set; }
}
