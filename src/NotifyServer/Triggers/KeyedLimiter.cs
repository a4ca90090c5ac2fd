using System.Security.Cryptography;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Triggers;

/// <summary>A rate limit for each of very many keys in a fixed table (generic cell rate algorithm, one time stamp a key).</summary>
/// <remarks>A key's slot is chosen by a hash under a secret of this process, so nobody can aim at another key's slot. When a set of slots is full, the
/// entry with the least debt leaves: a flood of fresh keys displaces other fresh keys, not the device that is being held back, and a
/// new honest key is always admitted. 24 bytes an entry, nothing allocated later. Thread-safe: one lock for each stripe of sets.</remarks>
internal sealed class KeyedLimiter
{
    private const int Ways = 8;
    private const int Stripes = 64;

    private readonly Entry[] _entries;
    private readonly Lock[] _locks = new Lock[Stripes];
    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(32);
    private readonly long _interval;
    private readonly long _tolerance;
    private readonly TimeProvider _time;

    /// <param name="capacity">Entries, rounded up to a multiple of the set size.</param>
    /// <param name="interval">Time one admission costs.</param>
    /// <param name="burst">Admissions that may come at once.</param>
    /// <param name="time">The clock.</param>
    public KeyedLimiter(int capacity, TimeSpan interval, int burst, TimeProvider time)
    {
        _entries = new Entry[(capacity + Ways - 1) / Ways * Ways];
        _interval = interval.Ticks;
        _tolerance = interval.Ticks * Math.Max(0, burst - 1);
        _time = time;
        for (var i = 0; i < Stripes; i++)
        {
            _locks[i] = new Lock();
        }
    }

    public int Capacity => _entries.Length;

    /// <summary>Charges one admission; false when the key has used up its rate.</summary>
    public bool TryAdmit(in Bytes32 key)
    {
        var (low, high) = Hash(key);
        var now = _time.GetUtcNow().UtcTicks;
        var set = (int)(low % (ulong)(_entries.Length / Ways));
        lock (_locks[set % Stripes])
        {
            ref var entry = ref Find(set, low, high, now);
            var due = Math.Max(entry.Due, now);
            if (due - now > _tolerance)
            {
                return false;
            }

            entry = new Entry(low, high, due + _interval);
            return true;
        }
    }

    /// <summary>Gives one admission back, when what it was for was not done.</summary>
    public void Refund(in Bytes32 key)
    {
        var (low, high) = Hash(key);
        var set = (int)(low % (ulong)(_entries.Length / Ways));
        lock (_locks[set % Stripes])
        {
            foreach (ref var entry in _entries.AsSpan(set * Ways, Ways))
            {
                if (entry.Low == low && entry.High == high)
                {
                    entry = entry with { Due = entry.Due - _interval };
                    return;
                }
            }
        }
    }

    private ref Entry Find(int set, ulong low, ulong high, long now)
    {
        var ways = _entries.AsSpan(set * Ways, Ways);
        var least = 0;
        for (var i = 0; i < Ways; i++)
        {
            if (ways[i].Low == low && ways[i].High == high)
            {
                return ref ways[i];
            }

            if (ways[i].Due < ways[least].Due)
            {
                least = i;
            }
        }

        ways[least] = new Entry(low, high, now);
        return ref ways[least];
    }

    private (ulong Low, ulong High) Hash(in Bytes32 key)
    {
        Span<byte> digest = stackalloc byte[32];
        HMACSHA256.HashData(_secret, key.Span, digest);
        return (BitConverter.ToUInt64(digest), BitConverter.ToUInt64(digest[8..]));
    }

    private readonly record struct Entry(ulong Low, ulong High, long Due);
}
