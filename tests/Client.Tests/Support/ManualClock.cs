namespace Marmot.Client.Tests.Support;

/// <summary>A clock that moves when told: date and timestamps together, or the date alone, as when somebody sets it. Timers are the system's.</summary>
internal class ManualClock(DateTimeOffset start) : TimeProvider
{
    private long _elapsed;
    private long _setBy;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => start.ToUniversalTime().AddTicks(Interlocked.Read(ref _elapsed) + Interlocked.Read(ref _setBy));

    public override long GetTimestamp() => Interlocked.Read(ref _elapsed);

    /// <summary>Time goes by.</summary>
    public void Advance(TimeSpan by) => Interlocked.Add(ref _elapsed, by.Ticks);

    /// <summary>The date is set forwards or back; no time goes by.</summary>
    public void Set(TimeSpan by) => Interlocked.Add(ref _setBy, by.Ticks);
}

/// <summary>The same, with a date that is hours away from the last at each reading.</summary>
internal sealed class SteppingManualClock(DateTimeOffset start) : ManualClock(start)
{
    private static readonly int[] Minutes = [0, 180, -120, 600, -90, 60, -660];
    private uint _readings;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddMinutes(Minutes[Interlocked.Increment(ref _readings) % Minutes.Length]);
}
