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
            (400, PushReason.BadDeviceToken) => new(PushOutcome.TokenDead, reason),
            (400, PushReason.DeviceTokenNotForTopic) => new(PushOutcome.TokenForeign, reason),
            (400, PushReason.IdleTimeout) => new(PushOutcome.Reconnect, reason),
            (400, PushReason.TopicDisallowed or PushReason.BadTopic or PushReason.MissingTopic or PushReason.BadCollapseId or PushReason.BadExpirationDate
                or PushReason.BadMessageId or PushReason.BadPriority or PushReason.DuplicateHeaders or PushReason.InvalidPushType
                or PushReason.MissingDeviceToken or PushReason.PayloadEmpty) => new(PushOutcome.Configuration, reason),
            (403, PushReason.ExpiredProviderToken or PushReason.InvalidProviderToken or PushReason.MissingProviderToken or PushReason.UnrelatedKeyIdInToken
                or PushReason.BadEnvironmentKeyIdInToken or PushReason.BadEnvironmentKeyInToken or PushReason.BadCertificate
                or PushReason.BadCertificateEnvironment or PushReason.Forbidden) => new(PushOutcome.Credential, reason, retryAfter),
            (403, _) => new(PushOutcome.Credential, PushReason.Forbidden, retryAfter),
            (410, PushReason.ExpiredToken) => new(PushOutcome.TokenDead, reason),
            (410, _) => new(PushOutcome.TokenDead, PushReason.Unregistered),
            (429, PushReason.TooManyProviderTokenUpdates) => new(PushOutcome.Credential, reason, retryAfter),
            (429, _) => new(PushOutcome.TokenBusy, PushReason.TooManyRequests, retryAfter),
            (503, PushReason.Shutdown) => new(PushOutcome.Reconnect, reason, retryAfter),
            ( >= 500, PushReason.InternalServerError or PushReason.ServiceUnavailable) => new(PushOutcome.Transient, reason, retryAfter),
            ( >= 500, _) => new(PushOutcome.Transient, PushReason.ServerError, retryAfter),
            (404, _) => new(PushOutcome.Configuration, PushReason.Status404),
            (405, _) => new(PushOutcome.Configuration, PushReason.Status405),
            (413, _) => new(PushOutcome.Configuration, PushReason.Status413),
            _ => new(PushOutcome.Configuration, PushReason.Unknown), // an unknown 3xx or 4xx says nothing about the token
        };
    }

    private static PushReason ReadReason(ReadOnlySpan<byte> body)
    {
        try
        {
            var reader = new Utf8JsonReader(body);
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1 && reader.ValueTextEquals("reason"u8))
                {
                    return reader.Read() && reader.TokenType == JsonTokenType.String ? ApplesWord(reader) : PushReason.None;
                }
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            // An answer that is no JSON is judged by its status alone.
        }

        return PushReason.None;
    }

    private static PushReason ApplesWord(in Utf8JsonReader reader)
    {
        for (var reason = PushReason.BadDeviceToken; reason <= PushReason.ServiceUnavailable; reason++)
        {
            if (reader.ValueTextEquals(reason.Label()))
            {
                return reason;
            }
        }

        return PushReason.Unknown;
    }
}
