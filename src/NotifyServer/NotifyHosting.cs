using Marmot.Hosting.Admin;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
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
    private const int WorkersACoreOfReplicas = 4; // a trigger waits for the ledger twice; others go on meanwhile

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
        services.AddSingleton<IPublicFacts, NotifyFacts>();
        services.AddSingleton<IConsolePage>(provider => new PushPage(
            provider.GetRequiredService<NotifyService>(), new Lazy<AdminServer>(provider.GetRequiredService<AdminServer>))); // which has the pages itself
        NotifyFacts.AddCharts(services);
        return builder;
    }

    /// <summary>Nothing to map: the server has no public endpoint. Kept so that every server has both halves of a front door.</summary>
    public static WebApplication MapNotify(this WebApplication app) => app;

    /// <summary>The public keys clients encrypt to, first app first; for the card that <c>run</c> prints.</summary>
    public static IReadOnlyList<(string App, string PublicKeyHex)> NotifyKeys(this WebApplication app) =>
        [.. app.Services.GetRequiredService<NotifyService>().Apps.Select(entry => (entry.Name, entry.PublicKey.ToString()))];

    /// <summary>The stages that a trigger passes, left to right: relay -> gate -> fair intake -> workers with their pipelines -> lanes -> providers.</summary>
    /// <exception cref="InvalidDataException">A key or credential file is not what it should be.</exception>
    internal static NotifyStages Compose(NotifyParts parts)
    {
        var (options, ownRelay, credentials, sharedClaims, sharedDevices, metrics, time, logger) = parts;

        // Apps: keys and credentials, a lane for each provider.
        NotifyApp[] apps = [.. options.Apps.Select(app => LoadApp(app, parts))];
        var keys = new KeyRing(apps);
        var dispatcher = new PushDispatcher(apps);

        // Inbox: what passes the gate waits here, fairly among relays.
        var seen = new SeenEvents(options.SeenCapacity);
        var gate = new TriggerGate(keys, seen, options.MaxEventBytes, options.AcceptEphemeralWraps);
        var intake = new FairIntake(options.Relays.Count, options.InboxCapacityPerRelay);
        var canaries = new Canaries(metrics, time);
        var announced = options.AnnounceRelays.Count > 0 ? options.AnnounceRelays : options.Relays.Select(ownRelay.PublicNameOf).ToList();
        var inbox = new InboxContext(options, [.. announced], ProviderHttp.LoadRoots(options.RelayCaFile), gate, intake, canaries, metrics, time, logger);
        InboxRelay[] relays = [.. options.Relays.SelectMany((url, index) => keys.Keys.Select(entry =>
            new InboxRelay(inbox, index, url, ownRelay.PublicNameOf(url), entry.App, entry.Key)))];

        // Triggers: one pipeline a worker, within the budget.
        var budget = new EcBudget(EcBudget.RateOf(options), time);
        var claims = sharedClaims ?? new ReplayCache(options.ReplayCapacity, options.ReplayWindow, time);
        var devices = new DeviceGate(options, time);
        var pipeline = new TriggerPipelineContext(options, keys, seen, claims, devices, canaries, metrics, time, sharedDevices);
        var count = Environment.ProcessorCount * (sharedClaims is null ? 1 : WorkersACoreOfReplicas);
        var workers = new TriggerWorkers(intake, budget, pipeline, [.. options.Relays.Select(RelayUrl.Normalise)], count, logger);
        return new NotifyStages(apps, relays, intake, budget, workers, claims, devices, dispatcher);
    }

    private static NotifyApp LoadApp(NotifyAppOptions options, NotifyParts parts)
    {
        var app = NotifyApp.Load(options, parts.Options, parts.Credentials, parts.Metrics, parts.Time, out var keyMade);
        if (keyMade)
        {
            NotifyLog.KeyMade(parts.Logger, app.Name, options.KeyFile);
        }

        NotifyLog.AppReady(parts.Logger, app.Name, app.PublicKey.ToString(), app.Keys.Count - 1, options.Apns.IsConfigured, options.Fcm.IsConfigured);
        if (!app.Lanes.Any())
        {
            NotifyLog.NoProvider(parts.Logger, app.Name);
        }

        return app;
    }

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
        services.AddHostedService<LedgerProbe>();
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
