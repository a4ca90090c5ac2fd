using System.ComponentModel.DataAnnotations;
using Marmot.Protocol.Addresses;

namespace Marmot.Hosting.Settings;

/// <summary>The public listener.</summary>
public sealed class PublicOptions : IValidatableObject
{
    /// <summary>Section name.</summary>
    public const string Section = "Public";

    /// <summary>Where the public port listens, several separated by ';'. Default <c>http://0.0.0.0:8080</c>: behind a proxy that ends TLS.</summary>
    [Required]
    [ListenUrls]
    public string Urls { get; set; } = "http://0.0.0.0:8080";

    /// <summary>The URL users see, e.g. <c>wss://example.org</c>; NIP-42 and BUD-11 compare against its host. Empty: loopback names only; set it whenever users
    /// come through a name.</summary>
    [Origin]
    public string Origin { get; set; } = "";

    /// <summary>Further host names by which machines of the deployment itself come in, e.g. the name of a Kubernetes Service, separated by ';'. Who comes by
    /// one authenticates for it. Default empty.</summary>
    public string InnerNames { get; set; } = "";

    /// <summary>How long a process told to stop goes on serving while <c>/readyz</c> already says no. Default 0; behind a load balancer a little more than its
    /// check interval.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")]
    public TimeSpan DrainDelay { get; set; } = TimeSpan.Zero;

    /// <summary>
    /// How long a stop may take after <see cref="DrainDelay"/>: transfers under way have all of it but ten seconds, then their connections are cut. Default 25
    /// s, less than the 30 s that Kubernetes waits before it kills. Longer than <c>Notify:DrainTimeout</c>.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:15:00")]
    public TimeSpan StopTimeout { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>Answer WebSocket handshakes and plain downloads before the HTTP server, which saves memory and time. Default true; false to compare, and when
    /// the HTTP server is to see everything.</summary>
    public bool Shortcuts { get; set; } = true;

    /// <summary>Proxies whose <c>X-Forwarded-For</c> and <c>X-Forwarded-Proto</c> are believed: addresses and networks such as <c>10.0.0.0/8</c>, separated by
    /// ';'. Loopback always is. Default empty.</summary>
    [Networks(ErrorMessage = "addresses and networks such as 10.0.0.0/8, separated by ';'")]
    public string TrustedProxies { get; set; } = "";

    /// <summary>
    /// File with who may publish to the relay and upload to Blossom, one entry a line: an npub, 64 hex digits, a NIP-05 name (<c>alice@example.org</c>) or a
    /// domain (<c>example.org</c>: every
    /// key it names). Comments begin with <c>#</c>. Read again when it changes. Default empty: <c>Relay:WriteAllowList</c> and <c>Blossom:AllowedKeys</c>
    /// alone decide.
    /// </summary>
    public string AllowListFile { get; set; } = "";

    /// <summary>URL of the operator's policy, shown on the public page. Default empty: none.</summary>
    [HttpUrl]
    public string PolicyUrl { get; set; } = "";

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (AllowListFile.Length > 0 && FindMistake() is { } mistake)
        {
            yield return new ValidationResult($"AllowListFile: {mistake}");
        }
    }

    private string? FindMistake()
    {
        try
        {
            Moderating.AllowList.Read(AllowListFile);
            return null;
        }
        catch (InvalidDataException mistake)
        {
            return mistake.Message;
        }
    }

    /// <summary>Whether a Host header (with or without a port) is one of <see cref="InnerNames"/>.</summary>
    public bool IsInnerName(string host) =>
        InnerNames.Length > 0 && HostName.TryParseWithPort(host, out var name, out _)
        && InnerNames.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Any(text => HostName.TryParse(text, out var inner) && inner == name);
}

/// <summary>The operator's listener: health, metrics, dashboard. Never on the public port.</summary>
public sealed class AdminOptions
{
    /// <summary>Section name.</summary>
    public const string Section = "Admin";

    /// <summary>Where the admin port listens. Default loopback only; empty turns it off.</summary>
    [ListenUrls]
    public string Urls { get; set; } = "http://127.0.0.1:8081";
}

/// <summary>Where data lives.</summary>
public sealed class StorageOptions
{
    /// <summary>Section name.</summary>
    public const string Section = "Storage";

    /// <summary>Folder of the embedded storage, made when missing (mode 0700). Not on a network file system.</summary>
    [Required]
    public string DataDirectory { get; set; } = "./data";

    /// <summary>PostgreSQL connection string (Npgsql's words; the password by <c>Passfile=</c>). When set, events and blob metadata live there instead of in
    /// <c>Storage:DataDirectory</c>. Default empty.</summary>
    [PostgresConnection]
    public string Postgres { get; set; } = "";
}

/// <summary>What the program writes to the console.</summary>
public sealed class LogOptions
{
    /// <summary>Section name.</summary>
    public const string Section = "Log";

    /// <summary><c>Text</c> for people, <c>Json</c> (compact, one object a line) for collectors. Default Text.</summary>
    public LogFormat Format { get; set; } = LogFormat.Text;

    /// <summary>Verbose, Debug, Information, Warning, Error or Fatal. Default Information.</summary>
    public Serilog.Events.LogEventLevel Level { get; set; } = Serilog.Events.LogEventLevel.Information;
}

/// <summary>Form of the console log.</summary>
public enum LogFormat
{
    /// <summary>Lines for people.</summary>
    Text,

    /// <summary>One JSON object a line.</summary>
    Json,
}

/// <summary>OpenTelemetry export of the metrics.</summary>
public sealed class TelemetryOptions
{
    /// <summary>Section name.</summary>
    public const string Section = "Telemetry";

    /// <summary>OTLP endpoint (gRPC), e.g. <c>http://collector:4317</c>. Empty: no export.</summary>
    [HttpUrl]
    public string OtlpEndpoint { get; set; } = "";
}

/// <summary>Addresses and networks, separated by ';'.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class NetworksAttribute : ValidationAttribute
{
    public override bool IsValid(object? value) =>
        value is null or string && Hosting.TrustedProxies.Split((string?)value ?? "").All(text => Hosting.TrustedProxies.TryParse(text, out _));
}
