namespace Marmot.Protocol.Tests.Encryption;

/// <summary>Counts the bytes an action allocates.</summary>
internal static class Allocation
{
    /// <summary>
    /// Least of five rounds of twenty calls: a collection started by another test counts the unused rest of this thread's
    /// allocation block, so one round may read too high; none reads too low.
    /// </summary>
    public static long Of(Action action)
    {
        action();
        long least = long.MaxValue;
        for (int round = 0; round < 5 && least > 0; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++)
            {
                action();
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
