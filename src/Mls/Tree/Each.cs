using System.Runtime.ExceptionServices;

namespace Marmot.Mls.Tree;

/// <summary>Runs the same independent public-key operation many times, on all cores when there are enough of them to pay.</summary>
internal static class Each
{
    private const int WorthSharing = 8; // each takes some 40 to 80 us; fewer are done before another thread has come to help

    /// <summary>What an item throws comes out; of several items that throw, that of the lowest, whatever the number of threads.</summary>
    public static void Do(int count, Action<int> action)
    {
        if (count < WorthSharing || Environment.ProcessorCount == 1)
        {
            for (var i = 0; i < count; i++) action(i);
            return;
        }
        new Sharing(count, action).Run();
    }

    /// <summary>
    /// The caller works from the start; threads of the pool that come in time take items from it, one by one, and those that come too late find none. The
    /// caller waits for nothing but items that were taken. Parallel.For waits for helpers that have not come yet, and takes some 50 us for itself, as long as
    /// an item.
    /// </summary>
    private sealed class Sharing(int count, Action<int> action) : IThreadPoolWorkItem
    {
        private int _taken;
        private int _done;
        private Refused? _refusal;

        public void Run()
        {
            for (var helpers = Math.Min(Environment.ProcessorCount, count) - 1; helpers > 0; helpers--)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            }

            Execute();
            // At most one item a helper is left, which it has begun.
            for (var wait = new SpinWait(); Volatile.Read(ref _done) < count;) wait.SpinOnce(sleep1Threshold: -1);
            if (_refusal is { } refused) ExceptionDispatchInfo.Throw(refused.Why);
        }

        public void Execute()
        {
            for (int item; (item = Interlocked.Increment(ref _taken) - 1) < count;)
            {
                try
                {
                    if (Volatile.Read(ref _refusal) is null) action(item);
                }
                catch (Exception refusal)
                {
                    KeepLowest(new Refused(item, refusal));
                }
                Interlocked.Increment(ref _done);
            }
        }

        /// <summary>Items are taken in order: when one is refused, every lower one was taken and will have its say.</summary>
        private void KeepLowest(Refused mine)
        {
            for (var known = Volatile.Read(ref _refusal); known is null || known.Item > mine.Item;)
            {
                var before = Interlocked.CompareExchange(ref _refusal, mine, known);
                if (ReferenceEquals(before, known)) return;
                known = before;
            }
        }

        private sealed record Refused(int Item, Exception Why);
    }
}
