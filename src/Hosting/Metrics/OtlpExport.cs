using Marmot.Hosting.Settings;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace Marmot.Hosting.Metrics;

/// <summary>Sends the same meters that <c>/metrics</c> shows to an OpenTelemetry collector, when one is configured; what is left is sent at the stop.</summary>
internal sealed class OtlpExport(IOptions<TelemetryOptions> options) : IHostedService
{
    private MeterProvider? _provider;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.OtlpEndpoint.Length > 0)
        {
            _provider = Sdk.CreateMeterProviderBuilder()
                .AddMeter("marmot.*")
                .AddOtlpExporter(exporter => exporter.Endpoint = new Uri(options.Value.OtlpEndpoint))
                .Build();
        }

        return Task.CompletedTask;
    }

    // Disposing flushes; it blocks for the export's own time limit at most. Never cancelled before it begins: that would fail the stop.
    public Task StopAsync(CancellationToken cancellationToken) =>
        _provider is { } provider ? Task.Run(provider.Dispose, CancellationToken.None) : Task.CompletedTask;
}
