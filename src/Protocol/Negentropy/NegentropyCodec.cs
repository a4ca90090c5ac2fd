using System.Buffers;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Negentropy;

/// <summary>Where a range ends: a time and the first bytes of an id, zeros after them; exclusive.</summary>
internal readonly struct NegentropyBound
{
    /// <summary>Beyond every time.</summary>
    public const long Infinity = long.MaxValue;

    private readonly Bytes32 _prefix;

    public NegentropyBound(long time, ReadOnlySpan<byte> idPrefix)
    {
        Time = time;
        PrefixLength = idPrefix.Length;
        Span<byte> padded = stackalloc byte[Bytes32.Size];
        padded.Clear();
        idPrefix.CopyTo(padded);
        _prefix = new Bytes32(padded);
    }

    public static NegentropyBound End => new(Infinity, default);

    public long Time { get; }

    public int PrefixLength { get; }

    public ReadOnlySpan<byte> CopyPrefix(Span<byte> destination)
    {
        _prefix.Span[..PrefixLength].CopyTo(destination);
        return destination[..PrefixLength];
    }

    /// <summary>True when the record lies below this bound.</summary>
    public bool IsAfter(in NegentropyItem item) => item.CreatedAt != Time ? item.CreatedAt < Time : item.Id < _prefix;

    /// <summary>The shortest bound that lies after one record and not after the next.</summary>
    public static NegentropyBound Between(in NegentropyItem previous, in NegentropyItem next)
    {
        if (previous.CreatedAt != next.CreatedAt)
        {
            return new NegentropyBound(next.CreatedAt, default);
        }

        var shared = previous.Id.Span.CommonPrefixLength(next.Id.Span);
        return new NegentropyBound(next.CreatedAt, next.Id.Span[..Math.Min(shared + 1, Bytes32.Size)]);
    }
}

/// <summary>Numbers and bounds on the wire: base-128 varints, most significant first, and times as differences within one message.</summary>
internal static class NegentropyCodec
{
    public const int MaxVarintSize = 10;

    public static int WriteVarint(Span<byte> destination, ulong value)
    {
        var size = 1;
        for (var rest = value >> 7; rest != 0; rest >>= 7)
        {
            size++;
        }

        for (var i = size - 1; i >= 0; i--)
        {
            destination[i] = (byte)((value & 0x7F) | (i == size - 1 ? 0u : 0x80u));
            value >>= 7;
        }

        return size;
    }

    public static void WriteVarint(IBufferWriter<byte> output, ulong value) => output.Advance(WriteVarint(output.GetSpan(MaxVarintSize), value));
}

/// <summary>Writes one message; remembers the last time for the differences.</summary>
internal sealed class NegentropyWriter
{
    private readonly ArrayBufferWriter<byte> _output = new(4096);
    private long _lastTime;

    public int Size => _output.WrittenCount;

    public ArrayBufferWriter<byte> Output => _output;

    public void WriteBound(in NegentropyBound bound)
    {
        if (bound.Time == NegentropyBound.Infinity)
        {
            _lastTime = NegentropyBound.Infinity;
            NegentropyCodec.WriteVarint(_output, 0);
        }
        else
        {
            NegentropyCodec.WriteVarint(_output, (ulong)(bound.Time - _lastTime) + 1);
            _lastTime = bound.Time;
        }

        NegentropyCodec.WriteVarint(_output, (ulong)bound.PrefixLength);
        Span<byte> prefix = stackalloc byte[Bytes32.Size];
        _output.Write(bound.CopyPrefix(prefix));
    }

    public void WriteNumber(ulong value) => NegentropyCodec.WriteVarint(_output, value);
}

/// <summary>Reads one message in place.</summary>
internal ref struct NegentropyReader(ReadOnlySpan<byte> message)
{
    private const int MaxNumberSize = 9; // 63 bits

    private ReadOnlySpan<byte> _rest = message;
    private long _lastTime;

    public readonly bool AtEnd => _rest.IsEmpty;

    /// <summary>At most 2^63 - 1.</summary>
    public bool TryReadNumber(out long value)
    {
        ulong number = 0;
        value = 0;
        for (var i = 0; i < _rest.Length && i < MaxNumberSize; i++)
        {
            number = (number << 7) | (uint)(_rest[i] & 0x7F);
            if ((_rest[i] & 0x80) == 0)
            {
                _rest = _rest[(i + 1)..];
                value = (long)number;
                return true;
            }
        }

        return false;
    }

    public bool TryReadBytes(int count, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (_rest.Length < count)
        {
            return false;
        }

        bytes = _rest[..count];
        _rest = _rest[count..];
        return true;
    }

    public bool TryReadBound(out NegentropyBound bound)
    {
        bound = default;
        if (!TryReadNumber(out var time) || !TryReadNumber(out var length) || length > Bytes32.Size || !TryReadBytes((int)length, out var prefix))
        {
            return false;
        }

        // 0 is infinity; after it, and where the sum overflows, everything is.
        time = time == 0 || _lastTime == NegentropyBound.Infinity || time - 1 > NegentropyBound.Infinity - _lastTime
            ? NegentropyBound.Infinity
            : _lastTime + time - 1;
        _lastTime = time;
        bound = new NegentropyBound(time, prefix);
        return true;
    }

}
