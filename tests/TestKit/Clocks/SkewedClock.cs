namespace Marmot.TestKit;

/// <summary>A clock that is hours away from the others'.</summary>
public sealed class SkewedClock(TimeProvider clock, TimeSpan by) : TimeProvider
{
    /// <inheritdoc/>
    public override long TimestampFrequency => clock.TimestampFrequency;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => clock.GetUtcNow() + by;

    /// <inheritdoc/>
    public override long GetTimestamp() => clock.GetTimestamp();
}
