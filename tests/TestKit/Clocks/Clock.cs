using Microsoft.Extensions.Time.Testing;

namespace Marmot.TestKit;

/// <summary>The fake clock of the tests: date, timestamps and timers stand still until the test advances them.</summary>
public static class Clock
{
    /// <summary>2026-11-01, noon, UTC.</summary>
    public static FakeTimeProvider Standing() => new(new DateTimeOffset(2026, 11, 1, 12, 0, 0, TimeSpan.Zero));
}
