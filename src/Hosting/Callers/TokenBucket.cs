namespace Marmot.Hosting.Callers;

/// <summary>A token bucket: refilled evenly, empty at nothing, full at its capacity. Not thread-safe: its owner locks.</summary>
/// <remarks>The default value is a full bucket at its first <see cref="Refill"/>.</remarks>
public struct TokenBucket
{
    private long _filledAt;

    /// <summary>What is left after the last <see cref="Refill"/>; below zero while a debt is paid back.</summary>
    public double Left { get; set; }

    /// <summary>Adds what has come since the last call.</summary>
    /// <param name="clock">The clock.</param>
    /// <param name="perSecond">How much a second.</param>
    /// <param name="capacity">Where it is full.</param>
    public void Refill(TimeProvider clock, double perSecond, double capacity)
    {
        var now = clock.GetTimestamp();
        Left = _filledAt == 0 ? capacity : Math.Min(capacity, Left + (clock.GetElapsedTime(_filledAt, now).TotalSeconds * perSecond));
        _filledAt = now == 0 ? 1 : now;
    }
}
