using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Protocol.Addresses;

/// <summary>The host of a URL or of a Host header (RFC 3986, 3.2.2): a domain name or an IP address, in the one form in which hosts are compared.</summary>
/// <remarks>
/// The only place where host names are read. Bad input is false, never an exception: empty labels (<c>a..b</c>), broken Punycode
/// (<c>xn--ü</c>), ports over 65535 (<c>foo:99999</c>), IPv6 zones, names that end in a number but are no IPv4 address. Immutable.
/// References: RFC 1123, 2.1 (names), RFC 5891 (internationalised names), RFC 5952 (form of IPv6 addresses).
/// </remarks>
public readonly struct HostName : IEquatable<HostName>
{
    /// <summary>Longest name in ASCII (RFC 1035, 2.3.4, without the final dot).</summary>
    public const int MaxLength = 253;

    private const int MaxLabelLength = 63; // RFC 1035, 2.3.4
    private const string PunycodePrefix = "xn--"; // RFC 5890, 2.3.2.5

    // Underscores are not in RFC 1123, but container networks use them.
    private static readonly SearchValues<char> LabelCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-_");
    private static readonly IdnMapping Idn = new();
    private readonly string? _text;

    private HostName(string text, IPAddress? address)
    {
        _text = text;
        Address = address;
    }

    /// <summary>Lower-case ASCII without a final dot; an IPv6 address in its short form, without brackets. Empty for the default value.</summary>
    public string Text => _text ?? string.Empty;

    /// <summary>Set when the host is an IP address, not a name.</summary>
    public IPAddress? Address { get; }

    /// <summary><c>localhost</c>, a name below it (RFC 6761, 6.3), or an address of the loopback network.</summary>
    public bool IsLoopback =>
        Address is { } address
            ? IPAddress.IsLoopback(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address)
            : Text is "localhost" || Text.EndsWith(".localhost", StringComparison.Ordinal);

    /// <summary>As it stands in a URL or a Host header: an IPv6 address in brackets.</summary>
    public string UrlText => Address?.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{Text}]" : Text;

    /// <summary>The same host.</summary>
    public static bool operator ==(HostName left, HostName right) => left.Equals(right);

    /// <summary>Another host.</summary>
    public static bool operator !=(HostName left, HostName right) => !left.Equals(right);

    /// <summary>Reads a host without a port; an IPv6 address may stand in brackets.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out HostName host)
    {
        host = default;
        if (text.Length is 0 or > MaxLength + 1)
        {
            return false;
        }

        if (text[0] == '[' || text.Contains(':'))
        {
            return TryParseIPv6(text, out host);
        }

        if (!Ascii.IsValid(text))
        {
            return TryMapToAscii(text, out var ascii) && TryParseName(ascii, out host);
        }

        Span<char> lower = stackalloc char[text.Length];
        text.ToLowerInvariant(lower);
        return TryParseName(lower, out host);
    }

    /// <summary>Reads the value of a Host header or the authority of a URL without user information: a host, and a port from 0 to 65535 if one stands
    /// there.</summary>
    public static bool TryParseWithPort(ReadOnlySpan<char> text, out HostName host, out int? port)
    {
        port = null;
        var colon = text.LastIndexOf(':');
        if (colon > text.LastIndexOf(']')) // else inside an IPv6 address, or nowhere
        {
            if (!ushort.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                || (text[0] != '[' && text[..colon].Contains(':')))
            {
                host = default;
                return false;
            }

            port = number;
            text = text[..colon];
        }

        return TryParse(text, out host);
    }

    /// <summary>The host of an absolute URL.</summary>
    public static bool TryFrom(Uri url, out HostName host)
    {
        host = default;
        return url.IsAbsoluteUri
            && !(url.HostNameType == UriHostNameType.IPv6 && url.DnsSafeHost.Contains('%')) // a zone, which Host leaves out
            && TryParse(url.Host, out host);
    }

    /// <summary>Reads an absolute <c>ws</c>, <c>wss</c>, <c>http</c> or <c>https</c> URL with a host that this type takes.</summary>
    public static bool TryReadUrl(string? text, [NotNullWhen(true)] out Uri? url, out HostName host)
    {
        host = default;
        return Uri.TryCreate(text, UriKind.Absolute, out url) && url.Scheme is "ws" or "wss" or "http" or "https" && TryFrom(url, out host);
    }

    /// <inheritdoc/>
    public bool Equals(HostName other) => string.Equals(Text, other.Text, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is HostName other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Text.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Text;

    private static bool TryParseIPv6(ReadOnlySpan<char> text, out HostName host)
    {
        host = default;
        if (text[0] == '[')
        {
            if (text[^1] != ']')
            {
                return false;
            }

            text = text[1..^1];
        }

        // IPAddress also takes brackets, ports and zones.
        if (text.ContainsAny("[]%/") || !IPAddress.TryParse(text, out var address) || address.AddressFamily != AddressFamily.InterNetworkV6)
        {
            return false;
        }

        host = new HostName(address.ToString(), address);
        return true;
    }

    // In lower case.
    private static bool TryParseName(ReadOnlySpan<char> name, out HostName host)
    {
        host = default;
        if (name is [.., '.'])
        {
            name = name[..^1];
        }

        if (name.Length is 0 or > MaxLength)
        {
            return false;
        }

        var isInternational = false;
        ReadOnlySpan<char> last = default;
        foreach (var range in name.Split('.'))
        {
            last = name[range];
            if (last.Length is 0 or > MaxLabelLength || last[0] == '-' || last[^1] == '-' || last.ContainsAnyExcept(LabelCharacters))
            {
                return false;
            }

            isInternational |= last.StartsWith(PunycodePrefix, StringComparison.Ordinal);
        }

        // What ends in a number is an IPv4 address or nothing: else "127.1" would be a name here and loopback to who connects.
        if (!last.ContainsAnyExceptInRange('0', '9') || last.StartsWith("0x", StringComparison.Ordinal))
        {
            return TryParseIPv4(name, out host);
        }

        var text = name.ToString();
        if (isInternational && !IsPunycode(text))
        {
            return false;
        }

        host = new HostName(text, null);
        return true;
    }

    // Four decimal numbers without leading zeros; the forms of inet_aton mean different addresses to different programs.
    private static bool TryParseIPv4(ReadOnlySpan<char> text, out HostName host)
    {
        host = default;
        var parts = 0;
        Span<byte> bytes = stackalloc byte[4];
        foreach (var range in text.Split('.'))
        {
            var part = text[range];
            if (parts == bytes.Length || part is ['0', _, ..] || !byte.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out bytes[parts]))
            {
                return false;
            }

            parts++;
        }

        if (parts < bytes.Length)
        {
            return false;
        }

        var address = new IPAddress(bytes);
        host = new HostName(address.ToString(), address);
        return true;
    }

    // RFC 5891, 4.2.2: letters, marks and digits, also where the mapping itself lets others through. It has no form that does not throw.
    private static bool TryMapToAscii(ReadOnlySpan<char> text, out string ascii)
    {
        ascii = string.Empty;
        for (var rest = text; !rest.IsEmpty;)
        {
            if (Rune.DecodeFromUtf16(rest, out var rune, out var used) != OperationStatus.Done
                || !(Rune.IsLetterOrDigit(rune) || IsMark(rune) || rune.Value is '.' or '-' or '_'))
            {
                return false;
            }

            rest = rest[used..];
        }

        try
        {
            ascii = Idn.GetAscii(text.ToString().ToLowerInvariant()).ToLowerInvariant();
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static bool IsMark(Rune rune) => Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;

    private static bool IsPunycode(string ascii)
    {
        try
        {
            return Idn.GetUnicode(ascii).Length > 0;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
