using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Marmot.Blossom.Refusals;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>Writes a refusal so that the client can read it: status, X-Reason, CORS, and then the body that nobody wants is read to its end.</summary>
/// <remarks>
/// A connection that is closed while bytes are still coming is reset, and a reset discards the answer on its way to a client that sends first and reads then; a
/// proxy makes 502 of it. The HTTP server drains for five seconds only, and not at all above its own limit of a body's size, which is therefore lifted
/// (<see cref="BlossomHosting.AddBlossom"/>): every endpoint counts for itself. A client that is connected to us gets the answer at once and may stop sending.
/// Behind a proxy the answer waits for the end of the body: proxies written in Go (Caddy, Traefik) close the client's connection half a second after an early
/// answer.
/// </remarks>
internal sealed class RefusalWriter(IOptions<BlossomOptions> options)
{
    public const string ExposedHeaders = "X-Reason, Content-Range, Content-Length, Accept-Ranges, ETag, Sunset, Retry-After, X-Cashu, X-Lightning";

    /// <summary>The headers of every answer, BUD-01's CORS among them.</summary>
    public static void WriteCommonHeaders(IHeaderDictionary headers)
    {
        headers.AccessControlAllowOrigin = "*";
        headers.AccessControlExposeHeaders = ExposedHeaders;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "cross-origin";
    }

    /// <param name="context">Of the request; when its answer has begun already, the connection is broken off.</param>
    /// <param name="refusal">What to say.</param>
    /// <param name="drain">False when the body cannot be read any more.</param>
    public async ValueTask WriteAsync(HttpContext context, Refusal refusal, bool drain = true)
    {
        var response = context.Response;
        if (response.HasStarted)
        {
            context.Abort(); // a body cut short must not look whole
            return;
        }

        WriteCommonHeaders(response.Headers);
        response.StatusCode = refusal.Status;
        response.Headers["X-Reason"] = refusal.Reason;
        response.Headers.CacheControl = "no-store";
        response.Headers.Remove("ETag");
        response.Headers.Remove("Sunset");
        response.Headers.Remove("Content-Disposition");
        if (refusal.RetryAfter is { } wait)
        {
            response.Headers.RetryAfter = ((long)Math.Max(1, wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }

        if (refusal.Status == StatusCodes.Status401Unauthorized)
        {
            response.Headers.WWWAuthenticate = "Nostr";
        }

        // Who has used up its budget does not also get the bandwidth of a body that goes nowhere.
        var hasBody = context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true;
        drain &= hasBody && refusal.Status != StatusCodes.Status429TooManyRequests;
        if (drain && IsProxied(context.Request.Headers))
        {
            await DrainAsync(context.Request.BodyReader, options.Value.RefusedBodyTime);
            drain = false;
        }
        else if (hasBody && context.Request.Headers.Expect.Count > 0)
        {
            response.Headers.Connection = "close"; // RFC 9110, 10.1.1: the client need not send the body now, so what follows might be either
        }

        var text = Encoding.ASCII.GetBytes(refusal.Reason + "\n");
        response.ContentType = "text/plain; charset=utf-8";
        response.ContentLength = text.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.BodyWriter.WriteAsync(text);
        }

        if (drain)
        {
            await response.CompleteAsync();
            await DrainAsync(context.Request.BodyReader, options.Value.RefusedBodyTime);
        }
    }

    // X-Original-For: the caller's address was taken from X-Forwarded-For before.
    private static bool IsProxied(IHeaderDictionary headers) =>
        headers.ContainsKey("X-Original-For") || headers.ContainsKey("X-Forwarded-For") || headers.ContainsKey("Forwarded") || headers.Via.Count > 0;

    /// <summary>Reads to the end of the body, for a bounded time: arriving bytes do not extend it.</summary>
    private static async ValueTask DrainAsync(PipeReader body, TimeSpan limit)
    {
        using var deadline = new CancellationTokenSource(limit);
        try
        {
            while (true)
            {
                var read = await body.ReadAsync(deadline.Token);
                body.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                {
                    return;
                }
            }
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or BadHttpRequestException)
        {
            // too long, too slow, or gone: the HTTP server closes the connection
        }
    }
}
