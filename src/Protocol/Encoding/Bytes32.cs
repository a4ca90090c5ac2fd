using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Marmot.Protocol.Encoding;

/// <summary>Thirty-two bytes by value: an event id, an x-only public key, a SHA-256 (NIP-01, BIP-340).</summary>
/// <remarks>Compares as unsigned bytes, first byte first, which is the order of the lower-case hex form. Not for secrets: it is copied freely and never
/// wiped.</remarks>
[InlineArray(Size)]
public struct Bytes32 : IEquatable<Bytes32>, IComparable<Bytes32>
{
    /// <summary>Length in bytes.</summary>
    public const int Size = 32;

    /// <summary>Length of the lower-case hex form in characters.</summary>
    public const int HexSize = 64;

    private byte _first;

    /// <summary>Copies 32 bytes.</summary>
    /// <exception cref="ArgumentException">The span is not 32 bytes long.</exception>
    public Bytes32(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size)
        {
            throw new ArgumentException("expected 32 bytes", nameof(bytes));
        }

        bytes.CopyTo(MemoryMarshal.CreateSpan(ref _first, Size));
    }

    /// <summary>The bytes, in place; valid while the variable lives.</summary>
    [UnscopedRef]
    public readonly ReadOnlySpan<byte> Span => MemoryMarshal.CreateReadOnlySpan(in _first, Size);

    /// <summary>True when all bytes are zero.</summary>
    public readonly bool IsZero => !Span.ContainsAnyExcept((byte)0);

    /// <summary>Reads 64 lower-case hex digits as UTF-8; upper case is refused, as NIP-01 wants.</summary>
    public static bool TryParseHex(ReadOnlySpan<byte> utf8, out Bytes32 value)
    {
        value = default;
        return utf8.Length == HexSize && Hex.TryDecodeLower(utf8, MemoryMarshal.CreateSpan(ref value._first, Size));
    }

    /// <summary>Reads 64 lower-case hex digits.</summary>
    public static bool TryParseHex(ReadOnlySpan<char> text, out Bytes32 value)
    {
        Span<byte> utf8 = stackalloc byte[HexSize];
        value = default;
        return text.Length == HexSize
            && System.Text.Ascii.FromUtf16(text, utf8, out _) == OperationStatus.Done
            && TryParseHex(utf8, out value);
    }

    /// <summary>Reads 64 lower-case hex digits.</summary>
    /// <exception cref="FormatException">The text is anything else.</exception>
    public static Bytes32 ParseHex(string text) =>
        TryParseHex(text.AsSpan(), out var value) ? value : throw new FormatException("expected 64 lower-case hex digits");

    /// <inheritdoc/>
    public readonly bool Equals(Bytes32 other) => Span.SequenceEqual(other.Span);

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is Bytes32 other && Equals(other);

    /// <summary>Mixes all four words, so that chosen prefixes do not collide by themselves.</summary>
    public override readonly int GetHashCode() => HashCode.Combine(
        BinaryPrimitives.ReadUInt64LittleEndian(Span),
        BinaryPrimitives.ReadUInt64LittleEndian(Span[8..]),
        BinaryPrimitives.ReadUInt64LittleEndian(Span[16..]),
        BinaryPrimitives.ReadUInt64LittleEndian(Span[24..]));

    /// <inheritdoc/>
    public readonly int CompareTo(Bytes32 other) => Span.SequenceCompareTo(other.Span);

    /// <summary>The lower-case hex form.</summary>
    public override readonly string ToString() => Convert.ToHexStringLower(Span);

    /// <summary>Equality by bytes.</summary>
    public static bool operator ==(Bytes32 left, Bytes32 right) => left.Equals(right);

    /// <summary>Inequality by bytes.</summary>
    public static bool operator !=(Bytes32 left, Bytes32 right) => !left.Equals(right);

    /// <summary>Byte order.</summary>
    public static bool operator <(Bytes32 left, Bytes32 right) => left.CompareTo(right) < 0;

    /// <summary>Byte order.</summary>
    public static bool operator >(Bytes32 left, Bytes32 right) => left.CompareTo(right) > 0;

    /// <summary>Byte order.</summary>
    public static bool operator <=(Bytes32 left, Bytes32 right) => left.CompareTo(right) <= 0;

    /// <summary>Byte order.</summary>
    public static bool operator >=(Bytes32 left, Bytes32 right) => left.CompareTo(right) >= 0;
}
