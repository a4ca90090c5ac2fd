using System.Buffers.Binary;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Codec;

/// <summary>Reads the TLS presentation language of RFC 9420, 2.1 from a span. Every length is checked against what is left before it is used; throws
/// <see cref="MlsException"/>.</summary>
public ref struct TlsReader
{
    private ReadOnlySpan<byte> _rest;

    /// <summary>Starts at the first byte of <paramref name="bytes"/>.</summary>
    public TlsReader(ReadOnlySpan<byte> bytes) => _rest = bytes;

    /// <summary>Bytes not read yet.</summary>
    public readonly int Remaining => _rest.Length;

    /// <summary>The bytes not read yet.</summary>
    public readonly ReadOnlySpan<byte> Rest => _rest;

    /// <summary>Takes exactly <paramref name="count"/> bytes.</summary>
    public ReadOnlySpan<byte> ReadFixed(int count)
    {
        if (count > _rest.Length) throw new MlsException(MlsError.Malformed, "truncated");
        var taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }

    /// <summary>uint8.</summary>
    public byte ReadByte() => ReadFixed(1)[0];

    /// <summary>uint16, big-endian.</summary>
    public ushort ReadUInt16() => BinaryPrimitives.ReadUInt16BigEndian(ReadFixed(2));

    /// <summary>uint32, big-endian.</summary>
    public uint ReadUInt32() => BinaryPrimitives.ReadUInt32BigEndian(ReadFixed(4));

    /// <summary>uint64, big-endian.</summary>
    public ulong ReadUInt64() => BinaryPrimitives.ReadUInt64BigEndian(ReadFixed(8));

    /// <summary>A length header: 1, 2 or 4 bytes by its two top bits; must be minimal; prefix 11 is refused (RFC 9420, 2.1.2).</summary>
    public int ReadVarint()
    {
        var first = ReadByte();
        var value = first & 0x3f;
        switch (first >> 6)
        {
            case 0:
                return value;
            case 1:
                value = (value << 8) | ReadByte();
                MlsException.ThrowIf(value < 64, MlsError.Malformed);
                return value;
            case 2:
                var tail = ReadFixed(3);
                value = (value << 24) | (tail[0] << 16) | (tail[1] << 8) | tail[2];
                MlsException.ThrowIf(value < 16384, MlsError.Malformed);
                return value;
            default:
                throw new MlsException(MlsError.Malformed, "length prefix 11");
        }
    }

    /// <summary>opaque&lt;V&gt; as a span over the input.</summary>
    public ReadOnlySpan<byte> ReadOpaque() => ReadFixed(ReadVarint());

    /// <summary>opaque&lt;V&gt; as a new array.</summary>
    public byte[] ReadBytes() => ReadOpaque().ToArray();

    /// <summary>opaque&lt;V&gt; as a secret with an owner.</summary>
    internal SecretBytes ReadSecret() => SecretBytes.Copy(ReadOpaque());

    /// <summary>A stored secret that must be as long as this.</summary>
    internal SecretBytes ReadSecret(int length)
    {
        var bytes = ReadOpaque();
        MlsException.ThrowIf(bytes.Length != length, MlsError.BadState);
        return SecretBytes.Copy(bytes);
    }

    /// <summary>A reader over the content of a vector T&lt;V&gt;.</summary>
    public TlsReader ReadVector() => new(ReadOpaque());

    /// <summary>The presence byte of optional&lt;T&gt;: 0 or 1, nothing else.</summary>
    public bool ReadPresence() => ReadByte() switch { 0 => false, 1 => true, _ => throw new MlsException(MlsError.Malformed, "presence") };

    /// <summary>A vector of uint16.</summary>
    public ushort[] ReadUInt16Vector() => ReadUInt16Vector(int.MaxValue);

    /// <summary>A vector of at most <paramref name="max"/> uint16.</summary>
    internal ushort[] ReadUInt16Vector(int max)
    {
        var body = ReadVector();
        MlsException.ThrowIf(body.Remaining / 2 > max, MlsError.TooLarge);
        MlsException.ThrowIf(body.Remaining % 2 != 0, MlsError.Malformed);
        var values = new ushort[body.Remaining / 2];
        for (var i = 0; i < values.Length; i++) values[i] = body.ReadUInt16();
        return values;
    }

    /// <summary>A vector of uint32.</summary>
    public uint[] ReadUInt32Vector()
    {
        var body = ReadVector();
        MlsException.ThrowIf(body.Remaining % 4 != 0, MlsError.Malformed);
        var values = new uint[body.Remaining / 4];
        for (var i = 0; i < values.Length; i++) values[i] = body.ReadUInt32();
        return values;
    }

    /// <summary>A vector of structures, at most <paramref name="max"/> of them: short ones must not take many times their bytes in memory.</summary>
    internal T[] ReadList<T>(ReadElement<T> read, int max)
    {
        var body = ReadVector();
        var list = new List<T>();
        while (body.Remaining > 0)
        {
            MlsException.ThrowIf(list.Count == max, MlsError.TooLarge);
            list.Add(read(ref body));
        }
        return [.. list];
    }

    /// <summary>Refuses trailing bytes.</summary>
    public readonly void ExpectEnd()
    {
        if (_rest.Length != 0) throw new MlsException(MlsError.Malformed, "trailing bytes");
    }
}

/// <summary>Reads one structure of a vector.</summary>
internal delegate T ReadElement<T>(ref TlsReader reader);

/// <summary>How many elements a vector may have. RFC 9420 knows no bounds; these lie far above what a group of a million members needs.</summary>
internal static class MaxCount
{
    public const int Extensions = 1024;
    public const int CapabilityTypes = 1024;
    public const int Proposals = 65535;
    public const int PreSharedKeys = 65535; // uint16 count (RFC 9420, 8.4)
    public const int PathNodes = 1024;
    public const int Leaves = 1 << 20;
}
