using System.Buffers;
using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using Marmot.Hosting.Outgoing;

namespace Marmot.NotifyServer.Providers;

/// <summary>What both providers' HTTP has in common: trust, liveness, small answers, Retry-After.</summary>
internal static class ProviderHttp
{
    /// <summary>Largest answer that is read; what a hostile endpoint sends beyond is left alone.</summary>
    public const int MaxAnswerBytes = 8 * 1024;

    private static readonly TimeSpan RetryAfterFloor = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RetryAfterCap = TimeSpan.FromHours(1);

    /// <summary>A handler that keeps connections for long and notices dead ones.</summary>
    public static SocketsHttpHandler CreateHandler(X509Certificate2Collection? roots)
    {
        var handler = OutgoingHttp.CreateHandler(roots);
        handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always;
        handler.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        handler.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
        handler.PooledConnectionIdleTimeout = TimeSpan.FromHours(1); // Apple: keep connections open; the framework's default is a minute
        handler.PooledConnectionLifetime = TimeSpan.FromHours(6);
        return handler;
    }

    /// <summary>Loads a PEM bundle; null for an empty path.</summary>
    public static X509Certificate2Collection? LoadRoots(string path)
    {
        if (path.Length == 0)
        {
            return null;
        }

        var roots = new X509Certificate2Collection();
        roots.ImportFromPemFile(path);
        return roots;
    }

    /// <summary>Reads at most <see cref="MaxAnswerBytes"/> into a rented buffer, which the caller returns.</summary>
    public static async ValueTask<(byte[] Buffer, int Length)> ReadAnswerAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(MaxAnswerBytes);
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            var length = await body.ReadAtLeastAsync(buffer.AsMemory(0, MaxAnswerBytes), MaxAnswerBytes, throwOnEndOfStream: false, cancellationToken);
            return (buffer, length);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    /// <summary>Seconds or an HTTP date, at least 100 ms, at most an hour; null when absent or garbage. A date is counted from the answer's own Date, so that a
    /// wrong clock of ours does not matter.</summary>
    public static TimeSpan? RetryAfter(HttpResponseHeaders headers, DateTimeOffset now)
    {
        if (!headers.NonValidated.TryGetValues("Retry-After", out var values) || values.Count != 1)
        {
            return null;
        }

        var text = values.ToString().AsSpan().Trim();
        TimeSpan wait;
        if (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
        {
            wait = seconds > (ulong)RetryAfterCap.TotalSeconds ? RetryAfterCap : TimeSpan.FromSeconds((double)seconds);
        }
        else if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var date))
        {
            wait = date - (headers.Date ?? now);
        }
        else
        {
            return null;
        }

        return wait < RetryAfterFloor ? RetryAfterFloor : wait > RetryAfterCap ? RetryAfterCap : wait;
    }
}
