namespace Marmot.ProviderSimulators.Http2;

/// <summary>
/// One request stream. The connection's reader fills it; once complete it belongs to the request's handler, apart from the
/// send window, which the connection guards with its own lock.
/// </summary>
internal sealed class Http2Exchange(int streamId, IReadOnlyList<KeyValuePair<string, string>> headers, int sendWindow) : IDisposable
{
    /// <summary>Bytes of a body that are kept; the rest is counted and dropped.</summary>
    public const int MaxKeptBodyBytes = 64 * 1024;

    private readonly CancellationTokenSource _aborted = new();
    private readonly MemoryStream _body = new();

    public int StreamId { get; } = streamId;
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; } = headers;
    /// <summary>All bytes the client sent, kept or not.</summary>
    public long BodyBytes { get; private set; }
    /// <summary>Set when the client resets the stream or the connection ends.</summary>
    public CancellationToken Aborted => _aborted.Token;
    public byte[] Body => _body.ToArray();
    internal int SendWindow { get; set; } = sendWindow;
    internal bool Complete { get; set; }
    internal bool Claimed { get; set; }

    public string? Header(string name)
    {
        foreach (var (key, value) in Headers)
        {
            if (key == name) return value;
        }
        return null;
    }

    internal void Append(ReadOnlySpan<byte> data)
    {
        BodyBytes += data.Length;
        var room = MaxKeptBodyBytes - (int)_body.Length;
        _body.Write(data[..Math.Min(room, data.Length)]);
    }

    internal void Abort() => _aborted.Cancel();

    public void Dispose() => _aborted.Dispose();
}
