using Marmot.Hosting;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Deletion;
using Marmot.Hosting.Health;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Hosting.Settings;
using Marmot.Relay.Budgets;
using Marmot.Relay.Connections;
using Marmot.Relay.Dispatch;
using Marmot.Relay.Ingest;
using Marmot.Relay.Live;
using Marmot.Relay.Maintenance;
using Marmot.Relay.Management;
using Marmot.Relay.Operator;
using Marmot.Relay.Pages;
using Marmot.Relay.Queries;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Turns;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace Marmot.Relay;

/// <summary>The relay's front door: everything it is made of, in the order an event passes it.</summary>
public static class RelayHosting
{
    /// <summary>The relay's folder below <see cref="StorageOptions.DataDirectory"/>.</summary>
    public const string Folder = "relay";

    public static WebApplicationBuilder AddRelay(this WebApplicationBuilder builder)
    {
        var services = builder.Services;

        // Signature checks and queries may hold a thread on each core (FairScheduler); frames still find one, and the system shares the cores out.
        ThreadPool.GetMinThreads(out var workers, out var ports);
        ThreadPool.SetMinThreads(Math.Max(workers, Environment.ProcessorCount * 2), ports);
        services.AddSettings<RelayOptions>(RelayOptions.Section);
        services.AddSingleton<IValidateOptions<RelayOptions>, RelayOptionsValidator>();
        services.AddSingleton<RelayMetrics>();
        services.AddSingleton<RelayIdentity>();
        services.AddDeletionDate();

        // Connection -> MessageDispatch -> EventCheck -> Admission -> EventWriterLoop -> OK -> FanOut
        services.AddSingleton<ConnectionSet>();
        services.AddSingleton<AuthWaitMemory>();
        services.AddConnectionShortcut<WebSocketShortcut>();
        services.AddSingleton<MessageDispatch>();
        services.AddSingleton<EventCheck>();
        services.AddSingleton<Admission>();
        services.AddSingleton<WritePolicy>();
        services.AddSingleton(provider =>
            new RelayBudgets(provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<IOptions<RelayOptions>>().Value));
        services.AddSingleton<FairScheduler>();
        services.AddSingleton<WritePolicyProgram>();
        services.AddSingleton<EventWriterLoop>();
        services.AddSingleton<SubscriptionIndex>();
        services.AddSingleton<FanOut>();

        // REQ -> read policy -> stored scan -> EOSE -> live
        services.AddSingleton<Requests>();
        services.AddSingleton<Syncs>();
        var storage = builder.Configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
        services.AddSingleton(provider =>
            StoreEntrance.From(provider.GetRequiredService<IOptions<RelayOptions>>().Value, provider.GetRequiredService<TimeProvider>()));
        AddStore(services, storage);

        services.AddSingleton<RelayPages>();
        services.AddSingleton<IPublicFacts, RelayFacts>();
        services.AddSingleton<StoreSurvey>();
        services.AddSingleton<IConsolePage, EventsPage>();
        RelayCharts.Add(services);
        services.AddSingleton<BannedEvents>();
        services.AddSingleton<IDecisionFollower>(provider => provider.GetRequiredService<BannedEvents>());
        services.AddSingleton<ManagementMethods>();
        services.AddSingleton<ManagementEndpoint>();
        services.AddSingleton<RetentionLoop>();
        services.AddSingleton<IHealthPart, RelayHealth>();
        services.AddSingleton<IHealthPart, FanOutHealth>();

        // Stopped last to first: connections, then the writer, then the feed and the fan-out.
        services.AddHostedService(provider => provider.GetRequiredService<FanOut>());
        if (services.Any(service => service.ServiceType == typeof(ClusterFeed)))
        {
            services.AddHostedService(provider => provider.GetRequiredService<ClusterFeed>());
        }

        services.AddHostedService(provider => provider.GetRequiredService<EventWriterLoop>());
        services.AddHostedService(provider => provider.GetRequiredService<ConnectionSet>());
        services.AddHostedService(provider => provider.GetRequiredService<RetentionLoop>());
        if (storage.Postgres.Length == 0)
        {
            services.AddSingleton<RelayOperatorCommands>();
            services.AddSingleton<IHostedService>(provider => new OperatorSocket( // nobody else can open the embedded store
                provider.GetRequiredService<RelayOperatorCommands>(), provider.GetRequiredService<ILogger<OperatorSocket>>()));
        }

        services.AddModeration();

        return builder;
    }

    // The embedded store is this process's alone; on PostgreSQL there may be other replicas, so live events take the way of the cluster.
    private static void AddStore(IServiceCollection services, StorageOptions storage)
    {
        if (storage.Postgres.Length == 0)
        {
            services.AddSingleton<IEventStore>(provider => EmbeddedEventStore.Open(Path.Combine(storage.DataDirectory, Folder), seams: new StoreSeams
            {
                Entrance = provider.GetRequiredService<StoreEntrance>(),
                Log = provider.GetRequiredService<ILoggerFactory>().CreateLogger<EmbeddedEventStore>(),
            }));
            services.AddSingleton<ILiveFeed>(provider => provider.GetRequiredService<FanOut>());
            services.AddSingleton<IModerationStore>(_ => new ModerationFile(storage.DataDirectory));
            services.AddSingleton<IHealthPart, StorageHealth>();
            return;
        }

        services.AddCluster();
        services.AddSingleton(provider => PostgresEventStore.Create(storage.Postgres, provider.GetRequiredService<StoreEntrance>()));
        services.AddSingleton<IEventStore>(provider => provider.GetRequiredService<PostgresEventStore>());
        services.AddSingleton<IModerationStore>(provider => provider.GetRequiredService<PostgresEventStore>().Moderation);
        services.AddSingleton<ClusterFeed>();
        services.AddSingleton<ILiveFeed>(provider => provider.GetRequiredService<ClusterFeed>());
        services.AddSingleton<IHealthPart, PostgresHealth>();
        services.AddSingleton<IHealthPart, ClusterBusHealth>();
        services.AddHostedService<ErasureLoop>();
        services.AddSingleton<PostgresProbe>();
        services.AddHostedService(provider => provider.GetRequiredService<PostgresProbe>());
    }

    public static WebApplication MapRelay(this WebApplication app)
    {
        var connections = app.Services.GetRequiredService<ConnectionSet>();
        app.Lifetime.ApplicationStopping.Register(connections.BeginStop);
        var pages = app.Services.GetRequiredService<RelayPages>();
        PublicPage.MapIcon(app);
        app.MapMethods("/", ["GET", "HEAD", "OPTIONS"], context =>
            WebSocketHandshake.IsRequested(context) ? connections.ServeAsync(context) : pages.ServeAsync(context));
        app.MapPost("/", app.Services.GetRequiredService<ManagementEndpoint>().ServeAsync);
        return app;
    }
}
