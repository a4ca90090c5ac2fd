using System.Net;

namespace Marmot.NotifyServer.Providers;

/// <summary>A request body that remembers whether any of it went out: a push without a body sent was certainly not taken, and may be sent again at
/// will.</summary>
internal sealed class WatchedContent : HttpContent
{
    private readonly ReadOnlyMemory<byte> _body;
    private volatile bool _sent;

    public WatchedContent(ReadOnlyMemory<byte> body, System.Net.Http.Headers.MediaTypeHeaderValue type)
    {
        _body = body;
        Headers.ContentType = type;
    }

    /// <summary>True once the framework asked for the body, on whichever connection.</summary>
    public bool WasSent => _sent;

    /// <summary>The verdict on a request that ended without an answer.</summary>
    public PushVerdict Unanswered(PushVerdict verdict, Exception? cause = null)
    {
        // REFUSED_STREAM says that nothing was done with the request (RFC 9113, 8.7).
        const long RefusedStream = 0x7;
        var refused = cause is HttpProtocolException { ErrorCode: RefusedStream } or { InnerException: HttpProtocolException { ErrorCode: RefusedStream } };
        return verdict with { IsUncertain = _sent && !refused };
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        _sent = true;
        return stream.WriteAsync(_body, cancellationToken).AsTask();
    }

    protected override bool TryComputeLength(out long length)
    {
        length = _body.Length;
        return true;
    }
}
