using System.Globalization;
using System.Text;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Auth;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>GET and HEAD of a blob (BUD-01): ranges, validators, caching cut to the blob's end, nothing a browser would run.</summary>
internal sealed class BlobEndpoint(IBlobIndex index, IBlobStore store, UploadPolicy policy, BlobReads reads, TokenGate gate, TimeProvider time,
    BlossomMetrics metrics, IOptions<BlossomOptions> options)
{
    public const string Route = "/{sha256}";
    public const string Sandbox = "sandbox; default-src 'none'";
    private const string Boundary = "marmot-blossom-part"; // parts are read by length, so a fixed boundary is safe
    private const long YearSeconds = 31_536_000;

    public async Task<Refusal?> ServeAsync(HttpContext context)
    {
        // 1. the name
        if (!BlobPath.TryParse(context.Request.Path.Value.AsSpan(1), out var hash))
        {
            return Refusal.BadHash;
        }

        // 2. BUD-11: a token is optional here, but one that is sent must be right
        if ((options.Value.RequireGetToken || context.Request.Headers.Authorization.Count > 0)
            && gate.Check(context, BlossomVerb.Get, hash, out _) is { } refused)
        {
            return refused;
        }

        // 3. the blob
        var entry = policy.IsBlocked(hash) ? null : await index.FindAsync(hash, context.RequestAborted);
        var isHead = HttpMethods.IsHead(context.Request.Method);
        if (entry is not null && !isHead && store.PresignedUrl(entry.Place, entry.Type) is { } elsewhere)
        {
            reads.Note(hash);
            return Redirect(context.Response, elsewhere);
        }

        await using var reader = entry is null || isHead ? null : await store.OpenAsync(entry.Place, context.RequestAborted);
        if (entry is null || (reader is null && !isHead))
        {
            return policy.CheckMiss(context.Connection.RemoteIpAddress) ?? Refusal.NotFound;
        }

        if (!isHead)
        {
            reads.Note(hash);
        }

        // 4. headers, validators
        var etag = $"\"{hash}\"";
        WriteHeaders(context.Response, entry, etag);
        if (Matches(context.Request.Headers.IfNoneMatch, etag))
        {
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return null;
        }

        if (context.Request.Headers.IfMatch.Count > 0 && !Matches(context.Request.Headers.IfMatch, etag))
        {
            return new Refusal(StatusCodes.Status412PreconditionFailed, "precondition", "the blob's ETag is its hash");
        }

        // 5. bytes
        context.Features.Get<IHttpMinResponseDataRateFeature>()?.MinDataRate = new MinDataRate(options.Value.MinDownloadBytesPerSecond,
            options.Value.SlowDownloadGrace);
        var ifRange = context.Request.Headers.IfRange;
        if (reader is not null && context.Request.Headers.Range is [{ } range] && (ifRange.Count == 0 || ifRange == etag)
            && ByteRanges.TryRead(range, entry.Size, out var ranges))
        {
            return await ServeRangesAsync(context, entry, reader, ranges);
        }

        context.Response.ContentLength = entry.Size;
        if (reader is not null)
        {
            metrics.Sent(entry.Size);
            await reader.CopyToAsync(context.Response.BodyWriter, 0, entry.Size, context.RequestAborted);
        }

        return null;
    }

    /// <summary>BUD-01: the target names the hash, and is good for minutes only, so no cache may keep it.</summary>
    private static Refusal? Redirect(HttpResponse response, Uri target)
    {
        response.StatusCode = StatusCodes.Status307TemporaryRedirect;
        response.Headers.Location = target.AbsoluteUri;
        response.Headers.CacheControl = "no-store";
        return null;
    }

    private async ValueTask<Refusal?> ServeRangesAsync(HttpContext context, BlobEntry entry, BlobReader reader, List<ByteRange> ranges)
    {
        var response = context.Response;
        if (ranges.Count == 0)
        {
            response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes */{entry.Size}");
            return new Refusal(StatusCodes.Status416RangeNotSatisfiable, "range", "no byte of the blob lies in that range");
        }

        response.StatusCode = StatusCodes.Status206PartialContent;
        metrics.Sent(ranges.Sum(range => range.Length));
        if (ranges is [var only])
        {
            response.Headers.ContentRange = RangeText(only, entry.Size);
            response.ContentLength = only.Length;
            await reader.CopyToAsync(response.BodyWriter, only.Offset, only.Length, context.RequestAborted);
            return null;
        }

        // RFC 9110, 14.6
        var heads = ranges.ConvertAll(range => Encoding.ASCII.GetBytes(
            $"\r\n--{Boundary}\r\nContent-Type: {entry.Type}\r\nContent-Range: {RangeText(range, entry.Size)}\r\n\r\n"));
        var tail = Encoding.ASCII.GetBytes($"\r\n--{Boundary}--\r\n");
        response.ContentType = $"multipart/byteranges; boundary={Boundary}";
        response.ContentLength = heads.Sum(head => head.Length) + ranges.Sum(range => range.Length) + tail.Length;
        for (var i = 0; i < ranges.Count; i++)
        {
            await response.BodyWriter.WriteAsync(heads[i], context.RequestAborted);
            await reader.CopyToAsync(response.BodyWriter, ranges[i].Offset, ranges[i].Length, context.RequestAborted);
        }

        await response.BodyWriter.WriteAsync(tail, context.RequestAborted);
        return null;
    }

    private void WriteHeaders(HttpResponse response, BlobEntry entry, string etag)
    {
        var headers = response.Headers;
        headers.ContentType = entry.Type;
        headers.ETag = etag;
        headers.AcceptRanges = "bytes";
        headers.ContentSecurityPolicy = Sandbox;
        if (!BlobTypes.IsPassive(entry.Type))
        {
            headers.ContentDisposition = "attachment";
        }

        if (entry.ExpiresAt is { } ends)
        {
            headers["Sunset"] = SunsetText(ends);
        }

        var scope = options.Value.RequireGetToken ? "private" : "public";
        headers.CacheControl = string.Create(CultureInfo.InvariantCulture, $"{scope}, max-age={FreshSeconds(entry, time.GetUtcNow())}, immutable");
    }

    /// <summary>How long a cache may keep a blob: never past its end.</summary>
    internal static long FreshSeconds(BlobEntry entry, DateTimeOffset now) =>
        entry.ExpiresAt is { } ends ? Math.Clamp(ends - now.ToUnixTimeSeconds(), 0, YearSeconds) : YearSeconds;

    /// <summary>RFC 8594: an HTTP-date.</summary>
    internal static string SunsetText(long unixSeconds) => DateTimeOffset.FromUnixTimeSeconds(unixSeconds).ToString("R", CultureInfo.InvariantCulture);

    private static string RangeText(ByteRange range, long size) =>
        string.Create(CultureInfo.InvariantCulture, $"bytes {range.Offset}-{range.Last}/{size}");

    /// <summary>Weak comparison (RFC 9110, 8.8.3.2); the tag is unique, so a plain search in the list is exact.</summary>
    private static bool Matches(Microsoft.Extensions.Primitives.StringValues header, string etag)
    {
        foreach (var line in header)
        {
            if (line is not null && (line.Trim() == "*" || line.Contains(etag, StringComparison.Ordinal)))
            {
                return true;
            }
        }

        return false;
    }
}
