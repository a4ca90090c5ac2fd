namespace Marmot.Hosting;

/// <summary>Moments for measuring intervals.</summary>
/// <remarks>The date (<see cref="TimeProvider.GetUtcNow"/>) is set by people, by time servers and by hypervisors, forwards and back; it is only for what leaves
/// the machine or is stored. tests/House.Tests/ClockRulesTests.cs lists the files that may read it.</remarks>
public static class MonotonicTime
{
    /// <summary>Time since an arbitrary moment before the process began. Two readings differ by the time that passed between them, whatever happens to the
    /// date.</summary>
    /// <param name="time">The clock.</param>
    public static TimeSpan GetUptime(this TimeProvider time)
    {
        // In integers: a double would lose the last digits of a large count.
        var (seconds, rest) = Math.DivRem(time.GetTimestamp(), time.TimestampFrequency);
        return new TimeSpan((seconds * TimeSpan.TicksPerSecond) + (rest * TimeSpan.TicksPerSecond / time.TimestampFrequency));
    }
}
