namespace Marmot.Relay.Ingest;

/// <summary>A bucket of events for one connection: refilled by the second, ten seconds deep. Not thread-safe: its connection owns it.</summary>
/// <param name="clock">The clock.</param>
/// <param name="perSecond">0 for no limit.</param>
internal sealed class EventBudget(TimeProvider clock, int perSecond)
{
    private const int BurstSeconds = 10;
    private double _left = (double)perSecond * BurstSeconds;
    private long _filledAt = clock.GetTimestamp();

    public bool TryTake()
    {
        if (perSecond == 0)
        {
            return true;
        }

        var now = clock.GetTimestamp();
        _left = Math.Min((double)perSecond * BurstSeconds, _left + clock.GetElapsedTime(_filledAt, now).TotalSeconds * perSecond);
        _filledAt = now;
        if (_left < 1)
        {
            return false;
        }

        _left--;
        return true;
    }
}
