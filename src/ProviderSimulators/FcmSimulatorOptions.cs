using System.Net;
using System.Security.Cryptography;

namespace Marmot.ProviderSimulators;

/// <summary>Every knob of <see cref="FcmSimulator"/>. The defaults are Google's documented behaviour.</summary>
public sealed class FcmSimulatorOptions
{
    public IPAddress Address { get; set; } = IPAddress.Loopback;
    /// <summary>0 takes a free one.</summary>
    public int Port { get; set; }
    /// <summary>More names for the server certificate than localhost and the loopback addresses.</summary>
    public IReadOnlyList<string> HostNames { get; set; } = [];
    /// <summary>The host in <see cref="FcmSimulator.Endpoint"/> and in the service account's token_uri.</summary>
    public string PublicHost { get; set; } = "localhost";
    /// <summary>Null makes a new one.</summary>
    public SimulatorAuthority? Authority { get; set; }

    /// <summary>The project of the service account.</summary>
    public string ProjectId { get; set; } = "marmot-sim";
    /// <summary>Projects that exist but that the service account may not send for: 403. Others: 404.</summary>
    public IReadOnlySet<string> ForeignProjects { get; set; } = new HashSet<string>();
    /// <summary>Null makes a new 2,048-bit key. The simulator does not dispose one given.</summary>
    public RSA? ServiceAccountKey { get; set; }

    /// <summary>Google: 3,599 s.</summary>
    public TimeSpan AccessTokenLifetime { get; set; } = TimeSpan.FromSeconds(3599);
    /// <summary>Google: iat and exp at most an hour apart.</summary>
    public TimeSpan AssertionLifetime { get; set; } = TimeSpan.FromHours(1);
    /// <summary>How far an assertion's iat may lie ahead.</summary>
    public TimeSpan ClockSkew { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Messages a minute of the whole project. Google: 600,000. 0: no limit.</summary>
    public int ProjectQuotaPerMinute { get; set; } = 600_000;
    /// <summary>Messages a minute to one device. Google: 240. 0: no limit.</summary>
    public int DeviceQuotaPerMinute { get; set; } = 240;
    /// <summary>The Retry-After header of a quota answer; null leaves it out, as Google sometimes does.</summary>
    public string? QuotaRetryAfter { get; set; } = "60";

    /// <summary>Time before every answer.</summary>
    public TimeSpan Latency { get; set; }
    /// <summary>Random time from zero to this, added to <see cref="Latency"/>.</summary>
    public TimeSpan Jitter { get; set; }
    /// <summary>The provider's clock: token windows, quota, times of requests, delays.</summary>
    public TimeProvider Clock { get; set; } = TimeProvider.System;
    /// <summary>Called with each push request in order, under a lock: be brief.</summary>
    public Action<SimulatedRequest>? OnRequest { get; set; }
}
