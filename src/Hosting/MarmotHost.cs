using Marmot.Hosting.Admin;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Health;
using Marmot.Hosting.Lifetime;
using Marmot.Hosting.Logging;
using Marmot.Hosting.Metrics;
using Marmot.Hosting.Settings;
using Marmot.Platform.Native;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using System.Diagnostics;
using System.Globalization;

namespace Marmot.Hosting;

/// <summary>What every server of the suite starts from: settings, console log, public listener, admin port.</summary>
public static class MarmotHost
{
    /// <summary>Builds the common ground; the caller adds its roles.</summary>
    /// <param name="args">Command line after the command word: <c>--config FILE</c> and <c>--Section:Key=value</c>.</param>
    /// <exception cref="FileNotFoundException">The file named by <c>--config</c> does not exist.</exception>
    /// <exception cref="InvalidDataException">That file is no JSON; the message names line and column.</exception>
    public static WebApplicationBuilder CreateBuilder(string[] args)
    {
        var signals = new StopSignals();

        // For what libraries send by clients of their own; ours are made by OutgoingHttp.
        DistributedContextPropagator.Current = DistributedContextPropagator.CreateNoOutputPropagator();

        // Empty: no appsettings.json, no static files, no developer pages; every default lives in an Options class.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "marmot-server" });
        builder.Configuration.AddMarmotSources(args);
        builder.Services.AddSettings<PublicOptions>(PublicOptions.Section);
        builder.Services.AddSettings<AdminOptions>(AdminOptions.Section);
        builder.Services.AddSettings<StorageOptions>(StorageOptions.Section);
        builder.Services.AddSettings<LogOptions>(LogOptions.Section);
        builder.Services.AddSettings<TelemetryOptions>(TelemetryOptions.Section);
        builder.Services.AddSettings<Cluster.ClusterOptions>(Cluster.ClusterOptions.Section);
        builder.Services.AddSingleton<IOnlineCheck, PostgresOnlineCheck>();
        builder.Services.AddSingleton<IOnlineCheck, ClusterOnlineCheck>();
        builder.Services.AddConsole(builder.AddConsoleLog());
        foreach (var (library, attempt) in NativeSelfTest.Probes)
        {
            builder.Services.AddSingleton(new NativeProbe(library, attempt));
        }

        builder.Services.AddHostedService<NativeLibraryCheck>();
        builder.Services.AddHostedService<OtlpExport>();
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(_ => signals); // by a factory, so that the container disposes it
        builder.Services.AddSingleton<DrainLifetime>();

        // Read as text: the host is built before mistakes in settings are reported.
        var stop = TimeSpan.TryParse(builder.Configuration[PublicOptions.Section + ":" + nameof(PublicOptions.StopTimeout)], CultureInfo.InvariantCulture,
            out var given) ? given : new PublicOptions().StopTimeout;
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = stop);
        builder.Services.AddSingleton<IHostLifetime>(services => services.GetRequiredService<DrainLifetime>());
        builder.Services.AddSingleton<IHealthPart>(services => services.GetRequiredService<DrainLifetime>());
        builder.Services.AddSingleton<TrustedProxies>();
        builder.Services.AddSingleton<IStartupFilter>(services => services.GetRequiredService<TrustedProxies>());
        builder.Services.AddSingleton<IStartupFilter, RefusedBodies>();
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<PrometheusText>();
        builder.Services.AddSingleton<AdminServer>();
        builder.Services.AddHostedService(services => services.GetRequiredService<AdminServer>());

        // Read as text: a wrong value elsewhere in the section is reported with all others, not thrown here.
        string urls = builder.Configuration[PublicOptions.Section + ":" + nameof(PublicOptions.Urls)] ?? new PublicOptions().Urls;
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null; // see RefusedBodies
        });
        ServerWithDeadline.Wrap(builder.Services);

        // What a connection brings is handled on the thread that read it: a message then costs one change of threads, not three. Nothing of
        // ours blocks that thread for longer than a slice of work or one wait for the disk, and a connection that is slow delays only itself.
        builder.Services.Configure<SocketTransportOptions>(sockets => sockets.UnsafePreferInlineScheduling = true);
        builder.WebHost.UseUrls(ListenUrlsAttribute.Split(urls));
        return builder;
    }

    /// <summary>Adds the sources of settings, weakest first: file, environment (<c>__</c> between parts), command line.</summary>
    public static void AddMarmotSources(this IConfigurationBuilder configuration, string[] args)
    {
        string? file = new ConfigurationBuilder().AddCommandLine(args).Build()["config"];
        if (file is not null)
        {
            configuration.AddJsonFile(SettingsFile.Check(file), optional: false, reloadOnChange: false);
        }

        configuration.AddEnvironmentVariables();
        configuration.AddCommandLine(args);
    }
}
