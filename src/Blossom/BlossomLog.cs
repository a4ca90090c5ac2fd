namespace Marmot.Blossom;

/// <summary>Every line the blob store may write. No hash, key, address, token or path of a request appears in any of them.</summary>
internal static partial class BlossomLog
{
    [LoggerMessage(2001, LogLevel.Information, "Blob store open: {Profile} profile, {Blobs} blobs, {Bytes} bytes")]
    public static partial void Opened(ILogger logger, BlossomProfile profile, long blobs, long bytes);

    [LoggerMessage(2002, LogLevel.Warning, "Removed {Count} blobs that no claim holds (left by a crash)")]
    public static partial void OrphansRemoved(ILogger logger, int count);

    [LoggerMessage(2003, LogLevel.Information, "{Count} blobs ended and were deleted")]
    public static partial void Expired(ILogger logger, int count);

    [LoggerMessage(2004, LogLevel.Error, "Storage failed on {Route}")]
    public static partial void StorageFailed(ILogger logger, string route, Exception error);

    [LoggerMessage(2005, LogLevel.Error, "Request to {Route} failed")]
    public static partial void RequestFailed(ILogger logger, string route, Exception error);

    [LoggerMessage(2006, LogLevel.Error, "The sweep for ended blobs failed; it runs again")]
    public static partial void SweepFailed(ILogger logger, Exception error);

    [LoggerMessage(2007, LogLevel.Warning,
        "Public:Origin is empty: tokens that name a server are taken only for loopback names; set it when users come through a name")]
    public static partial void NoOrigin(ILogger logger);

    [LoggerMessage(2008, LogLevel.Error, "{Part} does not answer ({Kind}): requests that need it get 503 until it does")]
    public static partial void StorageAway(ILogger logger, string part, string kind);

    [LoggerMessage(2009, LogLevel.Information, "The storage answers again")]
    public static partial void StorageBack(ILogger logger);

    [LoggerMessage(2010, LogLevel.Error,
        "The disk has damaged {Claims} claims and {Blobs} small blobs: they are not served, and stay as they are. See docs/operate.md, damaged "
            + "storage")]
    public static partial void Damaged(ILogger logger, int claims, int blobs);

    [LoggerMessage(2011, LogLevel.Information, "A damaged or missing blob was uploaded again and is whole")]
    public static partial void Repaired(ILogger logger);

    [LoggerMessage(2012, LogLevel.Information, "{Count} blobs that nobody read were deleted")]
    public static partial void Unread(ILogger logger, int count);
}
