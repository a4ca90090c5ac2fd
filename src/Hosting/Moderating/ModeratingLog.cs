using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Moderating;

/// <summary>Lines about decisions and lists. No key, name, address or hash appears in any of them.</summary>
internal static partial class ModeratingLog
{
    [LoggerMessage(300, LogLevel.Error, "Decisions of the operator could not be taken over; it is tried again")]
    public static partial void FeedFailed(ILogger logger, Exception exception);

    [LoggerMessage(301, LogLevel.Warning, "{File} was changed and cannot be used, the list read before stays: {Mistake}")]
    public static partial void ListRefused(ILogger logger, string file, string mistake);

    [LoggerMessage(302, LogLevel.Information, "{File} was read again: {Count} entries")]
    public static partial void ListRead(ILogger logger, string file, int count);

    [LoggerMessage(303, LogLevel.Warning,
        "{Count} of the allow list's domains did not answer (NIP-05); the keys known before stay allowed")]
    public static partial void NamesAway(ILogger logger, int count);
}
