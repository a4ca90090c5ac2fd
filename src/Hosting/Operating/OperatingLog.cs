using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Operating;

/// <summary>Lines of the operator's socket.</summary>
internal static partial class OperatingLog
{
    [LoggerMessage(EventId = 310, Level = LogLevel.Warning, Message = "Operator's commands cannot reach this server while it runs: {Reason}")]
    public static partial void NoSocket(ILogger logger, string reason);

    [LoggerMessage(EventId = 311, Level = LogLevel.Error, Message = "An operator's command failed")]
    public static partial void CommandFailed(ILogger logger, Exception exception);
}
