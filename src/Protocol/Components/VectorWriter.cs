using System.Buffers;
using System.Buffers.Binary;

namespace Marmot.Protocol.Components;

/// <summary>Writes MLS variable-length vectors (RFC 9420, 2.1.2), lengths in the shortest form.</summary>
internal sealed class VectorWriter
{
    private const int MaxLength = (1 << 30) - 1;

    private readonly ArrayBufferWriter<byte> _output = new(128);

    public ReadOnlySpan<byte> Written => _output.WrittenSpan;

    public byte[] ToArray() => _output.WrittenSpan.ToArray();

    public VectorWriter Fixed(ReadOnlySpan<byte> bytes)
    {
        _output.Write(bytes);
        return this;
    }

    public VectorWriter UInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(_output.GetSpan(sizeof(ushort)), value);
        _output.Advance(sizeof(ushort));
        return this;
    }

    public VectorWriter UInt32(uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_output.GetSpan(sizeof(uint)), value);
        _output.Advance(sizeof(uint));
        return this;
    }

    public VectorWriter UInt64(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(_output.GetSpan(sizeof(ulong)), value);
        _output.Advance(sizeof(ulong));
        return this;
    }

    public VectorWriter Text(string text) => Vector(System.Text.Encoding.UTF8.GetBytes(text));

    public VectorWriter Vector(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes.Length, MaxLength, nameof(bytes));
        if (bytes.Length < 1 << 6)
        {
            _output.GetSpan(1)[0] = (byte)bytes.Length;
            _output.Advance(1);
        }
        else if (bytes.Length < 1 << 14)
        {
            UInt16((ushort)(0x4000 | bytes.Length));
        }
        else
        {
            UInt32(0x8000_0000 | (uint)bytes.Length);
        }

        return Fixed(bytes);
    }
}
