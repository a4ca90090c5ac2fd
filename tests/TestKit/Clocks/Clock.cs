using Microsoft.Extensions.Time.Testing;

namespace Marmot.TestKit;

/// <summary>The clocks of the tests.</summary>
public static class Clock
{
    /// <summary>Set to <c>stepping</c> by the second run of <c>./test</c>.</summary>
    public const string Variable = "MARMOT_CLOCK";

    /// <summary>True in the run in which every server and client under test has a clock whose date steps back and forth by hours:
    /// <see cref="SteppingClock"/>.</summary>
    /// <remarks>Tests that are about a date itself bear <c>[Trait("Clock", "Date")]</c> and are left out of that run.</remarks>
    public static bool Steps { get; } = Environment.GetEnvironmentVariable(Variable) == "stepping";

    /// <summary>The system's clock, or a stepping one in the run of those.</summary>
    public static TimeProvider Running() => Steps ? new SteppingClock() : TimeProvider.System;

    /// <summary>The fake clock of the tests: date, timestamps and timers stand still until the test advances them. 2026-11-01, noon, UTC.</summary>
    public static FakeTimeProvider Standing() => Standing(new DateTimeOffset(2026, 11, 1, 12, 0, 0, TimeSpan.Zero));

    /// <summary>The same, from another date on.</summary>
    public static FakeTimeProvider Standing(DateTimeOffset start) => Steps ? new SteppingStandingClock(start) : new FakeTimeProvider(start);

    /// <summary>A clock as a server sees it: itself, or in the run of those one that steps around it.</summary>
    public static TimeProvider Seen(TimeProvider clock) => Steps ? new SteppingClock(clock) : clock;

    private sealed class SteppingStandingClock(DateTimeOffset start) : FakeTimeProvider(start)
    {
        private uint _readings;

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + SteppingClock.Step(ref _readings);

        public override long GetTimestamp() => base.GetUtcNow().Ticks; // the base would read the date that steps
    }
}
