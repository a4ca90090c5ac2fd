using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using Marmot.Hosting.Callers;

namespace Marmot.Blossom.Policies;

/// <summary>Token buckets by caller. Callers are kept in memory only, as a keyed hash under a secret of this process.</summary>
/// <remarks>Bounded: above <see cref="MaxCallers"/> the full buckets are dropped, which changes nothing for their callers.</remarks>
internal sealed class AddressBudget(TimeProvider time, double capacity, double perSecond)
{
    private const int MaxCallers = 100_000;
    private readonly byte[] _salt = RandomNumberGenerator.GetBytes(32);
    private readonly ConcurrentDictionary<ulong, Bucket> _buckets = new();

    /// <summary>Takes <paramref name="amount"/>; false with the time to wait when the bucket does not hold it. A rate of 0 limits nothing.</summary>
    public bool TryTake(ulong caller, double amount, out TimeSpan wait)
    {
        wait = TimeSpan.Zero;
        if (perSecond <= 0)
        {
            return true;
        }

        var bucket = _buckets.GetOrAdd(caller, static _ => new Bucket());
        lock (bucket)
        {
            bucket.Tokens.Refill(time, perSecond, capacity);
            if (bucket.Tokens.Left < Math.Min(amount, capacity))
            {
                wait = TimeSpan.FromSeconds(Math.Ceiling((Math.Min(amount, capacity) - bucket.Tokens.Left) / perSecond));
                return false;
            }

            bucket.Tokens.Left -= amount;
        }

        if (_buckets.Count > MaxCallers)
        {
            DropFull();
        }

        return true;
    }

    /// <summary>The caller's bucket: IPv4 by address, IPv6 by /56, what one household gets.</summary>
    public ulong CallerOf(IPAddress address)
    {
        Span<byte> prefix = stackalloc byte[AddressPrefix.Size];
        AddressPrefix.Of(address).Write(prefix);
        return CallerOf(prefix);
    }

    public ulong CallerOf(ReadOnlySpan<byte> identity)
    {
        Span<byte> tag = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_salt, identity, tag);
        return BinaryPrimitives.ReadUInt64LittleEndian(tag);
    }

    private void DropFull()
    {
        foreach (var (caller, bucket) in _buckets)
        {
            lock (bucket)
            {
                bucket.Tokens.Refill(time, perSecond, capacity);
                if (bucket.Tokens.Left >= capacity)
                {
                    _buckets.TryRemove(caller, out _);
                }
            }
        }
    }

    private sealed class Bucket
    {
        public TokenBucket Tokens; // a field: a structure that changes in place
    }
}
