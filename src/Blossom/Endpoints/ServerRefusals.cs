using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Marmot.Blossom.Endpoints;

/// <summary>The refusals of the HTTP server itself (a head that is no HTTP, too long, too slow) get CORS and X-Reason too.</summary>
/// <remarks>Kestrel tells of them by a diagnostic event before it writes the answer, which can be written in its place then; it offers no other way.</remarks>
internal sealed class ServerRefusals(DiagnosticListener diagnostics) : IHostedService, IObserver<KeyValuePair<string, object?>>, IDisposable
{
    private const string BadRequestEvent = "Microsoft.AspNetCore.Server.Kestrel.BadRequest";
    private IDisposable? _subscription;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _subscription = diagnostics.Subscribe(this, static name => name == BadRequestEvent);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void OnNext(KeyValuePair<string, object?> value)
    {
        if (value.Key != BadRequestEvent || value.Value is not IFeatureCollection features
            || features.Get<IHttpResponseFeature>() is not { HasStarted: false } response || features.Get<IHttpResponseBodyFeature>() is not { } body)
        {
            return;
        }

        RefusalWriter.WriteCommonHeaders(response.Headers);
        response.Headers["X-Reason"] = response.StatusCode switch
        {
            StatusCodes.Status408RequestTimeout => "the request took too long",
            StatusCodes.Status413PayloadTooLarge => "the body is too large",
            StatusCodes.Status414UriTooLong => "the path is too long",
            StatusCodes.Status431RequestHeaderFieldsTooLarge => "the headers are too large or too many",
            StatusCodes.Status505HttpVersionNotsupported => "speak HTTP/1.1",
            _ => "this is no well-formed HTTP request",
        };
        response.Headers.ContentLength = 0;
        response.Headers.Connection = "close";
        Start(body);
    }

    /// <summary>Writes the head now, since the server clears the headers again before it writes its own.</summary>
    private static void Start(IHttpResponseBodyFeature body)
    {
        var started = body.StartAsync();
        if (!started.IsCompletedSuccessfully)
        {
            // The connection is gone.
            _ = started.ContinueWith(static task => task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }
    }

    public void OnCompleted()
    {
    }

    public void OnError(Exception error)
    {
    }

    public void Dispose() => _subscription?.Dispose();
}
