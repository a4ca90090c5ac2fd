namespace Marmot.Relay;

/// <summary>Every log line of the relay. None holds an address, a key or content.</summary>
internal static partial class RelayLog
{
    [LoggerMessage(1001, LogLevel.Information, "relay ready: {Events} events stored, arrival {Arrival}")]
    public static partial void Ready(this ILogger logger, long events, ulong arrival);

    [LoggerMessage(1002, LogLevel.Error, "writing events failed, {Count} refused: {Reason}")]
    public static partial void WriteFailed(this ILogger logger, int count, string reason);

    [LoggerMessage(1003, LogLevel.Error, "{Loop} failed and goes on")]
    public static partial void LoopFailed(this ILogger logger, string loop, Exception exception);

    [LoggerMessage(1004, LogLevel.Debug, "connection ended: {Reason}")]
    public static partial void ConnectionEnded(this ILogger logger, string reason);

    [LoggerMessage(1005, LogLevel.Information, "closing {Count} connections")]
    public static partial void Draining(this ILogger logger, int count);

    [LoggerMessage(1006, LogLevel.Error, "the write policy program failed: {Reason}")]
    public static partial void PolicyFailed(this ILogger logger, string reason);

    [LoggerMessage(1007, LogLevel.Error, "the store cannot be reached: {Reason}")]
    public static partial void StoreLost(this ILogger logger, string reason);

    [LoggerMessage(1008, LogLevel.Information, "the store can be reached again")]
    public static partial void StoreBack(this ILogger logger);

    [LoggerMessage(1009, LogLevel.Warning, "erasing removed events failed and is tried again: {Reason}")]
    public static partial void EraseFailed(this ILogger logger, string reason);

    [LoggerMessage(1010, LogLevel.Error,
        "a record of the event log is damaged at {Position}, {Length} bytes; all others are served, its bytes are kept in {Folder} (docs/operate.md, Damaged "
            + "event log)")]
    public static partial void DamagedRecord(this ILogger logger, long position, long length, string folder);

    [LoggerMessage(1011, LogLevel.Warning,
        "the event log ended in an interrupted write at {Position}, {Length} bytes that were never acknowledged; they are kept in {Folder}")]
    public static partial void TornWrite(this ILogger logger, long position, long length, string folder);

    [LoggerMessage(1012, LogLevel.Error, "damaged bytes could not be kept: {Reason}")]
    public static partial void DamageNotKept(this ILogger logger, string reason);

    [LoggerMessage(1013, LogLevel.Warning, "the index may lack events after how the last run ended, or is of another version; it is built anew from the log")]
    public static partial void IndexRebuilt(this ILogger logger);

    [LoggerMessage(1014, LogLevel.Warning, "the index cannot be opened: {Reason}")]
    public static partial void IndexUnreadable(this ILogger logger, string reason);

    [LoggerMessage(1015, LogLevel.Information, "reading the event log: {Events} events, {Percent} %")]
    public static partial void IndexProgress(this ILogger logger, long events, long percent);

    [LoggerMessage(1016, LogLevel.Information, "the index holds {Events} events of the log again, after {Seconds:F1} s")]
    public static partial void IndexReady(this ILogger logger, long events, double seconds);

    [LoggerMessage(1017, LogLevel.Warning,
        "the database was put back to an earlier state: it knows {Head} arrivals where {Seen} were seen; what came between is gone, and new events are "
            + "numbered above both")]
    public static partial void DatabaseWentBack(this ILogger logger, ulong head, ulong seen);

    [LoggerMessage(1018, LogLevel.Warning,
        "messages of another deployment, or of a database before it was restored, come over the bus and are left alone; give each deployment its own "
            + "Cluster:Prefix")]
    public static partial void ForeignMessage(this ILogger logger);
}
