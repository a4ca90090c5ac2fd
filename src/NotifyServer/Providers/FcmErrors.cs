using System.Net;
using System.Text.Json;

namespace Marmot.NotifyServer.Providers;

/// <summary>Sorts FCM HTTP v1 answers into whose matter they are. The same status can be either side's: what decides is whether a FcmError detail is there.</summary>
internal static class FcmErrors
{
    // Google: without Retry-After a quota answer waits at least a minute, an unavailable one at least a second.
    private static readonly TimeSpan QuotaFloor = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan UnavailableFloor = TimeSpan.FromSeconds(1);

    public static PushVerdict Sort(HttpStatusCode status, ReadOnlySpan<byte> body, TimeSpan? retryAfter)
    {
        if (status == HttpStatusCode.OK)
        {
            return PushVerdict.Accepted;
        }

        var error = Read(body);
        return ((int)status, error.Code) switch
        {
            (400, "INVALID_ARGUMENT") when error.FieldIsOurs => new(PushOutcome.Configuration, "INVALID_FIELD"),
            (400, "INVALID_ARGUMENT") => new(PushOutcome.TokenDead, "INVALID_ARGUMENT"),
            (400, _) when error.HasField && !error.FieldIsOurs => new(PushOutcome.TokenDead, "INVALID_ARGUMENT"),
            (400, _) => new(PushOutcome.Configuration, "status-400"),
            (401, "THIRD_PARTY_AUTH_ERROR") => new(PushOutcome.TokenForeign, "THIRD_PARTY_AUTH_ERROR"),
            (401, _) => new(PushOutcome.Credential, "UNAUTHENTICATED", retryAfter),
            (403, "SENDER_ID_MISMATCH") => new(PushOutcome.TokenForeign, "SENDER_ID_MISMATCH"),
            (403, _) => new(PushOutcome.Credential, "PERMISSION_DENIED", retryAfter),
            (404, "UNREGISTERED") => new(PushOutcome.TokenDead, "UNREGISTERED"),
            (404, _) => new(PushOutcome.Configuration, "NOT_FOUND"), // wrong project or URL: says nothing about the token
            (429, _) => new(PushOutcome.TokenBusy, "QUOTA_EXCEEDED", retryAfter ?? QuotaFloor),
            (500, _) => new(PushOutcome.Transient, "INTERNAL", retryAfter ?? UnavailableFloor),
            ( > 500, _) => new(PushOutcome.Transient, "UNAVAILABLE", retryAfter ?? UnavailableFloor),
            _ => new(PushOutcome.Configuration, "unknown"),
        };
    }

    /// <summary>The errorCode of the FcmError detail, if there is one, and which request field is complained of.</summary>
    private static (string Code, bool HasField, bool FieldIsOurs) Read(ReadOnlySpan<byte> body)
    {
        var code = "";
        bool hasField = false, fieldIsOurs = false;
        try
        {
            var reader = new Utf8JsonReader(body);
            while (reader.Read())
            {
                if (reader.TokenType != JsonTokenType.PropertyName)
                {
                    continue;
                }

                if (reader.ValueTextEquals("errorCode"u8) && reader.Read() && reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= 64)
                {
                    code = reader.GetString()!;
                }
                else if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("field"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
                {
                    hasField = true;
                    fieldIsOurs |= !reader.ValueTextEquals("message.token"u8);
                }
            }
        }
        catch (JsonException)
        {
            // HTML or a cut body: judged by the status alone.
        }

        return (code, hasField, fieldIsOurs);
    }
}
