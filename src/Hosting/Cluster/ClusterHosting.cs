using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Cluster;

/// <summary>Puts the cluster's parts into a host: on Redis when one is named, else on PostgreSQL when events live there, else inside the process.</summary>
public static class ClusterHosting
{
    private const string LogCategory = "Marmot.Hosting.Cluster";

    /// <summary>Adds bus and ledger; each connects when it is first asked for. May be called by several servers of one process.</summary>
    public static IServiceCollection AddCluster(this IServiceCollection services)
    {
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<ClusterOptions>, ClusterOptionsValidator>());
        services.TryAddSingleton(provider =>
        {
            var (cluster, postgres, log) = Read(provider);
            return new ClusterIdentity(postgres, cluster.Prefix, log);
        });
        services.TryAddSingleton<IClusterBus>(provider =>
        {
            var (cluster, postgres, log) = Read(provider);
            return cluster.Redis.Length > 0 ? new RedisBus(cluster.ToEndpoint(), provider.GetRequiredService<ClusterIdentity>(), log)
                : postgres.Length > 0 ? new PostgresBus(postgres, log)
                : new InProcessBus(new InProcessHub());
        });
        services.TryAddSingleton<IClaimLedger>(provider =>
        {
            var (cluster, postgres, log) = Read(provider);
            return cluster.Redis.Length > 0 ? new RedisLedger(cluster.ToEndpoint(), provider.GetRequiredService<ClusterIdentity>(), log)
                : postgres.Length > 0 ? new PostgresLedger(postgres, log)
                : new InProcessLedger(provider.GetRequiredService<TimeProvider>());
        });
        services.TryAddSingleton<ISharedValues>(provider => (ISharedValues)provider.GetRequiredService<IClaimLedger>());
        return services;
    }

    /// <summary>True when these settings mean that there may be other replicas.</summary>
    public static bool IsShared(IServiceProvider provider)
    {
        var (cluster, postgres, _) = Read(provider);
        return cluster.Redis.Length > 0 || postgres.Length > 0;
    }

    private static (ClusterOptions Cluster, string Postgres, ILogger Log) Read(IServiceProvider provider) => (
        provider.GetRequiredService<IOptions<ClusterOptions>>().Value,
        provider.GetRequiredService<IOptions<StorageOptions>>().Value.Postgres,
        provider.GetRequiredService<ILoggerFactory>().CreateLogger(LogCategory));
}

/// <summary>Whether replicas hear each other at once. Never a reason to take a replica away: without the bus live events come by polling.</summary>
/// <param name="bus">The bus of this process.</param>
public sealed class ClusterBusHealth(IClusterBus bus) : IHealthPart
{
    /// <inheritdoc/>
    public string Name => "cluster";

    /// <inheritdoc/>
    public HealthState Check() => new(true, bus.Trouble is { } trouble ? $"not connected ({trouble}); events of other replicas come by polling" : "ok");
}
