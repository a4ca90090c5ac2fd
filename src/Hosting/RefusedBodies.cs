using System.IO.Pipelines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Marmot.Hosting;

/// <summary>Reads the bodies of refused requests to their end, so that whoever sends first and reads then gets to read why.</summary>
/// <remarks>
/// A connection that is closed while bytes are still coming is reset, and a reset discards the answer on its way to a client that sends first and reads then;
/// a proxy makes 502 of it. The HTTP server drains for five seconds only, and not at all above its own limit of a body's size, which is therefore lifted
/// (<see cref="MarmotHost.CreateBuilder"/>): every endpoint counts for itself. A client that is connected to us gets the answer at once and may stop sending.
/// Behind a proxy the answer waits for the end of the body: proxies written in Go (Caddy, Traefik) close the client's connection half a second after an early
/// answer.
/// As a startup filter it does so for every refusal that nobody else has seen to. Thread-safe.
/// </remarks>
public sealed class RefusedBodies : IStartupFilter
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1); // as Blossom:RefusedBodyTime

    /// <inheritdoc/>
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(following => context => HasBody(context) ? ServeAsync(context, following) : following(context));
        next(app);
    };

    /// <summary>True when the request has a body, or may have one; what would follow a WebSocket handshake is none.</summary>
    public static bool HasBody(HttpContext context) =>
        context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true
        && context.Features.Get<IHttpUpgradeFeature>()?.IsUpgradableRequest != true;

    /// <summary>Whoever writes the refusal sees to the body too: it is not read here.</summary>
    public static void LeaveAlone(HttpContext context) => context.Features.Set(Seen.Instance);

    /// <summary>Before the answer is written, which is decided: reads the body when the answer has to wait for it.</summary>
    /// <param name="context">Of the request.</param>
    /// <param name="limit">How long; arriving bytes do not extend it.</param>
    /// <returns>False when the body is to be read after the answer.</returns>
    public static async ValueTask<bool> TryReadBeforeAsync(HttpContext context, TimeSpan limit)
    {
        if (IsProxied(context.Request.Headers))
        {
            await ReadAsync(context, limit);
            return true;
        }

        if (context.Request.Headers.Expect.Count > 0)
        {
            context.Response.Headers.Connection = "close"; // RFC 9110, 10.1.1: the client need not send the body now, so what follows might be either
        }

        return false;
    }

    /// <summary>Sends what is left of the answer, then reads the body.</summary>
    /// <param name="context">Of the request.</param>
    /// <param name="limit">How long; arriving bytes do not extend it.</param>
    public static async ValueTask ReadAfterAsync(HttpContext context, TimeSpan limit)
    {
        await context.Response.CompleteAsync();
        await ReadAsync(context, limit);
    }

    private static async Task ServeAsync(HttpContext context, RequestDelegate following)
    {
        await following(context);
        var response = context.Response;
        if (response.StatusCode < StatusCodes.Status400BadRequest || context.RequestAborted.IsCancellationRequested || context.Features.Get<Seen>() is not null)
        {
            return;
        }

        if (response.HasStarted || !await TryReadBeforeAsync(context, Limit))
        {
            await ReadAfterAsync(context, Limit);
        }
    }

    // X-Original-For: the caller's address was taken from X-Forwarded-For before.
    private static bool IsProxied(IHeaderDictionary headers) =>
        headers.ContainsKey("X-Original-For") || headers.ContainsKey("X-Forwarded-For") || headers.ContainsKey("Forwarded") || headers.Via.Count > 0;

    private static async ValueTask ReadAsync(HttpContext context, TimeSpan limit)
    {
        var body = context.Request.BodyReader;
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

    private sealed class Seen
    {
        public static readonly Seen Instance = new();
    }
}
