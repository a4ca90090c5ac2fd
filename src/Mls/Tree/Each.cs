namespace Marmot.Mls.Tree;

/// <summary>Runs the same independent public-key operation many times, on all cores when there are enough of them to pay.</summary>
internal static class Each
{
    private const int WorthSharing = 8; // each takes some 80 us; fewer are done before another thread has come to help

    public static void Do(int count, Action<int> action)
    {
        if (count < WorthSharing)
        {
            for (var i = 0; i < count; i++) action(i);
            return;
        }
        try
        {
            Parallel.For(0, count, action);
        }
        catch (AggregateException several)
        {
            // One refusal is enough to tell; which of them comes first is left to chance.
            throw several.InnerExceptions[0];
        }
    }

    /// <summary>Stops early at the first that does not hold.</summary>
    public static bool AllHold(int count, Func<int, bool> holds)
    {
        if (count >= WorthSharing) return Parallel.For(0, count, (i, state) => { if (!holds(i)) state.Stop(); }).IsCompleted;
        for (var i = 0; i < count; i++)
        {
            if (!holds(i)) return false;
        }
        return true;
    }
}
