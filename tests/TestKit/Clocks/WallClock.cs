namespace Marmot.TestKit;

/// <summary>A date that stands where the test puts it, while timestamps and timers run on: for servers with real sockets, and for a system clock that is
/// set.</summary>
public sealed class WallClock(DateTimeOffset start, TimeProvider? below = null) : TimeProvider
{
    private readonly TimeProvider _below = below ?? System;
    private long _ticks = start.UtcTicks;
    private long _passed; // in timestamps

    /// <inheritdoc/>
    public override long TimestampFrequency => _below.TimestampFrequency;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => new(Interlocked.Read(ref _ticks), TimeSpan.Zero);

    /// <inheritdoc/>
    public override long GetTimestamp() => _below.GetTimestamp() + Interlocked.Read(ref _passed);

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        _below.CreateTimer(callback, state, dueTime, period);

    /// <summary>Sets the date.</summary>
    public void Set(DateTimeOffset now) => Interlocked.Exchange(ref _ticks, now.UtcTicks);

    /// <summary>Lets timestamps run on while the date stands. Timers do not notice.</summary>
    public void Pass(TimeSpan by) => Interlocked.Add(ref _passed, (long)(by.TotalSeconds * TimestampFrequency));

    /// <summary>Lets time pass: date and timestamps. Timers do not notice.</summary>
    public void Wait(TimeSpan by)
    {
        Pass(by);
        Advance(by);
    }

    /// <summary>Moves the date, forwards or back.</summary>
    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}
