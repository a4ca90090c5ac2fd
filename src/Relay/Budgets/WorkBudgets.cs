using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Hosting.Callers;

namespace Marmot.Relay.Budgets;

/// <summary>Token buckets of work for many keys in fixed memory: a key's hash chooses its bucket, and strangers that meet in one share it.</summary>
/// <remarks>The hash is salted anew each day, so that nothing kept here says who came. Thread-safe.</remarks>
internal sealed class WorkBudgets
{
    private const int InDebt = 10;
    private const int Slots = 1 << 16; // 16 bytes each: 1 MiB
    private const int MaxKey = 48; // bytes
    private static readonly TimeSpan SaltLifetime = TimeSpan.FromDays(1);
    private readonly Lock _lock = new();
    private readonly TimeProvider _clock;
    private readonly double _perSecond;
    private readonly double _burst;
    private readonly TokenBucket[] _slots;
    private readonly byte[] _salt = new byte[16];
    private long _saltedAt;

    /// <param name="clock">The clock.</param>
    /// <param name="perSecond">Units a second; 0 for no limit, which takes no memory either.</param>
    /// <param name="burst">How many seconds' worth may be used at once.</param>
    public WorkBudgets(TimeProvider clock, int perSecond, TimeSpan burst)
    {
        _clock = clock;
        _perSecond = perSecond;
        _burst = perSecond * burst.TotalSeconds;
        _slots = perSecond > 0 ? new TokenBucket[Slots] : [];
        Salt();
    }

    /// <summary>Takes units if there are any left at all; a piece of work may so end in debt, which the next one waits for.</summary>
    public bool TryTake(ReadOnlySpan<byte> key, double units)
    {
        if (_perSecond == 0)
        {
            return true;
        }

        lock (_lock)
        {
            ref var slot = ref Refill(key);
            if (slot.Left <= 0)
            {
                return false;
            }

            slot.Left -= units;
            return true;
        }
    }

    /// <summary>Takes units whatever is left: the work is done. In debt they count tenfold, so that a key that goes on is soon read at the lowest rate; the
    /// debt ends at as much as a full bucket holds.</summary>
    /// <returns>How long it takes until something is left; zero when there is something now.</returns>
    public TimeSpan Charge(ReadOnlySpan<byte> key, double units)
    {
        if (_perSecond == 0)
        {
            return TimeSpan.Zero;
        }

        lock (_lock)
        {
            ref var slot = ref Refill(key);
            slot.Left = Math.Max(-_burst, slot.Left - (slot.Left > 0 ? units : units * InDebt));
            return slot.Left > 0 ? TimeSpan.Zero : TimeSpan.FromSeconds((1 - slot.Left) / _perSecond);
        }
    }

    private ref TokenBucket Refill(ReadOnlySpan<byte> key)
    {
        var now = _clock.GetTimestamp();
        if (_clock.GetElapsedTime(_saltedAt, now) >= SaltLifetime)
        {
            Salt();
        }

        Span<byte> input = stackalloc byte[16 + MaxKey];
        _salt.CopyTo(input);
        key = key[..Math.Min(key.Length, MaxKey)];
        key.CopyTo(input[16..]);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(input[..(16 + key.Length)], hash);
        ref var slot = ref _slots[BinaryPrimitives.ReadUInt32LittleEndian(hash) % Slots];
        slot.Refill(_clock, _perSecond, _burst);
        return ref slot;
    }

    private void Salt()
    {
        RandomNumberGenerator.Fill(_salt);
        Array.Clear(_slots);
        _saltedAt = _clock.GetTimestamp();
    }
}
