using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Commands;
using Marmot.Blossom.Endpoints;
using Marmot.Blossom.Index;
using Marmot.Blossom.Index.Postgres;
using Marmot.Blossom.Intake;
using Marmot.Blossom.Mirror;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Reports;
using Marmot.Blossom.Retention;
using Marmot.Blossom.Storage;
using Marmot.Blossom.Storage.S3;
using Marmot.Hosting;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Deletion;
using Marmot.Hosting.Health;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom;

/// <summary>The front door of the blob store: what it is made of and which paths it answers.</summary>
public static class BlossomHosting
{
    /// <summary>Registers the blob store. Settings: section <c>Blossom</c>, <c>Storage:DataDirectory</c>, <c>Public:Origin</c>.</summary>
    public static WebApplicationBuilder AddBlossom(this WebApplicationBuilder builder)
    {
        var services = builder.Services;

        // Uploads wait for the disk on their threads; while they do, requests that need none find one.
        ThreadPool.GetMinThreads(out var workers, out var ports);
        ThreadPool.SetMinThreads(Math.Max(workers, Environment.ProcessorCount * 2), ports);
        services.AddSettings<BlossomOptions>(BlossomOptions.Section);
        services.TryAddSingleton(TimeProvider.System);
        services.AddDeletionDate();
        services.AddSingleton<BlossomFolders>();
        services.AddSingleton(OpenOwnerTags);
        services.AddSingleton(OpenStore);
        services.AddSingleton(OpenDatabase);
        services.AddSingleton(OpenIndex);
        services.TryAddSingleton(OpenDecisions);
        services.AddSingleton<IOnlineCheck, BucketOnlineCheck>();
        services.AddSingleton<StorageHealth>();
        services.AddSingleton<HashLocks>();
        services.AddSingleton<BlobService>();
        services.AddSingleton<BlobReads>();
        services.AddSingleton<ReportFile>();
        services.AddSingleton<IDecisionFollower, BannedBlobs>();
        services.AddSingleton<BlossomMetrics>();
        services.AddSingleton<UploadPolicy>();
        services.TryAddSingleton<IPaymentDesk, NoPayment>();
        services.AddSingleton<PaymentGate>();
        services.AddSingleton<BlobIntake>();
        services.AddSingleton<ServerNames>();
        services.AddSingleton<TokenGate>();
        services.AddSingleton<OriginClient>();
        services.AddSingleton<DescriptorWriter>();
        services.AddSingleton<RefusalWriter>();
        services.AddSingleton<EndpointShell>();
        services.AddHostedService<ServerRefusals>();
        services.AddSingleton<BlobEndpoint>();
        services.AddSingleton<UploadEndpoint>();
        services.AddSingleton<DeleteEndpoint>();
        services.AddSingleton<ListEndpoint>();
        services.AddSingleton<MirrorEndpoint>();
        services.AddSingleton<ReportEndpoint>();
        services.AddSingleton<PropertiesEndpoint>();
        services.AddSingleton<Janitor>();
        services.AddSingleton<IHealthPart>(provider => provider.GetRequiredService<Janitor>());
        services.AddHostedService(provider => provider.GetRequiredService<Janitor>());
        services.AddModeration();
        services.AddSingleton<StoreCommands>();
        services.AddSingleton<IConsolePage, BlobsPage>();
        services.AddSingleton<IPublicFacts, BlossomFacts>();
        BlossomFacts.AddCharts(services);
        if (builder.Configuration[$"{StorageOptions.Section}:{nameof(StorageOptions.Postgres)}"] is null or "")
        {
            services.AddSingleton<IHostedService>(provider => new OperatorSocket( // nobody else can open the embedded index
                provider.GetRequiredService<StoreCommands>(), provider.GetRequiredService<ILogger<OperatorSocket>>()));
        }

        services.AddConnectionShortcut<DownloadShortcut>();
        services.Configure<RouteOptions>(routes => routes.ConstraintMap["blob"] = typeof(BlobRouteConstraint));
        return builder;
    }

