using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Dispatch;

/// <summary>How long to wait before the next try of a push.</summary>
internal static class RetryPause
{
    private static readonly TimeSpan Base = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Quick = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <param name="verdict">What the last try brought.</param>
    /// <param name="attempts">Tries made, at least one.</param>
    /// <param name="random">0 to 1.</param>
    public static TimeSpan For(PushVerdict verdict, int attempts, double random)
    {
        if (verdict.Outcome == PushOutcome.Reconnect && attempts <= 2)
        {
            return TimeSpan.Zero;
        }

        // Nothing was sent: one quick try, since the cause is often a connection that was just being replaced.
        if (verdict == PushVerdict.Unreachable && attempts == 1)
        {
            return Quick * (1 + random);
        }

        var backoff = Base * Math.Pow(2, Math.Min(attempts - 1, 6));
        backoff = backoff > Longest ? Longest : backoff;

        // Jitter is added, never taken away: a provider's floor is a floor.
        var floor = verdict.RetryAfter ?? TimeSpan.Zero;
        return (floor > backoff ? floor : backoff) + (backoff * 0.5 * random);
    }
}
