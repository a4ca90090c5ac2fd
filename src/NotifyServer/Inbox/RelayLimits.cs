using System.Buffers;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Marmot.Hosting.Outgoing;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Inbox;

/// <summary>One limit of a relay that keeps triggers or our inbox list away.</summary>
/// <param name="Name">The field of NIP-11, a metric's label.</param>
/// <param name="Warning">What it means for us.</param>
internal readonly record struct RelayLimit(string Name, string Warning);

/// <summary>Reads a relay's information document (NIP-11) and says which of its limits are too low for a push server.</summary>
/// <remarks>Nothing of the relay's own text is kept: it goes to logs and metrics only as our words and its numbers.</remarks>
internal static class RelayLimits
{
    // A full marmot-push-v1 trigger is an event of 109,741 bytes with a content of 109,228 characters.
    private const long NeededMessageBytes = 131_072;
    private const long NeededContentLength = 109_300;
    private const long NeededBackdateSeconds = 172_800; // NIP-59 dates wraps up to two days back
    private const int MaxDocumentBytes = 64 * 1024;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>The limits that are too low; null when the relay has no readable document.</summary>
    public static async Task<IReadOnlyList<RelayLimit>?> ReadAsync(Uri relay, X509Certificate2Collection? roots, TimeProvider time,
        CancellationToken cancellationToken)
    {
        var address = new UriBuilder(relay) { Scheme = relay.Scheme == "wss" ? Uri.UriSchemeHttps : Uri.UriSchemeHttp, Port = relay.Port }.Uri;
        using var deadline = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        using var client = OutgoingHttp.CreateClient(timeout: null, ProviderHttp.CreateHandler(roots));
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/nostr+json"));
        var buffer = ArrayPool<byte>.Shared.Rent(MaxDocumentBytes);
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            if (!response.IsSuccessStatusCode)
            {
                return null;
            }

            await using var body = await response.Content.ReadAsStreamAsync(either.Token);
            var length = await body.ReadAtLeastAsync(buffer.AsMemory(0, MaxDocumentBytes), MaxDocumentBytes, throwOnEndOfStream: false, either.Token);
            return Judge(buffer.AsMemory(0, length));
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The limits of a document that are too low; null when it is no information document.</summary>
    internal static IReadOnlyList<RelayLimit>? Judge(ReadOnlyMemory<byte> document)
    {
        try
        {
            using var json = JsonDocument.Parse(document, new JsonDocumentOptions { MaxDepth = 16 });
            if (json.RootElement.ValueKind != JsonValueKind.Object)
            {
                return null;
            }

            return json.RootElement.TryGetProperty("limitation", out var limitation) && limitation.ValueKind == JsonValueKind.Object
                ? [.. Find(limitation)]
                : [];
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            return null;
        }
    }

    private static IEnumerable<RelayLimit> Find(JsonElement limitation)
    {
        if (Number("max_message_length") is { } message && message < NeededMessageBytes)
        {
            yield return new("max_message_length", $"takes messages up to {message} bytes; a full trigger needs {NeededMessageBytes}");
        }

        if (Number("max_content_length") is { } content && content < NeededContentLength)
        {
            yield return new("max_content_length", $"takes content up to {content} characters; a full trigger needs {NeededContentLength}");
        }

        if (Number("created_at_lower_limit") is { } back && back < NeededBackdateSeconds)
        {
            yield return new("created_at_lower_limit", $"takes events up to {back} s old; gift wraps are dated up to {NeededBackdateSeconds} s back");
        }

        if (Number("min_pow_difficulty") is { } work && work > 0)
        {
            yield return new("min_pow_difficulty", $"wants proof of work of {work} bits; clients' triggers carry none");
        }

        if (IsTrue("auth_required"))
        {
            yield return new("auth_required", "wants authentication from everybody; clients must answer it too to reach us here");
        }

        if (IsTrue("restricted_writes"))
        {
            yield return new("restricted_writes", "restricts who may write; clients' triggers and our inbox list may be refused");
        }

        if (IsTrue("payment_required"))
        {
            yield return new("payment_required", "wants payment; clients' triggers come from throw-away keys");
        }

        long? Number(string name) =>
            limitation.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : null;

        bool IsTrue(string name) => limitation.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;
    }
}
