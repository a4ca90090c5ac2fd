namespace Marmot.Relay.Tests.Kit;

/// <summary>Wall clock set by the test; timers and timestamps run on.</summary>
internal sealed class TestClock(long unixSeconds) : TimeProvider
{
    private long _seconds = unixSeconds;

    public void Set(long unixSeconds) => Volatile.Write(ref _seconds, unixSeconds);

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.FromUnixTimeSeconds(Volatile.Read(ref _seconds));
}
