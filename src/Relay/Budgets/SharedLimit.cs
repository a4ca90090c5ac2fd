namespace Marmot.Relay.Budgets;

/// <summary>Something that all connections share (places, bytes), of which one address may have a part that shrinks as less is free.</summary>
/// <remarks>
/// An address may hold a quarter of what nobody holds, and always <paramref name="floor"/> while that much is free: alone it comes to a fifth of all, ten
/// that take all they can to nine tenths together, and whoever comes next still finds a place (the dynamic thresholds of packet switches,
/// Choudhury and Hahne 1998). Addresses that are not counted share only the whole. Thread-safe; see docs/locking.md.
/// </remarks>
/// <param name="total">How much there is.</param>
/// <param name="floor">What an address may have however little is free.</param>
internal sealed class SharedLimit(long total, long floor)
{
    /// <summary>The part of what is free that an address may hold: one in so many.</summary>
    public const int Part = 4;

    private readonly Lock _lock = new();
    private long _used;

    /// <summary>What all hold together.</summary>
    public long Used => Volatile.Read(ref _used);

    /// <summary>Takes an amount for an address if its part allows it.</summary>
    /// <param name="held">What the address holds; this limit's alone to change.</param>
    /// <param name="amount">How much more.</param>
    /// <param name="part">One in so many of what is free; 0 for a caller whose address is not counted.</param>
    public bool TryTake(ref long held, long amount, int part = Part)
    {
        lock (_lock)
        {
            var free = total - _used;
            if (amount > free || (part != 0 && held + amount > Math.Max(floor, free / part)))
            {
                return false;
            }

            _used += amount;
            held += amount;
            return true;
        }
    }

    /// <summary>Gives back what was taken.</summary>
    public void Return(ref long held, long amount)
    {
        lock (_lock)
        {
            _used -= amount;
            held -= amount;
        }
    }
}
