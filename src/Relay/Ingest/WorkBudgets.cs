using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Marmot.Relay.Ingest;

/// <summary>Token buckets of work for many keys in fixed memory: a key's hash chooses its bucket, and strangers that meet in one share it.</summary>
/// <remarks>The hash is salted anew each day, so that nothing kept here says who came. Thread-safe.</remarks>
internal sealed class WorkBudgets
{
    private const int InDebt = 10;
    private const int Slots = 1 << 16; // 16 bytes each: 1 MiB
    private static readonly TimeSpan SaltLifetime = TimeSpan.FromDays(1);
    private readonly Lock _lock = new();
    private readonly TimeProvider _clock;
    private readonly double _perSecond;
    private readonly double _burst;
    private readonly (double Left, long At)[] _slots;
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
        _slots = perSecond > 0 ? new (double, long)[Slots] : [];
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

    /// <summary>Takes units whatever is left: the work is done. In debt they count tenfold, so that who goes on is soon hardly heard at all; the debt ends at as much as a full bucket holds.</summary>
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

    private ref (double Left, long At) Refill(ReadOnlySpan<byte> key)
    {
        var now = _clock.GetTimestamp();
        if (_clock.GetElapsedTime(_saltedAt, now) >= SaltLifetime)
        {
            Salt();
        }

        Span<byte> input = stackalloc byte[64];
        _salt.CopyTo(input);
        key = key[..Math.Min(key.Length, 48)];
        key.CopyTo(input[16..]);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(input[..(16 + key.Length)], hash);
        ref var slot = ref _slots[BinaryPrimitives.ReadUInt32LittleEndian(hash) % Slots];
        slot.Left = slot.At == 0 ? _burst : Math.Min(_burst, slot.Left + (_clock.GetElapsedTime(slot.At, now).TotalSeconds * _perSecond));
        slot.At = now;
        return ref slot;
    }

    private void Salt()
    {
        RandomNumberGenerator.Fill(_salt);
        Array.Clear(_slots);
        _saltedAt = _clock.GetTimestamp();
    }
}

/// <summary>The budgets of the relay: by address prefix for everything a connection makes it do, by group and by recipient for what is stored for them.</summary>
/// <remarks>
/// One unit is about a microsecond of one core. Authors are not counted: group events and gift wraps have a new one each time. A group's
/// budget is taken after the signature is checked, and is larger than what one address may use, so that nobody alone can use it up.
/// </remarks>
internal sealed class RelayBudgets(TimeProvider clock, RelayOptions options)
{
    /// <summary>A signature check.</summary>
    public const int VerificationUnits = 50;

    /// <summary>Bytes parsed, hashed, written and indexed for one unit.</summary>
    public const int BytesPerUnit = 20;

    /// <summary>Taking a connection.</summary>
    public const int HandshakeUnits = 150;

    /// <summary>Breaking the protocol: closing down, and most often the next handshake.</summary>
    public const int ViolationUnits = 2000;

    /// <summary>A request by itself, whatever it finds.</summary>
    public const int RequestUnits = 50;

    /// <summary>Waking up for what has come in, however little it is.</summary>
    private const int ReadUnits = 10;

    /// <summary>Any message by itself: reading it and saying no.</summary>
    private const int UnitsPerMessage = 4;

    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(5);
    private readonly WorkBudgets _prefixes = new(clock, options.WorkPerAddress, Burst);
    private readonly WorkBudgets _targets = new(clock, options.WorkPerTarget, Burst);
    private readonly bool _limitLoopback = options.LimitLoopback;
    private long _strangers;

    /// <summary>IPv4 /32 or IPv6 /56; null where the address is not counted.</summary>
    public byte[]? PrefixOf(IPAddress? address)
    {
        if (address is null || (!_limitLoopback && IPAddress.IsLoopback(address)))
        {
            return null;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        var bytes = address.GetAddressBytes();
        return address.AddressFamily == AddressFamily.InterNetworkV6 ? bytes[..7] : bytes;
    }

    /// <summary>Whose turns at the cores it shares (<see cref="Turns.WorkTurns"/>): its address's, or its own where addresses do not count. Lanes that meet by chance share.</summary>
    public long LaneOf(byte[]? prefix)
    {
        if (prefix is null)
        {
            return -Interlocked.Increment(ref _strangers);
        }

        var hash = new HashCode();
        hash.AddBytes(prefix);
        return (uint)hash.ToHashCode();
    }

    /// <summary>What was read at once.</summary>
    public static double ReadUnitsOf(int messages, long bytes) => ReadUnits + (messages * UnitsPerMessage) + ((double)bytes / BytesPerUnit);

    public static double EventUnits(int bytes) => VerificationUnits + ((double)bytes / BytesPerUnit);

    public bool TryTake(byte[]? prefix, double units) => prefix is null || _prefixes.TryTake(prefix, units);

    /// <summary>For work that is done. Says how long the address has to wait before it has some left again; zero when it has.</summary>
    public TimeSpan Charge(byte[]? prefix, double units) => prefix is null ? TimeSpan.Zero : _prefixes.Charge(prefix, units);

    /// <summary>For an <c>h</c> or <c>p</c> value, by its index key.</summary>
    public bool TryTakeTarget(in Storage.TagKey target, double units)
    {
        Span<byte> key = stackalloc byte[Storage.TagKey.Size];
        target.Write(key);
        return _targets.TryTake(key, units);
    }
}
