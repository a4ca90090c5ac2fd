namespace Marmot.TestKit;

/// <summary>A clock that moves when told: date and timestamps together, or the date alone, as when somebody sets it. Timers are the system's.</summary>
/// <param name="start">Its first date.</param>
/// <param name="steps">Each reading of the date is hours away from the last; null, as the run wants it (<see cref="Clock.Steps"/>).</param>
public sealed class ManualClock(DateTimeOffset start, bool? steps = null) : TimeProvider
{
    // Less than a day: the leaves of key packages are valid from a day before they were made.
    private static readonly int[] Minutes = [0, 180, -120, 600, -90, 60, -660];
    private readonly bool _steps = steps ?? Clock.Steps;
    private long _elapsed;
    private long _setBy;
    private uint _readings;

    /// <inheritdoc/>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() =>
        start.ToUniversalTime().AddTicks(Interlocked.Read(ref _elapsed) + Interlocked.Read(ref _setBy))
            .AddMinutes(_steps ? Minutes[Interlocked.Increment(ref _readings) % Minutes.Length] : 0);

    /// <inheritdoc/>
    /// <inheritdoc/>
    public override long GetTimestamp() => Interlocked.Read(ref _elapsed);

    /// <summary>Time goes by.</summary>
    public void Advance(TimeSpan by) => Interlocked.Add(ref _elapsed, by.Ticks);

    /// <summary>The date is set forwards or back; no time goes by.</summary>
    public void Set(TimeSpan by) => Interlocked.Add(ref _setBy, by.Ticks);
}
