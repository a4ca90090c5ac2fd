namespace Marmot.ProviderSimulators;

/// <summary>What happens to a request in place of a plain answer.</summary>
public enum SimulatedFault
{
    None,
    /// <summary>Never answered and not accepted; the connection stays up.</summary>
    BlackHole,
    /// <summary>Accepted, but the answer never comes: the ambiguous loss.</summary>
    LostAnswer,
    /// <summary>RST_STREAM REFUSED_STREAM: not processed, safe to send again.</summary>
    RefusedStream,
    /// <summary>RST_STREAM INTERNAL_ERROR: unknown whether processed; here it is not.</summary>
    ResetStream,
    /// <summary>APNs: GOAWAY whose last stream lies below this one: not processed, safe to send again on a new connection. FCM: as
    /// <see cref="DropConnection"/>.</summary>
    GoAway,
    /// <summary>The TCP connection ends with RST, not accepted.</summary>
    DropConnection,
}

/// <summary>
/// A scripted answer. <c>new() { Status = 410, Reason = "Unregistered" }</c> answers so for ever; with <see cref="Times"/> it
/// is followed by the next verdict of the same script, and after the last one to success.
/// </summary>
public sealed record SimulatedVerdict
{
    /// <summary>The HTTP status; 200 is success.</summary>
    public int Status { get; init; } = 200;
    /// <summary>APNs: the reason string. FCM: the FcmError error code. OAuth: the error.</summary>
    public string? Reason { get; init; }
    /// <summary>The Retry-After header, as it stands: seconds, an HTTP date, or garbage.</summary>
    public string? RetryAfter { get; init; }
    /// <summary>Time before the answer, on top of the simulator's latency.</summary>
    public TimeSpan Delay { get; init; }
    public SimulatedFault Fault { get; init; }
    /// <summary>The exact body in place of the provider's own.</summary>
    public string? Body { get; init; }
    /// <summary>The content type of <see cref="Body"/>.</summary>
    public string ContentType { get; init; } = "application/json";
    /// <summary>How many requests it answers before the next verdict's turn.</summary>
    public int Times { get; init; } = int.MaxValue;

    /// <summary>A bare status and reason.</summary>
    public static SimulatedVerdict Of(int status, string? reason = null) => new() { Status = status, Reason = reason };
}
