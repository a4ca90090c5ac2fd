using Marmot.Hosting.Callers;

namespace Marmot.Relay.Budgets;

/// <summary>A bucket of events for one connection: refilled by the second, ten seconds deep. Not thread-safe: its connection owns it.</summary>
/// <param name="clock">The clock.</param>
/// <param name="perSecond">0 for no limit.</param>
internal sealed class EventBudget(TimeProvider clock, int perSecond)
{
    private const int BurstSeconds = 10;
    private TokenBucket _bucket;

    public bool TryTake()
    {
        if (perSecond == 0)
        {
            return true;
        }

        _bucket.Refill(clock, perSecond, (double)perSecond * BurstSeconds);
        if (_bucket.Left < 1)
        {
            return false;
        }

        _bucket.Left--;
        return true;
    }
}
