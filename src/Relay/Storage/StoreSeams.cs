using Marmot.Relay.Storage.Log;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Relay.Storage;

/// <summary>What an embedded store is given from outside: limits and the log from its host, the rest from tests.</summary>
internal sealed record StoreSeams
{
    /// <summary>What may be stored at all.</summary>
    public StoreEntrance Entrance { get; init; } = StoreEntrance.Default;

    /// <summary>Told of damage, and how long work goes.</summary>
    public ILogger Log { get; init; } = NullLogger.Instance;

    /// <summary>How the event log changes its files.</summary>
    public LogDisk Disk { get; init; } = new();

    /// <summary>Bytes of a file of the event log, the same at every opening.</summary>
    public int SegmentSize { get; init; } = LogSegment.DefaultSize;

    /// <summary>Called before the disk is waited for; an exception is as if the disk had failed.</summary>
    public Action? Flushing { get; init; }
}
