using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Dispatch;

/// <summary>A provider with the requests under way on it: replaced at once, disposed when the last of them has ended.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class ProviderLease(IPushProvider provider)
{
    private int _holders = 1; // the lane

    public IPushProvider Provider { get; } = provider;

    /// <summary>False when it has been given up: take the lane's current one.</summary>
    public bool TryEnter()
    {
        for (var holders = Volatile.Read(ref _holders); holders > 0;)
        {
            var seen = Interlocked.CompareExchange(ref _holders, holders + 1, holders);
            if (seen == holders)
            {
                return true;
            }

            holders = seen;
        }

        return false;
    }

    /// <summary>A request ended, or the lane lets go.</summary>
    public void Exit()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            Provider.Dispose();
        }
    }
}
