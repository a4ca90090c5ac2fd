using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Redis;

/// <summary>Every log line of the Redis client; none holds an address, a key or a value.</summary>
internal static partial class RedisLog
{
    [LoggerMessage(1, LogLevel.Information, "Redis connected")]
    public static partial void Connected(ILogger logger);

    [LoggerMessage(2, LogLevel.Warning, "Redis connection lost")]
    public static partial void Lost(ILogger logger);

    [LoggerMessage(3, LogLevel.Warning, "Redis cannot be reached: {Reason}")]
    public static partial void CannotConnect(ILogger logger, string reason);
}
