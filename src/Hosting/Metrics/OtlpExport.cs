using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace Marmot.Hosting.Metrics;

/// <summary>Sends the same meters that <c>/metrics</c> shows to an OpenTelemetry collector, when one is configured.</summary>
internal static class OtlpExport
{
    internal static void AddOtlpExport(this WebApplicationBuilder builder)
    {
        var options = builder.Configuration.GetSection(TelemetryOptions.Section).Get<TelemetryOptions>() ?? new TelemetryOptions();
        if (options.OtlpEndpoint.Length == 0)
        {
            return;
        }

        MeterProvider provider = Sdk.CreateMeterProviderBuilder()
            .AddMeter("marmot.*")
            .AddOtlpExporter(exporter => exporter.Endpoint = new Uri(options.OtlpEndpoint))
            .Build();
        builder.Services.AddSingleton(_ => provider); // disposed, and so flushed, with the container
    }
}
