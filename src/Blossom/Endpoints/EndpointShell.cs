using Marmot.Blossom.Intake;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Retention;
using Marmot.Blossom.Storage;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Endpoints;

/// <summary>What every answer has in common: CORS and safety headers first, refusals as status and X-Reason, one catch, one count.</summary>
internal sealed class EndpointShell(RefusalWriter refusals, UploadPolicy policy, BlossomMetrics metrics, StorageHealth health, ILogger<EndpointShell> logger)
{
    private const string NoRoute = "none";

    public RequestDelegate Wrap(string route, Func<HttpContext, Task<Refusal?>> handler) => context => RunAsync(context, route, handler);

    /// <summary>BUD-01: preflight of browsers. <c>*</c> does not cover Authorization, so both are named.</summary>
    public static Task PreflightAsync(HttpContext context)
    {
        RefusalWriter.WriteCommonHeaders(context.Response.Headers);
        context.Response.Headers.AccessControlAllowHeaders = "Authorization, *";
        context.Response.Headers.AccessControlAllowMethods = "GET, HEAD, PUT, DELETE, OPTIONS";
        context.Response.Headers.AccessControlMaxAge = "86400";
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    /// <summary>After routing: a path or a method that nothing answers to is refused like anything else, with CORS and a reason.</summary>
    public async Task RefuseUnroutedAsync(HttpContext context, RequestDelegate next)
    {
        await next(context);
        var response = context.Response;
        if (response.HasStarted || response.Headers.AccessControlAllowOrigin.Count > 0
            || response.StatusCode is not (StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed))
        {
            return;
        }

        var refusal = response.StatusCode == StatusCodes.Status404NotFound ? Refusal.NoSuchPath : Refusal.NoSuchMethod;
        metrics.Refused(NoRoute, refusal.Code);
        await refusals.WriteAsync(context, refusal);
        metrics.Answered(NoRoute, refusal.Status);
    }

    private async Task RunAsync(HttpContext context, string route, Func<HttpContext, Task<Refusal?>> handler)
    {
        RefusalWriter.WriteCommonHeaders(context.Response.Headers);
        Refusal? refusal;
        var readable = true;
        try
        {
            refusal = policy.IsBlocked(context.Connection.RemoteIpAddress) ? Refusal.AddressBlocked : await handler(context);
        }
        catch (Exception error) when (context.RequestAborted.IsCancellationRequested || error is ConnectionResetException or ConnectionAbortedException)
        {
            return; // the caller is gone
        }
        catch (BodyReadException error) when (error.InnerException is ConnectionResetException or ConnectionAbortedException)
        {
            return; // so is this one
        }
        catch (BodyReadException error)
        {
            readable = false;
            refusal = error.InnerException is BadHttpRequestException { StatusCode: not StatusCodes.Status400BadRequest } http
                ? new Refusal(http.StatusCode, "http", "the body could not be read; send it faster, or in one piece")
                : Refusal.Truncated;
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
            await refusals.WriteAsync(context, refusal, readable);
        }

        metrics.Answered(route, context.Response.StatusCode);
    }
}
