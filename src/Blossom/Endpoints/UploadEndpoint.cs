using System.Globalization;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Intake;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>PUT /upload (BUD-02) and its preflight HEAD /upload (BUD-06).</summary>
internal sealed class UploadEndpoint(
    TokenGate gate, UploadPolicy policy, PaymentGate payment, BlobIntake intake, IBlobStore store, BlobService blobs, DescriptorWriter descriptors,
    TimeProvider time, BlossomMetrics metrics, IOptions<BlossomOptions> options)
{
    public async Task<Refusal?> PutAsync(HttpContext context)
    {
        // 1. the caller's rate
        var address = context.Connection.RemoteIpAddress;
        if (policy.CheckRate(address) is { } tooOften)
        {
            return tooOften;
        }

        // 2. the token; x is checked here when the hash is announced, after the body when it is not
        var announced = ReadHash(context, out var badHash);
        if (gate.Check(context, BlossomVerb.Upload, announced, out var token) is { } unauthorized)
        {
            return unauthorized;
        }

        // 3. what the headers say
        if (badHash is not null)
        {
            return badHash;
        }

        if (!TryReadExpiration(context, time, out var asked))
        {
            return Refusal.BadExpiration;
        }

        var declared = context.Request.ContentLength;
        var type = BlobTypes.Normalize(context.Request.ContentType);
        if (policy.CheckDeclared(token!, announced, declared, type) is { } refused)
        {
            return refused;
        }

        if (await policy.CheckQuotaAsync(token!.PublicKey, declared ?? 0, context.RequestAborted) is { } spent)
        {
            return spent;
        }

        if (await payment.CheckAsync(context, announced, declared, type) is { } unpaid)
        {
            return unpaid;
        }

        if (declared is { } known && policy.TakeBytes(address, token!.PublicKey, known) is { } tooMuch)
        {
            return tooMuch;
        }

        // 4. the body
        context.Features.Get<IHttpMinRequestBodyDataRateFeature>()?.MinDataRate = new MinDataRate(options.Value.MinUploadBytesPerSecond,
            options.Value.SlowUploadGrace);
        using var underWay = metrics.BeginUpload();
        await using var draft = store.Begin(announced ?? (token!.Hashes is [var only] ? only : null));
        var (blob, broken) = await intake.ReceiveAsync(context.Request.BodyReader, draft, metrics.Received, context.RequestAborted);
        if (broken is not null)
        {
            return broken;
        }

        // 5. what came against what was said
        if (announced is { } expected && blob.Hash != expected)
        {
            return Refusal.HashMismatch;
        }

        if (!token!.Covers(blob.Hash))
        {
            return Refusal.HashNotSigned;
        }

        if (policy.IsBlocked(blob.Hash))
        {
            return Refusal.Blocked;
        }

        if (declared is null
            && (policy.CheckDeclared(token, blob.Hash, blob.Length, type) ?? policy.TakeBytes(address, token.PublicKey, blob.Length)) is { } late)
        {
            return late;
        }

        if (declared is null && await policy.CheckQuotaAsync(token.PublicKey, blob.Length, context.RequestAborted) is { } beyond)
        {
            return beyond;
        }

        // 6. durable, then the answer
        var (entry, isNew) = await blobs.KeepAsync(draft, blob.Hash, blob.Length, options.Value.KeepsTypes ? type : BlobTypes.Opaque, token.PublicKey, asked);
        await descriptors.WriteAsync(context, entry, isNew);
        return null;
    }

    /// <summary>BUD-06. 401 comes before any complaint about headers: blossom-client-sdk signs only after it has seen one.</summary>
    public async Task<Refusal?> HeadAsync(HttpContext context)
    {
        var hash = ReadHash(context, out var badHash);
        if (gate.Check(context, BlossomVerb.Upload, hash, out var token) is { } unauthorized)
        {
            return unauthorized;
        }

        var headers = context.Request.Headers;
        if (badHash is not null || hash is null)
        {
            return badHash ?? Refusal.BadShaHeader;
        }

        if (headers["X-Content-Length"] is not [{ Length: > 0 } text])
        {
            return Refusal.NoLength;
        }

        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var length))
        {
            return Refusal.BadLength;
        }

        if (!TryReadExpiration(context, time, out _))
        {
            return Refusal.BadExpiration;
        }

        var type = BlobTypes.Normalize(headers["X-Content-Type"]);
        return policy.CheckDeclared(token!, hash, length, type) ?? await policy.CheckQuotaAsync(token!.PublicKey, length, context.RequestAborted)
            ?? await payment.CheckAsync(context, hash, length, type);
    }

    private static Bytes32? ReadHash(HttpContext context, out Refusal? refusal)
    {
        refusal = null;
        var header = context.Request.Headers["X-SHA-256"];
        if (header.Count == 0)
        {
            return null;
        }

        if (header is [{ } text] && Bytes32.TryParseHex(text.AsSpan(), out var hash))
        {
            return hash;
        }

        refusal = Refusal.BadShaHeader;
        return null;
    }

    /// <summary>X-Expiration, unix seconds (hzrd149/blossom#63). The expiration tag of the token is the token's own and says nothing of the blob.</summary>
    /// <returns>False when the header is there and makes no sense.</returns>
    internal static bool TryReadExpiration(HttpContext context, TimeProvider time, out long? asked)
    {
        asked = null;
        var header = context.Request.Headers["X-Expiration"];
        if (header.Count == 0)
        {
            return true;
        }

        const long EndOfTime = 253_402_300_799; // 9999-12-31, the last HTTP-date
        if (header is [{ } text] && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var end)
            && end > time.GetUtcNow().ToUnixTimeSeconds() && end <= EndOfTime)
        {
            asked = end;
            return true;
        }

        return false;
    }
}
