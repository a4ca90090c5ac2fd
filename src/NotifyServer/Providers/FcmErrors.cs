using System.Net;
using System.Text.Json;

namespace Marmot.NotifyServer.Providers;

/// <summary>Sorts FCM HTTP v1 answers into whose matter they are. The same status can be either side's: what decides is whether a FcmError detail is
/// there.</summary>
internal static class FcmErrors
{
    // Google: without Retry-After a quota answer waits at least a minute, an unavailable one at least a second.
    private static readonly TimeSpan QuotaFloor = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan UnavailableFloor = TimeSpan.FromSeconds(1);

    // firebase.google.com/docs/cloud-messaging/error-codes, example 2, and .../reference/fcm/rest/v1/ErrorCode (read in 2026): INVALID_ARGUMENT is for "invalid
    // registration, invalid package name, message too big, invalid data key, invalid TTL, or other invalid parameters". A BadRequest names the field; for a
    // token there is this sentence instead. Without either it may be our own mistake, which must not be taken for the end of every token.
    private static ReadOnlySpan<byte> InvalidToken => "The registration token is not a valid FCM registration token"u8;

    public static PushVerdict Sort(HttpStatusCode status, ReadOnlySpan<byte> body, TimeSpan? retryAfter)
    {
        if (status == HttpStatusCode.OK)
        {
            return PushVerdict.Accepted;
        }

        var error = Read(body);
        return ((int)status, error.Code) switch
        {
            (400, "INVALID_ARGUMENT") when error.FieldIsOurs => new(PushOutcome.Configuration, PushReason.FcmInvalidField),
            (400, _) when error.NamesToken => new(PushOutcome.TokenDead, PushReason.FcmInvalidArgument),
            (400, "INVALID_ARGUMENT") => new(PushOutcome.Unclear, PushReason.FcmInvalidArgument),
            (400, _) => new(PushOutcome.Configuration, PushReason.Status400),
            (401, "THIRD_PARTY_AUTH_ERROR") => new(PushOutcome.TokenForeign, PushReason.FcmThirdPartyAuthError),
            (401, _) => new(PushOutcome.Credential, PushReason.FcmUnauthenticated, retryAfter),
            (403, "SENDER_ID_MISMATCH") => new(PushOutcome.TokenForeign, PushReason.FcmSenderIdMismatch),
            (403, _) => new(PushOutcome.Credential, PushReason.FcmPermissionDenied, retryAfter),
            (404, "UNREGISTERED") => new(PushOutcome.TokenDead, PushReason.FcmUnregistered),
            (404, _) => new(PushOutcome.Configuration, PushReason.FcmNotFound), // wrong project or URL: says nothing about the token
            (429, _) => new(PushOutcome.TokenBusy, PushReason.FcmQuotaExceeded, retryAfter ?? QuotaFloor),
            (500, _) => new(PushOutcome.Transient, PushReason.FcmInternal, retryAfter ?? UnavailableFloor),
            ( > 500, _) => new(PushOutcome.Transient, PushReason.FcmUnavailable, retryAfter ?? UnavailableFloor),
            _ => new(PushOutcome.Configuration, PushReason.Unknown),
        };
    }

    /// <summary>The errorCode of the FcmError detail, if there is one, and whether the complaint is about the device's token or about another field of the
    /// request.</summary>
    private static (string Code, bool NamesToken, bool FieldIsOurs) Read(ReadOnlySpan<byte> body)
    {
        var code = "";
        bool namesToken = false, fieldIsOurs = false;
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
                else if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("field"u8) && reader.Read()
                    && reader.TokenType == JsonTokenType.String)
                {
                    var isToken = reader.ValueTextEquals("message.token"u8);
                    namesToken |= isToken;
                    fieldIsOurs |= !isToken;
                }
                else if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("message"u8) && reader.Read()
                    && reader.TokenType == JsonTokenType.String)
                {
                    namesToken |= reader.ValueTextEquals(InvalidToken);
                }
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            // HTML or a cut body: judged by the status alone.
        }

        return (code, namesToken && !fieldIsOurs, fieldIsOurs);
    }
}
