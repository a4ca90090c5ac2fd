using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Negentropy;

/// <summary>One record of a set that is reconciled: an event's time and id (NIP-77).</summary>
/// <param name="CreatedAt">Unix seconds, at least 0.</param>
/// <param name="Id">The event's id.</param>
public readonly record struct NegentropyItem(long CreatedAt, Bytes32 Id) : IComparable<NegentropyItem>
{
    /// <summary>Oldest first, equal times by id.</summary>
    public int CompareTo(NegentropyItem other) => CreatedAt != other.CreatedAt ? CreatedAt.CompareTo(other.CreatedAt) : Id.CompareTo(other.Id);

    /// <summary>By time, then id.</summary>
    public static bool operator <(NegentropyItem left, NegentropyItem right) => left.CompareTo(right) < 0;

    /// <summary>By time, then id.</summary>
    public static bool operator >(NegentropyItem left, NegentropyItem right) => left.CompareTo(right) > 0;

    /// <summary>By time, then id.</summary>
    public static bool operator <=(NegentropyItem left, NegentropyItem right) => left.CompareTo(right) <= 0;

    /// <summary>By time, then id.</summary>
    public static bool operator >=(NegentropyItem left, NegentropyItem right) => left.CompareTo(right) >= 0;
}

/// <summary>One side's records in order, 40 bytes each; immutable and thread-safe.</summary>
public sealed class NegentropySet
{
    /// <summary>Length of a fingerprint in bytes: the first half of a SHA-256.</summary>
    internal const int FingerprintSize = 16;

    private readonly NegentropyItem[] _items;

    /// <summary>Sorts the records and drops repeated ones.</summary>
    /// <param name="items">In any order.</param>
    public NegentropySet(IEnumerable<NegentropyItem> items)
    {
        _items = [.. items];
        Array.Sort(_items);
        var kept = 0;
        for (var i = 0; i < _items.Length; i++)
        {
            if (i == 0 || _items[i] != _items[kept - 1])
            {
                _items[kept++] = _items[i];
            }
        }

        Array.Resize(ref _items, kept);
    }

    /// <summary>How many records.</summary>
    public int Count => _items.Length;

    internal ref readonly NegentropyItem this[int index] => ref _items[index];

    /// <summary>The first record at or after a bound, from <paramref name="from"/> on.</summary>
    internal int FindLowerBound(int from, in NegentropyBound bound)
    {
        int low = from, high = _items.Length;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (bound.IsAfter(_items[middle]))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>Sum of the ids as little-endian numbers modulo 2^256, followed by their count as a varint, hashed.</summary>
    internal void WriteFingerprint(int lower, int upper, Span<byte> destination)
    {
        ulong a = 0, b = 0, c = 0, d = 0;
        for (var i = lower; i < upper; i++)
        {
            var id = _items[i].Id.Span;
            var sum = (UInt128)a + BinaryPrimitives.ReadUInt64LittleEndian(id);
            a = (ulong)sum;
            sum = (sum >> 64) + b + BinaryPrimitives.ReadUInt64LittleEndian(id[8..]);
            b = (ulong)sum;
            sum = (sum >> 64) + c + BinaryPrimitives.ReadUInt64LittleEndian(id[16..]);
            c = (ulong)sum;
            d = unchecked((ulong)(sum >> 64) + d + BinaryPrimitives.ReadUInt64LittleEndian(id[24..]));
        }

        Span<byte> input = stackalloc byte[Bytes32.Size + NegentropyCodec.MaxVarintSize];
        BinaryPrimitives.WriteUInt64LittleEndian(input, a);
        BinaryPrimitives.WriteUInt64LittleEndian(input[8..], b);
        BinaryPrimitives.WriteUInt64LittleEndian(input[16..], c);
        BinaryPrimitives.WriteUInt64LittleEndian(input[24..], d);
        var size = Bytes32.Size + NegentropyCodec.WriteVarint(input[Bytes32.Size..], (ulong)(upper - lower));
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(input[..size], hash);
        hash[..FingerprintSize].CopyTo(destination);
    }
}
