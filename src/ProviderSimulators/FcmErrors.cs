using System.Text.Json.Nodes;

namespace Marmot.ProviderSimulators;

/// <summary>The error bodies of FCM HTTP v1: google.rpc status with details.</summary>
internal static class FcmErrors
{
    public const string FcmErrorType = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    private const string BadRequestType = "type.googleapis.com/google.rpc.BadRequest";
    private const string QuotaFailureType = "type.googleapis.com/google.rpc.QuotaFailure";
    private const string ErrorInfoType = "type.googleapis.com/google.rpc.ErrorInfo";

    /// <summary>What Google answers to a path that is none of its own.</summary>
    public const string NotFoundPage = "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n<p>The requested URL was not found on this "
        + "server.\n";

    /// <summary>An error with an FcmError code, as for a scripted verdict. An unknown code goes out as it is, with the status its HTTP code has.</summary>
    public static string OfCode(int httpStatus, string? errorCode)
    {
        var (status, message) = errorCode switch
        {
            "UNSPECIFIED_ERROR" => ("UNKNOWN", "Unknown error."),
            "INVALID_ARGUMENT" => ("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
            "UNREGISTERED" => ("NOT_FOUND", "Requested entity was not found."),
            "SENDER_ID_MISMATCH" => ("PERMISSION_DENIED", "SenderId mismatch"),
            "QUOTA_EXCEEDED" => ("RESOURCE_EXHAUSTED", "Sending limit exceeded for the message target."),
            "UNAVAILABLE" => ("UNAVAILABLE", "The service is currently unavailable."),
            "INTERNAL" => ("INTERNAL", "Internal error encountered."),
            "THIRD_PARTY_AUTH_ERROR" => ("UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
            _ => (StatusOf(httpStatus), "The request failed."),
        };
        return errorCode is null ? Write(httpStatus, status, message) : Write(httpStatus, status, message, Detail(FcmErrorType, "errorCode", errorCode));
    }

    /// <summary>Our own body is wrong: BadRequest names the field.</summary>
    public static string OfField(string field, string description) => Write(400, "INVALID_ARGUMENT", description, new JsonObject
    {
        ["@type"] = BadRequestType,
        ["fieldViolations"] = new JsonArray(new JsonObject { ["field"] = field, ["description"] = description }),
    });

    public static string OfQuota(string subject, string description) => Write(429, "RESOURCE_EXHAUSTED", description,
        Detail(FcmErrorType, "errorCode", "QUOTA_EXCEEDED"),
        new JsonObject
        {
            ["@type"] = QuotaFailureType,
            ["violations"] = new JsonArray(new JsonObject { ["subject"] = subject, ["description"] = description }),
        });

    /// <summary>A credential or project fault: ErrorInfo, no FcmError.</summary>
    public static string OfReason(int httpStatus, string message, string reason) => Write(httpStatus, StatusOf(httpStatus), message, new JsonObject
    {
        ["@type"] = ErrorInfoType,
        ["reason"] = reason,
        ["domain"] = "googleapis.com",
        ["metadata"] = new JsonObject { ["service"] = "fcm.googleapis.com" },
    });

    public static string Write(int code, string status, string message, params ReadOnlySpan<JsonObject> details)
    {
        var error = new JsonObject { ["code"] = code, ["message"] = message, ["status"] = status };
        if (details.Length > 0) error["details"] = new JsonArray([.. details]);
        return new JsonObject { ["error"] = error }.ToJsonString();
    }

    private static JsonObject Detail(string type, string name, string value) => new() { ["@type"] = type, [name] = value };

    private static string StatusOf(int httpStatus) => httpStatus switch
    {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    };
}
