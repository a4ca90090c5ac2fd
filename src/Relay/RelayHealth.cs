using Marmot.Hosting.Health;
using Marmot.Relay.Ingest;
using Marmot.Relay.Live;
using Marmot.Relay.Maintenance;
using Marmot.Relay.Storage;

namespace Marmot.Relay;

/// <summary>Whether events can be written, and how many stored ones were found damaged: those do not stop the relay from serving the others.</summary>
internal sealed class StorageHealth(EventWriterLoop writer, IEventStore store) : IHealthPart
{
    public string Name => "storage";

    public HealthState Check() =>
        writer.Failure is { } failure ? new HealthState(false, failure)
        : store.DamagedRecords is var damaged and > 0 ? new HealthState(true, $"{damaged} damaged records, see the log")
        : HealthState.Ok;
}

/// <summary>Whether PostgreSQL answers and takes writes, and whether what was stored here is delivered here. Looked at every few seconds, so it heals without
/// an event.</summary>
internal sealed class PostgresHealth(ClusterFeed feed, PostgresProbe probe) : IHealthPart
{
    public string Name => "storage";

    public HealthState Check() =>
        (feed.StoreFailure ?? probe.Failure ?? feed.DeliveryFailure) is { } failure ? new HealthState(false, failure) : HealthState.Ok;
}

/// <summary>Whether live events reach their subscribers in time.</summary>
internal sealed class FanOutHealth(FanOut fanOut) : IHealthPart
{
    public string Name => "live delivery";

    public HealthState Check() => fanOut.Lag is var lag && lag > FanOut.MaxLag
        ? new HealthState(false, $"live events come {lag.TotalSeconds:0} seconds late")
        : HealthState.Ok;
}

/// <summary>Whether the relay listens.</summary>
internal sealed class RelayHealth(RelayMetrics metrics) : IHealthPart
{
    public string Name => "relay";

    public HealthState Check() => new(true, $"{metrics.Connections} connections");
}
