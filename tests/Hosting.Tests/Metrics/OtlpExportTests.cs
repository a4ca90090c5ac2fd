using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Marmot.Hosting.Tests.Metrics;

public class OtlpExportTests
{
    [Fact]
    public async Task What_was_counted_reaches_the_collector_at_the_latest_when_the_process_stops()
    {
        var exported = new ConcurrentQueue<(string Path, byte[] Body)>();
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(System.Net.IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        await using var collector = builder.Build();
        collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            exported.Enqueue((context.Request.Path.Value ?? "", body.ToArray()));
            context.Response.ContentType = "application/grpc";
            context.Response.AppendTrailer("grpc-status", "0");
            await context.Response.Body.WriteAsync(new byte[5]); // an empty message: no compression, length 0
        });
        await collector.StartAsync();

        await using (var app =
            MarmotHost.CreateBuilder(
                ["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Log:Level=Fatal", "--Telemetry:OtlpEndpoint=" + collector.Urls.First()]).Build())
        {
            await app.StartAsync();
            using var meter = new Meter("marmot.test.otlp");
            meter.CreateCounter<long>("marmot.test.otlp.exported").Add(1);
            await app.StopAsync();
        }

        Assert.Contains(exported, request => request.Path == "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
            && request.Body.AsSpan().IndexOf("marmot.test.otlp.exported"u8) >= 0);
    }
}
