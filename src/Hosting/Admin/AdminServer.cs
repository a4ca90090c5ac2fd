using System.Diagnostics.Metrics;
using System.Text.Json;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Health;
using Marmot.Hosting.Metrics;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Admin;

/// <summary>The operator's port as a web application of its own, so that nothing of it can answer on the public port.</summary>
/// <remarks><c>/healthz</c> alive, <c>/readyz</c> every part by name (503 while one is not ready), <c>/metrics</c> Prometheus text, <c>/</c> a page for
/// people.</remarks>
public sealed class AdminServer(IOptions<AdminOptions> options, IEnumerable<IHealthPart> parts, PrometheusText metrics,
    ILoggerFactory loggers, ConsoleServer? console = null)
    : IHostedService, IDisposable
{
    /// <summary>How long a stop waits for answers under way.</summary>
    private static readonly TimeSpan StopTime = TimeSpan.FromSeconds(2);

    private readonly IHealthPart[] _parts = [.. parts];
    private readonly CancellationTokenSource _stopping = new();
    private WebApplication? _app;
    private Meter? _meter;

    /// <summary>The addresses bound, once started; with port 0 in the settings this is where the real port stands.</summary>
    public IReadOnlyCollection<string> Addresses { get; private set; } = [];

    /// <inheritdoc/>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.Urls.Length == 0)
        {
            return;
        }

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 64 * 1024; // bytes: forms of the console
            kestrel.Limits.MaxConcurrentConnections = 64;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5); // a request here is one line
        });
        string[] urls = options.Value.Urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        builder.WebHost.UseUrls(urls);
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(loggers);
        _app = builder.Build();
        var hosts = new AdminHosts(urls);
        _app.Use(next => context => hosts.Contains(context) ? next(context) : RefuseAsync(context));
        _app.MapGet("/healthz", () => Results.Text("ok\n"));
        _app.MapGet("/readyz", WriteReadyAsync);
        _app.MapGet("/metrics", context => WriteTextAsync(context, "text/plain; version=0.0.4; charset=utf-8", metrics.Write()));
        console?.Map(_app, _stopping.Token);
        // The same answer for those who watch by metrics alone.
        _meter = new Meter("marmot.admin");
        _meter.CreateObservableGauge("marmot_part_ready", ReadParts, description: "1 while the part can do its work, as /readyz says.");
        await _app.StartAsync(cancellationToken);
        Addresses = [.. _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses];
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _meter?.Dispose();
        await _stopping.CancelAsync();
        if (_app is not null)
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            deadline.CancelAfter(StopTime);
            await _app.StopAsync(deadline.Token);
            await _app.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _meter?.Dispose();
        _stopping.Dispose();
    }

    private static Task RefuseAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status421MisdirectedRequest;
        return WriteTextAsync(context, "text/plain; charset=utf-8", "the admin port answers to loopback names and to the hosts of Admin:Urls only\n");
    }

    private Task WriteReadyAsync(HttpContext context)
    {
        var states = _parts.Select(part => (part.Name, State: Check(part))).ToArray();
        bool ready = states.All(part => part.State.Ready);
        context.Response.StatusCode = ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteBoolean("ready", ready);
        json.WriteStartObject("parts");
        foreach (var (name, state) in states)
        {
            json.WriteStartObject(name);
            json.WriteBoolean("ready", state.Ready);
            json.WriteString("detail", state.Detail);
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return context.Response.BodyWriter.FlushAsync().AsTask();
    }

    private IEnumerable<Measurement<int>> ReadParts() =>
        _parts.Select(part => new Measurement<int>(Check(part).Ready ? 1 : 0, new KeyValuePair<string, object?>("part", part.Name)));

    // A part that throws is not ready; the page must still say so for the others.
    private static HealthState Check(IHealthPart part)
    {
        try
        {
            return part.Check();
        }
        catch (Exception exception)
        {
            return new HealthState(false, "the check itself failed: " + exception.GetType().Name);
        }
    }

    private static Task WriteTextAsync(HttpContext context, string contentType, string text)
    {
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(text);
    }
}
