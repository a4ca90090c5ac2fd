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
    private int _holds;

    /// <summary>The largest step away from the true date, either way.</summary>
    public static TimeSpan Farthest => TimeSpan.FromHours(26);

    /// <summary>Readings of the date so far.</summary>
    public long Readings => Volatile.Read(ref _readings);

    /// <inheritdoc/>
    public override long TimestampFrequency => _below.TimestampFrequency;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow()
    {
        var step = Step(ref _readings);
        return _below.GetUtcNow() + (Volatile.Read(ref _holds) == 0 ? step : TimeSpan.Zero);
    }

    /// <inheritdoc/>
    public override long GetTimestamp() => _below.GetTimestamp();

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        _below.CreateTimer(callback, state, dueTime, period);

    /// <summary>How far the next reading is off.</summary>
    internal static TimeSpan Step(ref uint readings) => Offsets[Interlocked.Increment(ref readings) % Offsets.Length];

    /// <summary>Puts the date right until the end of what is returned: for an exchange that is about minutes of the date, as a proof of a key is.</summary>
    public IDisposable Hold()
    {
        Interlocked.Increment(ref _holds);
        return new Held(this);
    }

    private sealed class Held(SteppingClock clock) : IDisposable
    {
        private int _ended;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _ended, 1) == 0)
            {
                Interlocked.Decrement(ref clock._holds);
            }
        }
    }
}
