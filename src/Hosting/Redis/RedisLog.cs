using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Redis;

/// <summary>Every log line of the connection to Redis; none holds an address, a key or a value.</summary>
internal static partial class RedisLog
{
    [LoggerMessage(30, LogLevel.Information, "Redis connected")]
    public static partial void Connected(ILogger logger);

    [LoggerMessage(31, LogLevel.Warning, "Redis is away: {Reason}")]
    public static partial void Away(ILogger logger, string reason);
}
