using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Auth;

/// <summary>The header <c>Authorization: Nostr base64(event)</c> of NIP-98 and BUD-11.</summary>
internal static class AuthorizationHeader
{
    /// <summary>Longest header value read, in characters; a token with a hundred hashes stays below.</summary>
    public const int MaxLength = 16 * 1024;

    private const string Scheme = "Nostr ";

    public enum Fault
    {
        None,
        Missing,
        WrongScheme,
        TooLong,
        NotBase64,
        NotAnEvent,
    }

    /// <summary>The header for an event, base64url without padding (BUD-11), which NIP-98 readers take too when they are lenient.</summary>
    public static string Write(NostrEvent evt, bool urlSafe) =>
        Scheme + (urlSafe ? Base64Url.EncodeToString(evt.Json.Span) : Convert.ToBase64String(evt.Json.Span));

    /// <summary>Reads the event; both base64 alphabets, with and without padding, because deployed clients send each.</summary>
    public static Fault Read(ReadOnlySpan<char> header, [NotNullWhen(true)] out NostrEvent? evt)
    {
        evt = null;
        header = header.Trim(' ');
        if (header.IsEmpty)
        {
            return Fault.Missing;
        }

        if (!header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) // RFC 9110, 11.1: schemes ignore case
        {
            return Fault.WrongScheme;
        }

        if (header.Length > MaxLength)
        {
            return Fault.TooLong;
        }

        var base64 = header[Scheme.Length..].Trim(' ');
        if (!IsSingleAlphabet(base64))
        {
            return Fault.NotBase64;
        }

        var normal = ArrayPool<char>.Shared.Rent(base64.Length);
        var bytes = ArrayPool<byte>.Shared.Rent(base64.Length);
        try
        {
            base64.Replace(normal, '+', '-');
            normal.AsSpan(0, base64.Length).Replace('/', '_');
            if (Base64Url.DecodeFromChars(normal.AsSpan(0, base64.Length), bytes, out _, out var size) != OperationStatus.Done)
            {
                return Fault.NotBase64;
            }

            return NostrEvent.TryParse(bytes.AsSpan(0, size), out evt, out _) ? Fault.None : Fault.NotAnEvent;
        }
        finally
        {
            ArrayPool<char>.Shared.Return(normal);
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    // One alphabet or the other; the decoder skips white space, we do not.
    private static bool IsSingleAlphabet(ReadOnlySpan<char> text) =>
        !text.IsEmpty
        && !(text.ContainsAny('+', '/') && text.ContainsAny('-', '_'))
        && !text.ContainsAny(" \t\r\n");
}
