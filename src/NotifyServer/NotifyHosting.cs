using Marmot.Hosting.Cluster;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Triggers;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer;

/// <summary>The front door of the notification server.</summary>
public static class NotifyHosting
{
    private const string DefaultAppName = "default";
    private const string DefaultKeyFile = "notify.key";

    /// <summary>Adds the server. It only listens on relays and sends to providers; it has no public endpoint.</summary>
    /// <param name="builder">The host.</param>
    /// <param name="ownRelayUrl">The relay in the same process as reached from inside, e.g. <c>ws://127.0.0.1:8080/</c>: the default of Notify:Relays.</param>
    /// <param name="ownRelayPublicUrl">What the world calls that relay, e.g. <c>wss://example.org</c>; announced and used for NIP-42.</param>
    public static WebApplicationBuilder AddNotify(this WebApplicationBuilder builder, string? ownRelayUrl = null, string? ownRelayPublicUrl = null)
    {
        var services = builder.Services;
        services.AddSettings<NotifyOptions>(NotifyOptions.Section);
        services.AddSingleton<IValidateOptions<NotifyOptions>, NotifyOptionsValidator>();
        services.AddSingleton(new OwnRelay(ownRelayUrl, ownRelayPublicUrl));
        var dataDirectory = builder.Configuration["Storage:DataDirectory"] ?? "./data";
        services.PostConfigure<NotifyOptions>(options => SetDefaults(options, ownRelayUrl, dataDirectory));
        services.AddSingleton<ISettingsSource>(_ => new ConfiguredSettings(builder.Configuration, options => SetDefaults(options, ownRelayUrl, dataDirectory)));
        services.AddSingleton<NotifyMetrics>();
        AddClaims(services, builder.Configuration);
        services.AddSingleton<NotifyService>();
        services.AddHostedService(provider => provider.GetRequiredService<NotifyService>());
        services.AddSingleton<IHealthPart, InboxHealth>();
        services.AddSingleton<IHealthPart, LaneHealth>();
        return builder;
    }

    /// <summary>Nothing to map: the server has no public endpoint. Kept so that every server has both halves of a front door.</summary>
    public static WebApplication MapNotify(this WebApplication app) => app;

    /// <summary>The public keys clients encrypt to, first app first; for the card that <c>run</c> prints.</summary>
    public static IReadOnlyList<(string App, string PublicKeyHex)> NotifyKeys(this WebApplication app) =>
        [.. app.Services.GetRequiredService<NotifyService>().Apps.Select(entry => (entry.Name, entry.PublicKey.ToString()))];

    // Replicas that share a Redis or a PostgreSQL share their claims; a process alone keeps its own.
    private static void AddClaims(IServiceCollection services, ConfigurationManager configuration)
    {
        if (string.IsNullOrEmpty(configuration["Cluster:Redis"]) && string.IsNullOrEmpty(configuration["Storage:Postgres"]))
        {
            return;
        }

        services.AddCluster();
        services.AddSingleton(provider =>
        {
            var options = provider.GetRequiredService<IOptions<NotifyOptions>>().Value;
            var time = provider.GetRequiredService<TimeProvider>();
            return new SharedClaims(
                new ReplayCache(options.ReplayCapacity, options.ReplayWindow, time),
                provider.GetRequiredService<IClaimLedger>(),
                options.ReplayWindow,
                provider.GetRequiredService<NotifyMetrics>(),
                time);
        });
        services.AddSingleton<IClaimStore>(provider => provider.GetRequiredService<SharedClaims>());
        services.AddSingleton<SharedProviderTokens>();
        services.AddSingleton<SharedDevices>();
        services.AddSingleton<IHealthPart, ClaimsHealth>();
    }

    private static void SetDefaults(NotifyOptions options, string? ownRelayUrl, string dataDirectory)
    {
        if (options.Relays.Count == 0 && ownRelayUrl is not null)
        {
            options.Relays.Add(ownRelayUrl);
        }

        if (options.Apps.Count == 0)
        {
            options.Apps.Add(new NotifyAppOptions { Name = DefaultAppName, KeyFile = Path.Combine(dataDirectory, DefaultKeyFile) });
        }
    }
}
