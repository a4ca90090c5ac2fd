using System.Buffers;

namespace Marmot.Protocol.Encoding;

/// <summary>Lower-case hex, the only form NIP-01 lets stand for ids, keys and signatures.</summary>
public static class Hex
{
    private static readonly SearchValues<byte> LowerDigits = SearchValues.Create("0123456789abcdef"u8);

    private static readonly SearchValues<byte> AnyDigits = SearchValues.Create("0123456789abcdefABCDEF"u8);

    /// <summary>True for an even, non-zero number of hex digits in either case (NIP-77 payloads).</summary>
    public static bool IsAnyCase(ReadOnlySpan<byte> utf8) =>
        utf8.Length > 0 && (utf8.Length & 1) == 0 && !utf8.ContainsAnyExcept(AnyDigits);

    /// <summary>True for exactly <paramref name="length"/> lower-case hex digits.</summary>
    public static bool IsLower(ReadOnlySpan<byte> utf8, int length) => utf8.Length == length && !utf8.ContainsAnyExcept(LowerDigits);

    /// <summary>Decodes lower-case hex into <paramref name="destination"/>, which must be exactly half as long.</summary>
    /// <returns>False on any other character, upper case included, or on a wrong length; the destination is then undefined.</returns>
    public static bool TryDecodeLower(ReadOnlySpan<byte> utf8, Span<byte> destination) =>
        utf8.Length == destination.Length * 2
        && !utf8.ContainsAnyExcept(LowerDigits)
        && Convert.FromHexString(utf8, destination, out _, out _) == OperationStatus.Done;

    /// <summary>Writes lower-case hex as UTF-8; <paramref name="destination"/> must hold twice the source.</summary>
    public static void EncodeLower(ReadOnlySpan<byte> source, Span<byte> destination) =>
        Convert.TryToHexStringLower(source, destination, out _);
}
