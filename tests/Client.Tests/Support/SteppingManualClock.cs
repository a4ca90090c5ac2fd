namespace Marmot.Client.Tests.Support;

/// <summary>A clock that moves when told, with a date that is hours away from the last at each reading.</summary>
internal sealed class SteppingManualClock(DateTimeOffset start) : ManualClock(start)
{
    private static readonly int[] Minutes = [0, 180, -120, 600, -90, 60, -660];
    private uint _readings;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddMinutes(Minutes[Interlocked.Increment(ref _readings) % Minutes.Length]);
}
