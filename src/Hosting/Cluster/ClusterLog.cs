using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Cluster;

/// <summary>Every log line of the cluster's own parts.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(20, LogLevel.Warning, "the cluster's connection to PostgreSQL failed and is tried again: {Kind}")]
    public static partial void Failed(ILogger logger, string kind);

    [LoggerMessage(21, LogLevel.Warning,
        "messages of another deployment (or of another version) arrive on this one's channels of Redis and are ignored: give each a Cluster:Prefix of its own. "
            + "Said once.")]
    public static partial void Foreign(ILogger logger);
}