    /// <summary>Maps the paths of the blob store and nothing else: <c>/</c> stays free for the relay.</summary>
    public static WebApplication MapBlossom(this WebApplication app)
    {
        var services = app.Services;
        var shell = services.GetRequiredService<EndpointShell>();
        var blob = services.GetRequiredService<BlobEndpoint>();
        var upload = services.GetRequiredService<UploadEndpoint>();
        app.Use(next => context => shell.RefuseUnroutedAsync(context, next));
        Map(app, shell, "/{name:blob}", BlobEndpoint.Route, ("GET", blob.ServeAsync), ("HEAD", blob.ServeAsync),
            ("DELETE", services.GetRequiredService<DeleteEndpoint>().DeleteAsync));
        Map(app, shell, "/upload", "/upload", ("PUT", upload.PutAsync), ("HEAD", upload.HeadAsync));
        Map(app, shell, "/mirror", "/mirror", ("PUT", services.GetRequiredService<MirrorEndpoint>().PutAsync));
        Map(app, shell, "/media", "/media", ("PUT", RefuseMediaAsync), ("HEAD", RefuseMediaAsync));
        Map(app, shell, "/report", "/report", ("PUT", services.GetRequiredService<ReportEndpoint>().PutAsync));
        Map(app, shell, "/list/{pubkey}", "/list/{pubkey}", ("GET", services.GetRequiredService<ListEndpoint>().ListAsync));
        Map(app, shell, PropertiesEndpoint.Path, PropertiesEndpoint.Path, ("GET", services.GetRequiredService<PropertiesEndpoint>().GetAsync));
        return app;
    }

    /// <summary>Maps <c>/</c>, where no relay is in the process to do it.</summary>
    public static WebApplication MapBlossomPage(this WebApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        var page = app.Services.GetRequiredService<PublicPage>();
        PublicPage.MapIcon(app);
        app.MapMethods("/", ["GET", "HEAD"], context => page.ServeAsync(context));
        return app;
    }

    private static Task<Refusal?> RefuseMediaAsync(HttpContext context) => Task.FromResult<Refusal?>(Refusal.NoMedia);

    /// <summary>The methods of a path, the preflight of browsers, and 405 for the rest: routing's own answer to that does not look at constraints.</summary>
    private static void Map(WebApplication app, EndpointShell shell, string pattern, string route,
        params ReadOnlySpan<(string Method, Func<HttpContext, Task<Refusal?>> Handler)> methods)
    {
        var allowed = "OPTIONS";
        foreach (var (method, handler) in methods)
        {
            app.MapMethods(pattern, [method], shell.Wrap(route, handler));
            allowed = $"{method}, {allowed}";
        }

        app.MapMethods(pattern, ["OPTIONS"], EndpointShell.PreflightAsync);
        app.Map(pattern, shell.Wrap(route, context =>
        {
            context.Response.Headers.Allow = allowed;
            return Task.FromResult<Refusal?>(Refusal.NoSuchMethod);
        }));
    }

    private static OwnerTags OpenOwnerTags(IServiceProvider services) =>
        services.GetRequiredService<IOptions<BlossomOptions>>().Value.Profile == BlossomProfile.General
            ? OwnerTags.Plain
            : OwnerTags.WithSecret(services.GetRequiredService<BlossomFolders>().OwnerSecret);

    private static IBlobStore OpenStore(IServiceProvider services)
    {
        var options = services.GetRequiredService<IOptions<BlossomOptions>>().Value;
        var folder = services.GetRequiredService<BlossomFolders>().Blobs;
        var time = services.GetRequiredService<TimeProvider>();
        return options.Blobs == BlobStorage.S3 ? new S3BlobStore(options.S3, folder, options.MaxUploadBytes, time) : new DiskBlobStore(folder, time);
    }

    // Connects when it is first asked for.
    private static PostgresDatabase OpenDatabase(IServiceProvider services) =>
        new(services.GetRequiredService<IOptions<StorageOptions>>().Value.Postgres, services.GetRequiredService<OwnerTags>());

    private static IBlobIndex OpenIndex(IServiceProvider services)
    {
        var owners = services.GetRequiredService<OwnerTags>();
        var time = services.GetRequiredService<TimeProvider>();
        return IsShared(services)
            ? new PostgresBlobIndex(services.GetRequiredService<PostgresDatabase>(), time)
            : new SlotFileIndex(services.GetRequiredService<BlossomFolders>().Index, time, owners.Listable);
    }

    private static IModerationStore OpenDecisions(IServiceProvider services) => IsShared(services)
        ? new PostgresDecisions(services.GetRequiredService<PostgresDatabase>())
        : new ModerationFile(services.GetRequiredService<IOptions<StorageOptions>>().Value.DataDirectory);

    private static bool IsShared(IServiceProvider services) => services.GetRequiredService<IOptions<StorageOptions>>().Value.Postgres.Length > 0;

    /// <summary>Matches what is meant as a blob's name, well-formed or not.</summary>
    private sealed class BlobRouteConstraint : IRouteConstraint
    {
        public bool Match(HttpContext? httpContext, IRouter? route, string routeKey, RouteValueDictionary values, RouteDirection routeDirection) =>
            values[routeKey] is string name && BlobPath.LooksLikeBlob(name);
    }
}
