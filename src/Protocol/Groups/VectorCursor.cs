using System.Buffers.Binary;

namespace Marmot.Protocol.Groups;

/// <summary>Reads MLS variable-length vectors (RFC 9420, 2.1.2) and fixed fields; every failure leaves <see cref="Failed"/> set and gives empty
/// values.</summary>
internal ref struct VectorCursor(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _rest = bytes;

    public bool Failed { get; private set; }

    public readonly bool AtEnd => _rest.IsEmpty;

    public ReadOnlySpan<byte> Take(int length)
    {
        if (Failed || length > _rest.Length)
        {
            Failed = true;
            return default;
        }

        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }

    public ushort TakeUInt16()
    {
        var bytes = Take(sizeof(ushort));
        return Failed ? (ushort)0 : BinaryPrimitives.ReadUInt16BigEndian(bytes);
    }

    /// <summary>A vector of bytes: 1, 2 or 4 bytes of length, the shortest form only.</summary>
    public ReadOnlySpan<byte> TakeVector()
    {
        var first = Take(1);
        if (Failed)
        {
            return default;
        }

        // The top two bits give the size of the length; 11 would be eight bytes, which MLS forbids.
        int form = first[0] >> 6;
        int extra = form switch { 0 => 0, 1 => 1, 2 => 3, _ => -1 };
        if (extra < 0)
        {
            Failed = true;
            return default;
        }

        int length = first[0] & 0x3F;
        foreach (byte next in Take(extra))
        {
            length = (length << 8) | next;
        }

        // RFC 9420, 2.1.2: a length in more bytes than needed MUST be refused.
        Failed |= (form == 1 && length < 1 << 6) || (form == 2 && length < 1 << 14);
        return Take(length);
    }

    /// <summary>A vector that is absent (empty) or exactly so long.</summary>
    public byte[]? TakeOptional(int length)
    {
        var bytes = TakeVector();
        Failed |= bytes.Length != 0 && bytes.Length != length;
        return Failed || bytes.IsEmpty ? null : bytes.ToArray();
    }

    /// <summary>Text behind a length already read; invalid UTF-8 fails.</summary>
    public string Text(ReadOnlySpan<byte> utf8)
    {
        Failed |= !System.Text.Unicode.Utf8.IsValid(utf8);
        return Failed ? string.Empty : System.Text.Encoding.UTF8.GetString(utf8);
    }
}
