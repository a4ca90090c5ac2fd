using Marmot.TestKit;

namespace Marmot.Hosting.Tests;

public class MonotonicTimeTests
{
    [Fact]
    public void Two_readings_differ_by_what_passed_between_them_to_the_tick()
    {
        var clock = Clock.Standing();
        var before = clock.GetUptime();
        clock.Advance(TimeSpan.FromTicks(12_345_678_901));
        Assert.Equal(12_345_678_901, (clock.GetUptime() - before).Ticks);
    }

    [Fact]
    public void A_count_of_nanoseconds_over_years_loses_no_digit()
    {
        var clock = new Counting(1_000_000_000) { Count = 300_000_000_000_000_000 }; // nine years
        var before = clock.GetUptime();
        clock.Count += 1_500;
        Assert.Equal(15, (clock.GetUptime() - before).Ticks);
    }

    [Fact]
    public void Steps_of_the_date_do_not_show()
    {
        var below = Clock.Standing();
        var clock = new SteppingClock(below);
        var first = clock.GetUptime();
        var date = clock.GetUtcNow();
        Assert.True((clock.GetUtcNow() - date).Duration() >= TimeSpan.FromHours(1));
        Assert.Equal(first, clock.GetUptime());
    }

    private sealed class Counting(long frequency) : TimeProvider
    {
        public long Count { get; set; }

        public override long TimestampFrequency => frequency;

        public override long GetTimestamp() => Count;
    }
}
