using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;

namespace Marmot.Blossom.Endpoints;

/// <summary>The head of an answer with a blob as bytes: the same headers <see cref="EndpointShell"/> and <see cref="BlobEndpoint"/> set one by one.</summary>
internal static class BlobHead
{
    /// <summary>More than any head takes: the longest type is 127 characters.</summary>
    public const int MaxBytes = 2048;

    private static readonly byte[] Always = Encoding.ASCII.GetBytes(
        "Accept-Ranges: bytes\r\n"
        + $"Content-Security-Policy: {BlobEndpoint.Sandbox}\r\n"
        + "Access-Control-Allow-Origin: *\r\n"
        + $"Access-Control-Expose-Headers: {RefusalWriter.ExposedHeaders}\r\n"
        + "X-Content-Type-Options: nosniff\r\n"
        + "Referrer-Policy: no-referrer\r\n"
        + "Cross-Origin-Resource-Policy: cross-origin\r\n");

    private static volatile Clock _clock = new(DateTimeOffset.MinValue, "");

    /// <summary>Writes it to the start of <paramref name="target"/>, which holds <see cref="MaxBytes"/>. How long it is.</summary>
    public static int Write(Span<byte> target, BlobEntry entry, ByteRange? range, DateTimeOffset now)
    {
        var status = range is null ? "200 OK" : "206 Partial Content";
        var at = 0;
        Utf8.TryWrite(
            target, CultureInfo.InvariantCulture,
            $"HTTP/1.1 {status}\r\nContent-Length: {range?.Length ?? entry.Size}\r\nContent-Type: {entry.Type}\r\nDate: {DateText(now)}\r\nETag: "
                + $"\"{entry.Hash}\"\r\nCache-Control: public, max-age={BlobEndpoint.FreshSeconds(entry, now)}, immutable\r\n",
            out var written);
        at += written;
        Always.CopyTo(target[at..]);
        at += Always.Length;
        if (!BlobTypes.IsPassive(entry.Type))
        {
            at += Encoding.ASCII.GetBytes("Content-Disposition: attachment\r\n", target[at..]);
        }

        if (entry.ExpiresAt is { } ends)
        {
            Utf8.TryWrite(target[at..], $"Sunset: {BlobEndpoint.SunsetText(ends)}\r\n", out written);
            at += written;
        }

        if (range is { } part)
        {
            Utf8.TryWrite(target[at..], CultureInfo.InvariantCulture, $"Content-Range: bytes {part.Offset}-{part.Last}/{entry.Size}\r\n", out written);
            at += written;
        }

        "\r\n"u8.CopyTo(target[at..]);
        return at + 2;
    }

    private static string DateText(DateTimeOffset now)
    {
        var clock = _clock;
        if (now.ToUnixTimeSeconds() != clock.At.ToUnixTimeSeconds())
        {
            _clock = clock = new Clock(now, now.ToString("R", CultureInfo.InvariantCulture));
        }

        return clock.Text;
    }

    private sealed record Clock(DateTimeOffset At, string Text);
}
