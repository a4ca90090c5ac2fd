using System.IO.Pipelines;
using System.Text.Json;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Endpoints;
using Marmot.Blossom.Intake;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Refusals;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Auth;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Mirror;

/// <summary>PUT /mirror (BUD-04): fetches a blob from another server for a caller whose token names its hash.</summary>
internal sealed class MirrorEndpoint(
    TokenGate gate, UploadPolicy policy, PaymentGate payment, OriginClient origins, BlobIntake intake, IBlobStore store, BlobService blobs,
    DescriptorWriter descriptors, BlossomMetrics metrics, TimeProvider time, IOptions<BlossomOptions> options) : IDisposable
{
    private readonly SemaphoreSlim _slots = new(options.Value.MaxConcurrentMirrors);

    public async Task<Refusal?> PutAsync(HttpContext context)
    {
        if (!options.Value.Mirrors)
        {
            return Refusal.NotOffered("PUT /mirror");
        }

        var address = context.Connection.RemoteIpAddress;
        if (policy.CheckRate(address) is { } tooOften)
        {
            return tooOften;
        }

        if (gate.Check(context, BlossomVerb.Upload, null, out var token) is { } unauthorized)
        {
            return unauthorized;
        }

        if (token!.Hashes.Count == 0)
        {
            return Refusal.BadToken("the token needs an x tag with the hash of the blob");
        }

        if (!UploadEndpoint.TryReadExpiration(context, time, out var asked))
        {
            return Refusal.BadExpiration;
        }

        if (await SmallBody.ReadAsync(context) is not { } body)
        {
            return Refusal.TooLarge(SmallBody.MaxBytes);
        }

        if (ReadUrl(body) is not { } url)
        {
            return Refusal.BadRequest("bad_url", "send JSON with the http or https address of a blob as its url");
        }

        if (!await _slots.WaitAsync(TimeSpan.Zero, context.RequestAborted))
        {
            return new Refusal(StatusCodes.Status503ServiceUnavailable, "busy", "too many mirror fetches under way; try again", TimeSpan.FromSeconds(10));
        }

        try
        {
            return await FetchAsync(context, url, token, asked);
        }
        finally
        {
            _slots.Release();
        }
    }

    public void Dispose() => _slots.Dispose();

    private async Task<Refusal?> FetchAsync(HttpContext context, Uri url, BlossomAuth token, long? asked)
    {
        using var deadline = new CancellationTokenSource(options.Value.MirrorTimeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, context.RequestAborted);
        try
        {
            // 1. the origin's headers
            using var response = await AskAsync(url, both.Token);
            if (response is null)
            {
                return Refusal.Origin("the origin could not be reached or did not answer with the blob");
            }

            var declared = response.Content.Headers.ContentLength;
            var type = BlobTypes.Normalize(response.Content.Headers.ContentType?.ToString());
            if (policy.CheckDeclared(token, null, declared, type) is { } refused)
            {
                return refused;
            }

            if (await payment.CheckAsync(context, token.Hashes is [var named] ? named : null, declared, type) is { } unpaid)
            {
                return unpaid;
            }

            // 2. its bytes, counted: neither its length nor its encoding is believed
            await using var draft = store.Begin(token.Hashes is [var only] ? only : null);
            await using var stream = new PacedStream(
                await response.Content.ReadAsStreamAsync(both.Token), options.Value.MinUploadBytesPerSecond, options.Value.SlowUploadGrace, time, both.Token);
            var (blob, broken) = await intake.ReceiveAsync(PipeReader.Create(stream), draft, metrics.Received, both.Token);
            if (broken is not null)
            {
                return broken;
            }

            // 3. BUD-04: bytes that match no x tag are a conflict
            if (!token.Covers(blob.Hash))
            {
                return Refusal.HashMismatch;
            }

            if ((policy.CheckDeclared(token, blob.Hash, blob.Length, type)
                ?? await policy.CheckQuotaAsync(token.PublicKey, blob.Length, both.Token)
                ?? policy.TakeBytes(context.Connection.RemoteIpAddress, token.PublicKey, blob.Length)) is { } late)
            {
                return late;
            }

            var (entry, isNew) = await blobs.KeepAsync(
                draft, blob.Hash, blob.Length, options.Value.KeepsTypes ? type : BlobTypes.Opaque, token.PublicKey, asked);
            await descriptors.WriteAsync(context, entry, isNew);
            return null;
        }
        catch (Exception error) when (error is BodyReadException || (error is OperationCanceledException && !context.RequestAborted.IsCancellationRequested))
        {
            return Refusal.Origin("the origin broke off or took too long");
        }
    }

    /// <summary>The origin's answer as far as its head; a silent origin has less time for that than a fetch as a whole.</summary>
    private async ValueTask<HttpResponseMessage?> AskAsync(Uri url, CancellationToken cancellationToken)
    {
        using var silence = new CancellationTokenSource(options.Value.MirrorAnswerTimeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancellationToken);
        return await origins.GetAsync(url, both.Token);
    }

    private static Uri? ReadUrl(byte[] body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("url"u8, out var text) && text.ValueKind == JsonValueKind.String
                && Uri.TryCreate(text.GetString(), UriKind.Absolute, out var url) && OriginClient.IsFetchable(url)
                ? url
                : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            return null;
        }
    }
}
