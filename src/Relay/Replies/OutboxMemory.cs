namespace Marmot.Relay.Replies;

/// <summary>What all outboxes together hold. When it is too much, each slow reader is allowed less, so that many of them cannot take the server's memory
/// either.</summary>
internal sealed class OutboxMemory(long maxBytes)
{
    /// <summary>What one reader may leave waiting while memory is short.</summary>
    private const int ShortLimit = 256 * 1024;

    private long _bytes;

    public long Bytes => Volatile.Read(ref _bytes);

    public void Add(long bytes) => Interlocked.Add(ref _bytes, bytes);

    public int LimitFor(int usual) => Volatile.Read(ref _bytes) > maxBytes ? Math.Min(usual, ShortLimit) : usual;
}
