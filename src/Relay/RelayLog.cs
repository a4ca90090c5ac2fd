namespace Marmot.Relay;

/// <summary>Every log line of the relay. None holds an address, a key or content.</summary>
internal static partial class RelayLog
{
    [LoggerMessage(1, LogLevel.Information, "relay ready: {Events} events stored, arrival {Arrival}")]
    public static partial void Ready(this ILogger logger, long events, ulong arrival);

    [LoggerMessage(2, LogLevel.Error, "writing events failed, {Count} refused: {Reason}")]
    public static partial void WriteFailed(this ILogger logger, int count, string reason);

    [LoggerMessage(3, LogLevel.Error, "{Loop} failed and goes on")]
    public static partial void LoopFailed(this ILogger logger, string loop, Exception exception);

    [LoggerMessage(4, LogLevel.Debug, "connection ended: {Reason}")]
    public static partial void ConnectionEnded(this ILogger logger, string reason);

    [LoggerMessage(20, LogLevel.Error, "the store cannot be reached: {Reason}")]
    public static partial void StoreLost(this ILogger logger, string reason);

    [LoggerMessage(21, LogLevel.Information, "the store can be reached again")]
    public static partial void StoreBack(this ILogger logger);

    [LoggerMessage(22, LogLevel.Warning, "erasing removed events failed and is tried again: {Reason}")]
    public static partial void EraseFailed(this ILogger logger, string reason);

    [LoggerMessage(6, LogLevel.Error, "the write policy program failed: {Reason}")]
    public static partial void PolicyFailed(this ILogger logger, string reason);

    [LoggerMessage(7, LogLevel.Warning, "commands on the running relay are not taken: {Reason}")]
    public static partial void NoOperatorSocket(this ILogger logger, string reason);

    [LoggerMessage(5, LogLevel.Information, "closing {Count} connections")]
    public static partial void Draining(this ILogger logger, int count);
}
