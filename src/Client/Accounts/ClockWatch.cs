namespace Marmot.Client.Accounts;

/// <summary>Notices that the system's clock was set while the process runs: marks of what was read up to when are worth nothing then. Thread-safe.</summary>
internal sealed class ClockWatch(TimeProvider time)
{
    /// <summary>The clock is corrected by less than this all the time.</summary>
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private DateTimeOffset _date = time.GetUtcNow();
    private long _timestamp = time.GetTimestamp();
    private int _steps;

    /// <summary>How often the clock was seen to be set; looks at it.</summary>
    public int CountSteps()
    {
        lock (_gate)
        {
            var (date, timestamp) = (time.GetUtcNow(), time.GetTimestamp());
            if ((date - _date - time.GetElapsedTime(_timestamp, timestamp)).Duration() > Tolerance)
            {
                _steps++;
            }

            (_date, _timestamp) = (date, timestamp);
            return _steps;
        }
    }
}
