using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Management;

/// <summary>The management API on the relay's own address: POST of <c>application/nostr+json+rpc</c> (NIP-86), authorised by an administrator's key
/// (NIP-98).</summary>
internal sealed class ManagementEndpoint(ManagementMethods methods, RelayIdentity identity, TimeProvider clock, IOptions<RelayOptions> options)
{
    public const string MediaType = "application/nostr+json+rpc";
    private const int MaxBodyBytes = 64 * 1024;
    private readonly Bytes32[] _admins = [.. options.Value.Admins.Select(Bytes32.ParseHex)];

    public async Task ServeAsync(HttpContext context)
    {
        var response = context.Response;
        response.Headers.AccessControlAllowOrigin = "*";
        if (context.Request.ContentType?.StartsWith(MediaType, StringComparison.OrdinalIgnoreCase) != true)
        {
            response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return;
        }

        if (await ReadBodyAsync(context) is not { } body)
        {
            response.StatusCode = StatusCodes.Status413PayloadTooLarge;
            return;
        }

        // 1. Who asks. The body's hash must be in the authorisation.
        if (identity.SignedUrl(context.Request) is not { } url)
        {
            await AnswerAsync(response, StatusCodes.Status401Unauthorized, null, Rejections.NoOrigin.Text);
            return;
        }

        var verdict = Authorize(context, url, body, out var key);
        if (verdict != HttpAuthVerdict.Accepted)
        {
            await AnswerAsync(response, StatusCodes.Status401Unauthorized, null, HttpAuth.Describe(verdict));
            return;
        }

        if (Array.IndexOf(_admins, key) < 0)
        {
            await AnswerAsync(response, StatusCodes.Status403Forbidden, null, "this key does not manage the relay");
            return;
        }

        // 2. What.
        try
        {
            using var call = JsonDocument.Parse(body);
            var root = call.RootElement;
            if (root.ValueKind != JsonValueKind.Object
                || !root.TryGetProperty("method", out var method) || method.ValueKind != JsonValueKind.String
                || !root.TryGetProperty("params", out var parameters) || parameters.ValueKind != JsonValueKind.Array)
            {
                throw new ArgumentException("a call has a method and an array of params");
            }

            await AnswerAsync(response, StatusCodes.Status200OK,
                await methods.CallAsync(method.GetString()!, parameters, Nip19.EncodePublicKey(key), context.RequestAborted), null);
        }
        catch (Exception exception) when (exception is ArgumentException or JsonException or InvalidOperationException) // the last for half a surrogate pair
        {
            await AnswerAsync(response, StatusCodes.Status400BadRequest, null, exception is ArgumentException ? exception.Message : "the body is not JSON");
        }
        catch (IOException)
        {
            await AnswerAsync(response, StatusCodes.Status503ServiceUnavailable, null, "the relay cannot write to its store now");
        }
    }

    // The u tag is the relay's URL; clients write it as ws or as http.
    private HttpAuthVerdict Authorize(HttpContext context, string url, byte[] body, out Bytes32 key)
    {
        if (!HostName.TryReadUrl(url, out var socket, out _))
        {
            key = default;
            return HttpAuthVerdict.WrongUrl; // a Host header that names no host
        }

        var http = new UriBuilder(socket) { Scheme = socket.Scheme == "wss" ? "https" : "http", Port = socket.IsDefaultPort ? -1 : socket.Port }.Uri;
        var hash = new Bytes32(SHA256.HashData(body));
        var header = context.Request.Headers.Authorization.ToString();
        var verdict = HttpAuth.Check(header, "POST", http, hash, clock.GetUtcNow(), out key);
        return verdict == HttpAuthVerdict.WrongUrl ? HttpAuth.Check(header, "POST", socket, hash, clock.GetUtcNow(), out key) : verdict;
    }

    private static async Task<byte[]?> ReadBodyAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        var buffer = new byte[8192];
        int read;
        while ((read = await context.Request.Body.ReadAsync(buffer, context.RequestAborted)) > 0)
        {
            body.Write(buffer, 0, read);
            if (body.Length > MaxBodyBytes)
            {
                return null;
            }
        }

        return body.ToArray();
    }

    private static Task AnswerAsync(HttpResponse response, int status, JsonNode? result, string? error)
    {
        response.StatusCode = status;
        response.ContentType = "application/json";
        var answer = new JsonObject { ["result"] = result };
        if (error is not null)
        {
            answer["error"] = error;
        }

        return response.WriteAsync(answer.ToJsonString());
    }
}
