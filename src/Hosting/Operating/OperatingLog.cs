using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Operating;

/// <summary>Lines of the operator's socket.</summary>
internal static partial class OperatingLog
{
    [LoggerMessage(310, LogLevel.Warning, "Operator's commands cannot reach this server while it runs: {Reason}")]
    public static partial void NoSocket(ILogger logger, string reason);

    [LoggerMessage(311, LogLevel.Error, "An operator's command failed")]
    public static partial void CommandFailed(ILogger logger, Exception exception);
}
