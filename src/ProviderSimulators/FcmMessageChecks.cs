using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Marmot.ProviderSimulators;

/// <summary>FCM's reading of one messages:send body. The first fault decides.</summary>
internal static class FcmMessageChecks
{
    private const int MaxDataBytes = 4096;
    private const int MaxTtlSeconds = 2_419_200;
    /// <summary>Room for the JSON around 4,096 bytes of data; a larger body is a mistake.</summary>
    public const int MaxBodyBytes = 64 * 1024;
    private const int MaxTokenChars = 4096;

    private static readonly HashSet<string> MessageFields = [
        "name", "data", "notification", "android", "webpush", "apns", "fcm_options", "token", "topic", "condition"
    ];
    private static readonly HashSet<string> AndroidFields = [
        "collapse_key", "collapseKey", "priority", "ttl", "restricted_package_name", "restrictedPackageName", "data", "notification", "fcm_options",
        "fcmOptions", "direct_boot_ok", "directBootOk"
    ];

    /// <summary>The device token without any judgement, for the record.</summary>
    public static string TokenOf(ReadOnlySpan<byte> body)
    {
        try
        {
            var reader = new Utf8JsonReader(body);
            using var document = JsonDocument.ParseValue(ref reader);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("message", out var message)
                && message.ValueKind == JsonValueKind.Object && message.TryGetProperty("token", out var token) && token.ValueKind == JsonValueKind.String
                    ? token.GetString()!
                    : "";
        }
        catch (Exception failure) when (failure is JsonException or InvalidOperationException)
        {
            return "";
        }
    }

    /// <summary>The error body of a refused message, or null.</summary>
    public static string? Check(ReadOnlyMemory<byte> body, List<string> warnings, out bool validateOnly)
    {
        validateOnly = false;
        if (body.Length > MaxBodyBytes) return FcmErrors.OfField("message", "Request payload size exceeds the limit.");
        try
        {
            using var document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                return FcmErrors.OfField("", "Invalid JSON payload received. Root element must be a message.");
            }

            return CheckRequest(document.RootElement, warnings, out validateOnly);
        }
        catch (Exception failure) when (failure is JsonException or InvalidOperationException)
        {
            return FcmErrors.OfField("", "Invalid JSON payload received. Unable to parse.");
        }
    }

    private static string? CheckRequest(JsonElement request, List<string> warnings, out bool validateOnly)
    {
        validateOnly = false;
        foreach (var field in request.EnumerateObject())
        {
            if (field.Name is not ("message" or "validate_only" or "validateOnly")) return Unknown("", field.Name);
            if (field.Name == "message") continue;
            if (field.Value.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
            {
                return FcmErrors.OfField("validate_only", "Invalid value (TYPE_BOOL)");
            }

            validateOnly = field.Value.GetBoolean();
        }
        if (!request.TryGetProperty("message", out var message) || message.ValueKind != JsonValueKind.Object)
        {
            return FcmErrors.OfField("message", "Message is not set.");
        }

        foreach (var field in message.EnumerateObject())
        {
            if (!MessageFields.Contains(field.Name)) return Unknown("message", field.Name);
        }
        return CheckTarget(message) ?? CheckData(message, "message.data") ?? CheckAndroid(message, warnings);
    }

    private static string? CheckTarget(JsonElement message)
    {
        var targets = (message.TryGetProperty("token", out var token) ? 1 : 0) + (message.TryGetProperty("topic", out _) ? 1 : 0)
            + (message.TryGetProperty("condition", out _) ? 1 : 0);
        if (targets != 1)
        {
            return FcmErrors.OfField("message", targets == 0
                ? "Recipient of the message is not set."
                : "Exactly one of token, topic or condition is required.");
        }

        if (token.ValueKind == JsonValueKind.Undefined) return null;
        if (token.ValueKind != JsonValueKind.String) return FcmErrors.OfField("message.token", "Invalid value (TYPE_STRING)");
        var text = token.GetString()!;
        // A malformed token is the token's fault, told by FcmError rather than by a field.
        return text.Length is 0 or > MaxTokenChars || !text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '_' or ':' or '.' or '-')
            ? FcmErrors.OfCode(400, "INVALID_ARGUMENT")
            : null;
    }

    private static string? CheckData(JsonElement owner, string path)
    {
        if (!owner.TryGetProperty("data", out var data)) return null;
        if (data.ValueKind != JsonValueKind.Object) return FcmErrors.OfField(path, "Invalid value (Map)");
        var size = 0;
        foreach (var entry in data.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.String) return FcmErrors.OfField(path + "[0].value", "Invalid value at '" + path + "' (TYPE_STRING)");
            if (entry.Name is "" or "from" or "message_type" || entry.Name.StartsWith("google", StringComparison.Ordinal)
                || entry.Name.StartsWith("gcm", StringComparison.Ordinal))
            {
                return FcmErrors.OfField(path, "Invalid data payload key: " + entry.Name);
            }

            size += Encoding.UTF8.GetByteCount(entry.Name) + Encoding.UTF8.GetByteCount(entry.Value.GetString()!);
        }
        return size > MaxDataBytes ? FcmErrors.OfField(path, "Android message is too big") : null;
    }

    private static string? CheckAndroid(JsonElement message, List<string> warnings)
    {
        if (!message.TryGetProperty("android", out var android)) return null;
        if (android.ValueKind != JsonValueKind.Object) return FcmErrors.OfField("message.android", "Invalid value (AndroidConfig)");
        foreach (var field in android.EnumerateObject())
        {
            if (!AndroidFields.Contains(field.Name)) return Unknown("message.android", field.Name);
        }
        if (android.TryGetProperty("priority", out var priority)
            && (priority.ValueKind != JsonValueKind.String || priority.GetString() is not ("normal" or "high" or "NORMAL" or "HIGH")))
        {
            return FcmErrors.OfField("message.android.priority", "Invalid value (AndroidMessagePriority)");
        }

        if (android.TryGetProperty("ttl", out var ttl))
        {
            if (ttl.ValueKind != JsonValueKind.String || !IsTtl(ttl.GetString()!))
            {
                return FcmErrors.OfField("message.android.ttl", "Invalid ttl duration: 0 s to 2419200 s, e.g. \"3.5s\"");
            }
        }
        else
        {
            warnings.Add("android.ttl is missing: FCM keeps the message for four weeks");
        }
        return CheckData(android, "message.android.data");
    }

    private static bool IsTtl(string text) => text.EndsWith('s')
        && decimal.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)
        && seconds is >= 0 and <= MaxTtlSeconds;

    private static string Unknown(string path, string name) =>
        FcmErrors.OfField(path, $"Invalid JSON payload received. Unknown name \"{name}\"{(path.Length == 0 ? "" : $" at '{path}'")}: Cannot find field.");
}
