using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Codec;

/// <summary>A value with a wire form.</summary>
public interface IWireValue
{
    /// <summary>Appends the wire form.</summary>
    void Write(TlsWriter writer);
}

/// <summary>Writes the TLS presentation language of RFC 9420, 2.1 into a growing buffer of its own. Not thread-safe. Outgrown buffers are wiped, because
/// secrets pass through.</summary>
public sealed class TlsWriter
{
    private byte[] _buffer;
    private readonly bool _pinned;

    /// <summary>Bytes written.</summary>
    public int Length { get; private set; }

    /// <summary>An empty writer.</summary>
    public TlsWriter(int capacity = 256) : this(capacity, pinned: false) { }

    /// <summary>A writer for secrets: its buffers are never moved, so that <see cref="TakeAndWipe"/> leaves nothing behind.</summary>
    internal static TlsWriter ForSecrets(int capacity) => new(capacity, pinned: true);

    private TlsWriter(int capacity, bool pinned) => (_buffer, _pinned) = (GC.AllocateUninitializedArray<byte>(capacity, pinned), pinned);

    /// <summary>The bytes written, valid until the next write.</summary>
    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    /// <summary>The wire form of one value; a capacity that suffices spares copies.</summary>
    public static byte[] Encode(IWireValue value, int capacity = 256)
    {
        var writer = new TlsWriter(capacity);
        value.Write(writer);
        return writer.ToArray();
    }

    /// <summary>A copy of what was written.</summary>
    public byte[] ToArray() => Written.ToArray();

    /// <summary>The bytes, and wipes the buffer: for secrets.</summary>
    public byte[] TakeAndWipe()
    {
        var bytes = ToArray();
        Wipe();
        return bytes;
    }

    internal void Wipe()
    {
        CryptographicOperations.ZeroMemory(_buffer);
        Length = 0;
    }

    private Span<byte> Reserve(int count)
    {
        if (Length + count > _buffer.Length)
        {
            var larger = GC.AllocateUninitializedArray<byte>(Math.Max(_buffer.Length * 2, Length + count), _pinned);
            Written.CopyTo(larger);
            CryptographicOperations.ZeroMemory(_buffer);
            _buffer = larger;
        }
        var span = _buffer.AsSpan(Length, count);
        Length += count;
        return span;
    }

    /// <summary>Bytes as they are.</summary>
    public void WriteFixed(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Reserve(bytes.Length));

    /// <summary>uint8.</summary>
    public void WriteByte(byte value) => Reserve(1)[0] = value;

    /// <summary>uint16, big-endian.</summary>
    public void WriteUInt16(ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Reserve(2), value);

    /// <summary>uint32, big-endian.</summary>
    public void WriteUInt32(uint value) => BinaryPrimitives.WriteUInt32BigEndian(Reserve(4), value);

    /// <summary>uint64, big-endian.</summary>
    public void WriteUInt64(ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Reserve(8), value);

    /// <summary>A minimal length header (RFC 9420, 2.1.2); at most 2^30 - 1.</summary>
    public void WriteVarint(int value)
    {
        PutVarint(Reserve(VarintSize(value)), value);
    }

    /// <summary>Bytes that <see cref="WriteOpaque"/> writes for this many.</summary>
    internal static int OpaqueSize(int length) => VarintSize(length) + length;

    /// <summary>Puts a minimal length header at the start of <paramref name="into"/>; gives its size.</summary>
    internal static int PutVarint(Span<byte> into, int value)
    {
        switch (VarintSize(value))
        {
            case 1: into[0] = (byte)value; return 1;
            case 2: BinaryPrimitives.WriteUInt16BigEndian(into, (ushort)(value | 0x4000)); return 2;
            default: BinaryPrimitives.WriteUInt32BigEndian(into, (uint)value | 0x8000_0000u); return 4;
        }
    }

    private static int VarintSize(int value) => value switch
    {
        < 0 or >= 1 << 30 => throw new MlsException(MlsError.TooLarge),
        < 64 => 1,
        < 16384 => 2,
        _ => 4,
    };

    /// <summary>opaque&lt;V&gt;.</summary>
    public void WriteOpaque(ReadOnlySpan<byte> bytes)
    {
        WriteVarint(bytes.Length);
        WriteFixed(bytes);
    }

    /// <summary>opaque&lt;V&gt;; empty for a secret that was wiped or never was.</summary>
    internal void WriteSecret(SecretBytes? secret) => WriteOpaque(secret is null || secret.IsWiped ? default : secret.Span);

    /// <summary>Opens a vector whose length is known at <see cref="EndVector"/>.</summary>
    public int BeginVector()
    {
        Reserve(1);
        return Length;
    }

    /// <summary>Closes the vector opened at <paramref name="start"/>; the content moves up when the header needs more than a byte.</summary>
    public void EndVector(int start)
    {
        var length = Length - start;
        var size = VarintSize(length);
        if (size > 1)
        {
            Reserve(size - 1);
            _buffer.AsSpan(start, length).CopyTo(_buffer.AsSpan(start + size - 1));
        }
        var end = Length;
        Length = start - 1;
        WriteVarint(length);
        Length = end;
    }

    /// <summary>T&lt;V&gt;.</summary>
    public void WriteVector<T>(IEnumerable<T> values) where T : IWireValue
    {
        var start = BeginVector();
        foreach (var value in values) value.Write(this);
        EndVector(start);
    }

    /// <summary>uint16 x&lt;V&gt;.</summary>
    public void WriteUInt16Vector(ReadOnlySpan<ushort> values)
    {
        WriteVarint(values.Length * 2);
        foreach (var value in values) WriteUInt16(value);
    }

    /// <summary>uint32 x&lt;V&gt;.</summary>
    public void WriteUInt32Vector(ReadOnlySpan<uint> values)
    {
        WriteVarint(values.Length * 4);
        foreach (var value in values) WriteUInt32(value);
    }

    /// <summary>optional&lt;T&gt;.</summary>
    public void WriteOptional(IWireValue? value)
    {
        WriteByte(value is null ? (byte)0 : (byte)1);
        value?.Write(this);
    }
}
