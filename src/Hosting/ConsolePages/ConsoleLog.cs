using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Lines of the console. Who logs in stands in the audit trail, not in the log.</summary>
internal static partial class ConsoleLog
{
    [LoggerMessage(320, LogLevel.Information, "An administrator logged in to the console")]
    public static partial void LoggedIn(ILogger logger);

    [LoggerMessage(321, LogLevel.Error, "An action of the console failed")]
    public static partial void ActionFailed(ILogger logger, Exception exception);
}
