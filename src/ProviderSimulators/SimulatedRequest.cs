namespace Marmot.ProviderSimulators;

/// <summary>One push request as a simulator saw it, with the answer it got. Immutable.</summary>
public sealed record SimulatedRequest
{
    /// <summary>1, 2, 3… in the order of the answers.</summary>
    public required long Number { get; init; }
    /// <summary>When the request was complete.</summary>
    public required DateTimeOffset Time { get; init; }
    /// <summary>The TCP connection. APNs: counted from 1.</summary>
    public required string ConnectionId { get; init; }
    /// <summary>APNs: the HTTP/2 stream. FCM: 0.</summary>
    public int StreamId { get; init; }
    public required string Method { get; init; }
    public required string Path { get; init; }
    /// <summary>The device token, empty when the request named none.</summary>
    public required string Token { get; init; }
    /// <summary>APNs: <c>apns-topic</c>. FCM: the project id.</summary>
    public string? Topic { get; init; }
    /// <summary>In the order received, names in lower case, HTTP/2 pseudo headers left out.</summary>
    public required IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; }
    public required ReadOnlyMemory<byte> Body { get; init; }
    /// <summary>The HTTP status, or 0 when nothing was answered.</summary>
    public required int Status { get; init; }
    /// <summary>The provider's reason, or the name of the fault when <see cref="Status"/> is 0; null on success.</summary>
    public string? Reason { get; init; }
    /// <summary>The provider took the message: a device would have got it. True too for an accepted one whose answer was lost.</summary>
    public required bool Accepted { get; init; }
    /// <summary>What the provider tolerates but a careful sender avoids.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>The first value of a header, by lower-case name.</summary>
    public string? Header(string name)
    {
        foreach (var (key, value) in Headers)
        {
            if (string.Equals(key, name, StringComparison.OrdinalIgnoreCase)) return value;
        }
        return null;
    }
}
