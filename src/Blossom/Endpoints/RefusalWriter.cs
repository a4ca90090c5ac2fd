using System.Globalization;
using System.Text;
using Marmot.Blossom.Refusals;
using Marmot.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>Writes a refusal so that the client can read it: status, X-Reason, CORS, and then the body that nobody wants is read to its end
/// (<see cref="RefusedBodies"/>).</summary>
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
        RefusedBodies.LeaveAlone(context);
        drain &= RefusedBodies.HasBody(context) && refusal.Status != StatusCodes.Status429TooManyRequests;
        if (drain)
        {
            drain = !await RefusedBodies.TryReadBeforeAsync(context, options.Value.RefusedBodyTime);
        }
        else if (context.Request.Headers.Expect.Count > 0)
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
            await RefusedBodies.ReadAfterAsync(context, options.Value.RefusedBodyTime);
        }
    }
}
