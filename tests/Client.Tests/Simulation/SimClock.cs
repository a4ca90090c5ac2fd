namespace Marmot.Client.Tests.Simulation;

/// <summary>One client's clock: it moves when told, and is wrong by so much.</summary>
internal sealed class SimClock(DateTimeOffset start, TimeSpan skew) : TimeProvider
{
    private long _ticks = (start + skew).UtcTicks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => new(Interlocked.Read(ref _ticks), TimeSpan.Zero);

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}
