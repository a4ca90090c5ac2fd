using System.Security.Cryptography;
using Marmot.Hosting;
using Marmot.Protocol.Encoding;
using Marmot.Platform.Native;

namespace Marmot.NotifyServer.Triggers;

/// <summary>One rate: what an admission costs, and how many may come at once.</summary>
/// <param name="Interval">Time one admission costs; zero switches the rate off.</param>
/// <param name="Burst">Admissions that may come at once, at least one.</param>
internal readonly record struct Rate(TimeSpan Interval, int Burst)
{
    public static Rate Off => new(TimeSpan.Zero, 1);

    /// <summary>So many in a period, of which a share may come at once.</summary>
    public static Rate Per(TimeSpan period, int count, int burst) => new(period / count, Math.Max(1, burst));
}

/// <summary>Rate limits for each of very many keys in a fixed table (generic cell rate algorithm, one time stamp for each key and rate).</summary>
/// <remarks>A key's slot is chosen by a hash under a secret of this process, so nobody can aim at another key's slot. When a set of slots is full, the
/// entry with the least debt leaves: a flood of fresh keys displaces other fresh keys, not the device that is being held back, and a
/// new honest key is always admitted. 16 bytes an entry and 8 for each rate, nothing allocated later. Thread-safe: one lock for each stripe of sets.</remarks>
internal sealed class KeyedLimiter
{
    private const int Ways = 8;
    private const int Stripes = 64;

    private readonly (ulong Low, ulong High)[] _keys;
    private readonly long[] _due; // for each entry one time stamp a rate
    private readonly Lock[] _locks = new Lock[Stripes];
    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(Sodium.ShortHashSize);
    private readonly int _rateCount;
    private readonly TimeProvider _time;
    private (long Interval, long Tolerance)[] _rates;

    /// <param name="capacity">Entries, rounded up to a multiple of the set size.</param>
    /// <param name="time">The clock.</param>
    /// <param name="rates">All must admit.</param>
    public KeyedLimiter(int capacity, TimeProvider time, params ReadOnlySpan<Rate> rates)
    {
        var entries = (capacity + Ways - 1) / Ways * Ways;
        _keys = new (ulong, ulong)[entries];
        _rateCount = rates.Length;
        _due = new long[entries * rates.Length];
        _rates = Convert(rates);
        _time = time;
        for (var i = 0; i < Stripes; i++)
        {
            _locks[i] = new Lock();
        }
    }

    public int Capacity => _keys.Length;

    /// <summary>Bytes of both tables.</summary>
    public long TableBytes => ((long)_keys.Length * 16) + ((long)_due.Length * sizeof(long));

    /// <summary>Other rates in the same places; debts stay.</summary>
    public void SetRates(params ReadOnlySpan<Rate> rates)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(rates.Length, _rateCount, nameof(rates));
        Volatile.Write(ref _rates, Convert(rates));
    }

    /// <summary>Charges one admission; false when the key has used up a rate.</summary>
    public bool TryAdmit(in Bytes32 key) => TryAdmit(key, out _, out _);

    /// <summary>Charges one admission on every rate or on none.</summary>
    /// <param name="key">The key.</param>
    /// <param name="refusedBy">Place of the rate that is used up; -1 when admitted.</param>
    /// <param name="ahead">How far this admission is before its turn by the first rate; zero when it is due, or that rate is off.</param>
    public bool TryAdmit(in Bytes32 key, out int refusedBy, out TimeSpan ahead)
    {
        ahead = TimeSpan.Zero;
        var (low, high) = Hash(key);
        var now = _time.GetUptime().Ticks;
        var rates = Volatile.Read(ref _rates);
        var set = (int)(low % (ulong)(_keys.Length / Ways));
        lock (_locks[set % Stripes])
        {
            var due = Find(set, low, high, now);
            for (refusedBy = 0; refusedBy < rates.Length; refusedBy++)
            {
                if (due[refusedBy] - now > rates[refusedBy].Tolerance)
                {
                    return false;
                }
            }

            ahead = rates[0].Interval == 0 ? TimeSpan.Zero : TimeSpan.FromTicks(Math.Max(0, due[0] - now));
            for (var i = 0; i < rates.Length; i++)
            {
                due[i] = Math.Max(due[i], now) + rates[i].Interval;
            }
        }

        refusedBy = -1;
        return true;
    }

    /// <summary>Gives one admission back, when what it was for was not done.</summary>
    public void Refund(in Bytes32 key)
    {
        var (low, high) = Hash(key);
        var rates = Volatile.Read(ref _rates);
        var set = (int)(low % (ulong)(_keys.Length / Ways));
        lock (_locks[set % Stripes])
        {
            for (var entry = set * Ways; entry < (set + 1) * Ways; entry++)
            {
                if (_keys[entry] != (low, high))
                {
                    continue;
                }

                for (var i = 0; i < rates.Length; i++)
                {
                    _due[(entry * _rateCount) + i] -= rates[i].Interval;
                }

                return;
            }
        }
    }

    private Span<long> Find(int set, ulong low, ulong high, long now)
    {
        var least = set * Ways;
        var leastDebt = long.MaxValue;
        for (var entry = set * Ways; entry < (set + 1) * Ways; entry++)
        {
            var due = _due.AsSpan(entry * _rateCount, _rateCount);
            if (_keys[entry] == (low, high))
            {
                return due;
            }

            var debt = long.MinValue;
            foreach (var one in due)
            {
                debt = Math.Max(debt, one);
            }

            if (debt < leastDebt)
            {
                (least, leastDebt) = (entry, debt);
            }
        }

        _keys[least] = (low, high);
        var fresh = _due.AsSpan(least * _rateCount, _rateCount);
        fresh.Fill(now);
        return fresh;
    }

    private (ulong Low, ulong High) Hash(in Bytes32 key)
    {
        Span<byte> digest = stackalloc byte[Sodium.ShortHashSize];
        Sodium.ShortHash(_secret, key.Span, digest);
        return (BitConverter.ToUInt64(digest), BitConverter.ToUInt64(digest[8..]));
    }

    private static (long Interval, long Tolerance)[] Convert(ReadOnlySpan<Rate> rates)
    {
        var converted = new (long, long)[rates.Length];
        for (var i = 0; i < rates.Length; i++)
        {
            var interval = rates[i].Interval.Ticks;
            converted[i] = (interval, interval == 0 ? long.MaxValue : interval * Math.Max(0, rates[i].Burst - 1));
        }

        return converted;
    }
}
