using System.Globalization;
using System.Text;
using Marmot.Blossom.Life;
using Marmot.Blossom.Storage;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Endpoints;

/// <summary>What every answer has in common: CORS and safety headers first, refusals as status and X-Reason, one catch, one count.</summary>
internal sealed class EndpointShell(BlossomMetrics metrics, StorageHealth health, ILogger<EndpointShell> logger)
{
    public const string ExposedHeaders = "X-Reason, Content-Range, Content-Length, Accept-Ranges, ETag, Sunset, Retry-After, X-Cashu, X-Lightning";

    public RequestDelegate Wrap(string route, Func<HttpContext, Task<Refusal?>> handler) => context => RunAsync(context, route, handler);

    /// <summary>BUD-01: preflight of browsers. <c>*</c> does not cover Authorization, so both are named.</summary>
    public static Task PreflightAsync(HttpContext context)
    {
        WriteCommonHeaders(context.Response);
        context.Response.Headers.AccessControlAllowHeaders = "Authorization, *";
        context.Response.Headers.AccessControlAllowMethods = "GET, HEAD, PUT, DELETE, OPTIONS";
        context.Response.Headers.AccessControlMaxAge = "86400";
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private async Task RunAsync(HttpContext context, string route, Func<HttpContext, Task<Refusal?>> handler)
    {
        WriteCommonHeaders(context.Response);
        Refusal? refusal;
        try
        {
            refusal = await handler(context);
        }
        catch (Exception error) when (context.RequestAborted.IsCancellationRequested || error is ConnectionResetException or ConnectionAbortedException)
        {
            return; // the caller is gone
        }
        catch (BadHttpRequestException error)
        {
            refusal = error.StatusCode == StatusCodes.Status400BadRequest ? Refusal.Truncated : new Refusal(error.StatusCode, "http", "the request could not be read");
        }
        catch (FileNotFoundException)
        {
            refusal = Refusal.NotFound; // deleted between index and store
        }
        catch (StorageUnavailableException error)
        {
            health.Down(error);
            refusal = Refusal.Away;
        }
        catch (IOException error) when (DiskErrors.IsFull(error))
        {
            refusal = Refusal.Full;
        }
        catch (IOException error)
        {
            BlossomLog.StorageFailed(logger, route, error);
            refusal = Refusal.Broken;
        }
        catch (Exception error)
        {
            BlossomLog.RequestFailed(logger, route, error);
            refusal = Refusal.Failed;
        }

        if (refusal is not null)
        {
            metrics.Refused(route, refusal.Code);
            await WriteAsync(context, refusal);
        }

        metrics.Answered(route, context.Response.StatusCode);
    }

    private static void WriteCommonHeaders(HttpResponse response)
    {
        var headers = response.Headers;
        headers.AccessControlAllowOrigin = "*";
        headers.AccessControlExposeHeaders = ExposedHeaders;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "cross-origin";
    }

    private static async ValueTask WriteAsync(HttpContext context, Refusal refusal)
    {
        var response = context.Response;
        if (response.HasStarted)
        {
            context.Abort(); // a body cut short must not look whole
            return;
        }

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

        var text = Encoding.ASCII.GetBytes(refusal.Reason + "\n");
        response.ContentType = "text/plain; charset=utf-8";
        response.ContentLength = text.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.BodyWriter.WriteAsync(text);
        }
    }
}
