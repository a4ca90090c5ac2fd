using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Moderating;

/// <summary>Lines about decisions and lists. No key, name, address or hash appears in any of them.</summary>
internal static partial class ModeratingLog
{
    [LoggerMessage(EventId = 300, Level = LogLevel.Error, Message = "Decisions of the operator could not be taken over; it is tried again")]
    public static partial void FeedFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 301, Level = LogLevel.Warning, Message = "{File} was changed and cannot be used, the list read before stays: {Mistake}")]
    public static partial void ListRefused(ILogger logger, string file, string mistake);

    [LoggerMessage(EventId = 302, Level = LogLevel.Information, Message = "{File} was read again: {Count} entries")]
    public static partial void ListRead(ILogger logger, string file, int count);

    [LoggerMessage(EventId = 303, Level = LogLevel.Warning,
        Message = "{Count} of the allow list's domains did not answer (NIP-05); the keys known before stay allowed")]
    public static partial void NamesAway(ILogger logger, int count);
}
