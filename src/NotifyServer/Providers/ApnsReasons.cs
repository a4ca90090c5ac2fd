using System.Net;
using System.Text.Json;

namespace Marmot.NotifyServer.Providers;

/// <summary>Sorts APNs answers (Apple, "Handling notification responses from APNs") into whose matter they are.</summary>
internal static class ApnsReasons
{
    public static PushVerdict Sort(HttpStatusCode status, ReadOnlySpan<byte> body, TimeSpan? retryAfter)
    {
        var reason = ReadReason(body);
        return ((int)status, reason) switch
        {
            (200, _) => PushVerdict.Accepted,
            (400, "BadDeviceToken") => new(PushOutcome.TokenDead, reason),
            (400, "DeviceTokenNotForTopic") => new(PushOutcome.TokenForeign, reason),
            (400, "IdleTimeout") => new(PushOutcome.Reconnect, reason),
            (400, "TopicDisallowed" or "BadTopic" or "MissingTopic" or "BadCollapseId" or "BadExpirationDate" or "BadMessageId" or "BadPriority"
                or "DuplicateHeaders" or "InvalidPushType" or "MissingDeviceToken" or "PayloadEmpty") => new(PushOutcome.Configuration, reason),
            (403, "ExpiredProviderToken" or "InvalidProviderToken" or "MissingProviderToken" or "UnrelatedKeyIdInToken" or "BadEnvironmentKeyIdInToken"
                or "BadEnvironmentKeyInToken" or "BadCertificate" or "BadCertificateEnvironment" or "Forbidden") => new(PushOutcome.Credential, reason, retryAfter),
            (403, _) => new(PushOutcome.Credential, "Forbidden", retryAfter),
            (410, "Unregistered" or "ExpiredToken") => new(PushOutcome.TokenDead, reason),
            (410, _) => new(PushOutcome.TokenDead, "Unregistered"),
            (429, "TooManyProviderTokenUpdates") => new(PushOutcome.Credential, reason, retryAfter),
            (429, _) => new(PushOutcome.TokenBusy, "TooManyRequests", retryAfter),
            (503, "Shutdown") => new(PushOutcome.Reconnect, reason, retryAfter),
            ( >= 500, _) => new(PushOutcome.Transient, reason is "InternalServerError" or "ServiceUnavailable" ? reason : "server-error", retryAfter),
            (404 or 405 or 413, _) => new(PushOutcome.Configuration, $"status-{(int)status}"),
            _ => new(PushOutcome.Configuration, "unknown"), // an unknown 3xx or 4xx says nothing about the token
        };
    }

    private static string ReadReason(ReadOnlySpan<byte> body)
    {
        try
        {
            var reader = new Utf8JsonReader(body);
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1 && reader.ValueTextEquals("reason"u8))
                {
                    return reader.Read() && reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= 64 ? reader.GetString()! : "";
                }
            }
        }
        catch (JsonException)
        {
            // An answer that is no JSON is judged by its status alone.
        }

        return "";
    }
}
