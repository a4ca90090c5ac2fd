namespace Marmot.Blossom;

/// <summary>Every line the blob store may write. No hash, key, address, token or path of a request appears in any of them.</summary>
internal static partial class BlossomLog
{
    [LoggerMessage(EventId = 2000, Level = LogLevel.Information, Message = "Blob store open: {Profile} profile, {Blobs} blobs, {Bytes} bytes")]
    public static partial void Opened(ILogger logger, BlossomProfile profile, long blobs, long bytes);

    [LoggerMessage(EventId = 2001, Level = LogLevel.Warning, Message = "Removed {Count} blobs that no claim holds (left by a crash)")]
    public static partial void OrphansRemoved(ILogger logger, int count);

    [LoggerMessage(EventId = 2002, Level = LogLevel.Information, Message = "{Count} blobs ended and were deleted")]
    public static partial void Expired(ILogger logger, int count);

    [LoggerMessage(EventId = 2003, Level = LogLevel.Error, Message = "Storage failed on {Route}")]
    public static partial void StorageFailed(ILogger logger, string route, Exception error);

    [LoggerMessage(EventId = 2004, Level = LogLevel.Error, Message = "Request to {Route} failed")]
    public static partial void RequestFailed(ILogger logger, string route, Exception error);

    [LoggerMessage(EventId = 2005, Level = LogLevel.Error, Message = "The sweep for ended blobs failed; it runs again")]
    public static partial void SweepFailed(ILogger logger, Exception error);

    [LoggerMessage(EventId = 2006, Level = LogLevel.Warning,
        Message = "Public:Origin is empty: tokens that name a server are taken only for loopback names; set it when users come through a name")]
    public static partial void NoOrigin(ILogger logger);

    [LoggerMessage(EventId = 2007, Level = LogLevel.Error, Message = "{Part} does not answer ({Kind}): requests that need it get 503 until it does")]
    public static partial void StorageAway(ILogger logger, string part, string kind);

    [LoggerMessage(EventId = 2008, Level = LogLevel.Information, Message = "The storage answers again")]
    public static partial void StorageBack(ILogger logger);

    [LoggerMessage(EventId = 2009, Level = LogLevel.Error,
        Message = "The disk has damaged {Claims} claims and {Blobs} small blobs: they are not served, and stay as they are. See docs/operate.md, damaged "
            + "storage")]
    public static partial void Damaged(ILogger logger, int claims, int blobs);

    [LoggerMessage(EventId = 2010, Level = LogLevel.Information, Message = "A damaged or missing blob was uploaded again and is whole")]
    public static partial void Repaired(ILogger logger);

    [LoggerMessage(EventId = 2011, Level = LogLevel.Information, Message = "{Count} blobs that nobody read were deleted")]
    public static partial void Unread(ILogger logger, int count);
}
