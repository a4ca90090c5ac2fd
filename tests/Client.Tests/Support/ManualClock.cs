namespace Marmot.Client.Tests.Support;

/// <summary>A clock that moves when told; timers are the system's.</summary>
internal sealed class ManualClock(DateTimeOffset start) : TimeProvider
{
    private long _ticks = start.UtcTicks;

    /// <summary>Added to the time this client sees: a wrong clock.</summary>
    public TimeSpan Skew { get; set; }

    public override DateTimeOffset GetUtcNow() => new(Interlocked.Read(ref _ticks) + Skew.Ticks, TimeSpan.Zero);

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}
