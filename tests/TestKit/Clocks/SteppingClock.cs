namespace Marmot.TestKit;

/// <summary>A system clock that is set back and forth by hours without end: each reading of the date is hours away from the last, while timestamps and timers
/// run on.</summary>
/// <remarks>Whoever measures an interval by two readings of the date gets nonsense at once.</remarks>
public sealed class SteppingClock(TimeProvider? below = null) : TimeProvider
{
    // Seven steps of different size and both signs: neither two nor three readings in a row agree.
    private static readonly TimeSpan[] Offsets =
    [
        TimeSpan.Zero, TimeSpan.FromHours(3), TimeSpan.FromHours(-2), TimeSpan.FromHours(26), TimeSpan.FromMinutes(-90), TimeSpan.FromHours(1),
        TimeSpan.FromHours(-25),
    ];

    private readonly TimeProvider _below = below ?? System;
    private uint _readings;

    /// <summary>The largest step away from the true date, either way.</summary>
    public static TimeSpan Farthest => TimeSpan.FromHours(26);

    /// <summary>Readings of the date so far.</summary>
    public long Readings => Volatile.Read(ref _readings);

    /// <inheritdoc/>
    public override long TimestampFrequency => _below.TimestampFrequency;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => _below.GetUtcNow() + Offsets[Interlocked.Increment(ref _readings) % Offsets.Length];

    /// <inheritdoc/>
    public override long GetTimestamp() => _below.GetTimestamp();

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        _below.CreateTimer(callback, state, dueTime, period);
}
