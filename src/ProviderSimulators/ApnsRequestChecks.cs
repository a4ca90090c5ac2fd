using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Marmot.ProviderSimulators.Http2;

namespace Marmot.ProviderSimulators;

/// <summary>
/// Apple's reading of one request, apart from the provider token: path, headers, payload, topic and device tables. Steps in the
/// order in which the first fault decides.
/// </summary>
internal sealed partial class ApnsRequestChecks(ApnsSimulatorOptions options)
{
    private const string DevicePath = "/3/device/";
    private const int MaxPayloadBytes = 4096;
    private const int MaxVoipPayloadBytes = 5120;
    private const int MaxCollapseIdBytes = 64;
    /// <summary>Apple: a token's length may change; 100 bytes is the most its documents name.</summary>
    private const int MaxTokenChars = 200;
    private const string BackgroundPush = "background";

    private static readonly HashSet<string> PushTypes =
        ["alert", BackgroundPush, "controls", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity", "pushtotalk", "widgets"];

    /// <summary>A push to these goes to the bundle id with a suffix.</summary>
    private static readonly string[] TopicSuffixes =
        [
            ".voip", ".complication", ".pushkit.fileprovider", ".push-type.liveactivity", ".voip-ptt", ".location-query", ".push-type.controls",
            ".push-type.widgets"
        ];

    private readonly Dictionary<string, ApnsDevice> _devices = options.Devices.ToDictionary(device => device.Token, StringComparer.OrdinalIgnoreCase);

    /// <summary>The device token in the path, or empty.</summary>
    public static string TokenOf(Http2Exchange exchange) =>
        exchange.Header(":path") is { } path && path.StartsWith(DevicePath, StringComparison.Ordinal) ? path[DevicePath.Length..] : "";

    /// <summary>Method and path, checked before the provider token.</summary>
    public static ApnsRefusal? CheckRoute(Http2Exchange exchange)
    {
        if (exchange.Header(":method") != "POST") return new(405, "MethodNotAllowed");
        var path = exchange.Header(":path") ?? "";
        if (path is "/3/device" or DevicePath) return new(400, "MissingDeviceToken");
        return path.StartsWith(DevicePath, StringComparison.Ordinal) && !path[DevicePath.Length..].Contains('/', StringComparison.Ordinal)
            ? null
            : new ApnsRefusal(404, "BadPath");
    }

    /// <summary>All the rest; the timestamp belongs to a 410.</summary>
    public ApnsRefusal? Check(Http2Exchange exchange, ApnsSigningKey key, List<string> warnings, out DateTimeOffset? timestamp)
    {
        timestamp = null;
        return CheckHeaders(exchange, warnings) ?? CheckPayload(exchange, warnings) ?? CheckTopic(exchange, key)
            ?? CheckDevice(exchange, warnings, out timestamp);
    }

    private static ApnsRefusal? CheckHeaders(Http2Exchange exchange, List<string> warnings)
    {
        var names = exchange.Headers.Select(header => header.Key)
            .Where(name => name.StartsWith("apns-", StringComparison.Ordinal) || name == "authorization").ToArray();
        if (names.Length != names.Distinct(StringComparer.Ordinal).Count()) return new(400, "DuplicateHeaders");
        if (exchange.Header("apns-id") is { } id && !(id.Length == 36 && Guid.TryParseExact(id, "D", out _))) return new(400, "BadMessageId");
        if (exchange.Header("apns-expiration") is { } expiration && !ulong.TryParse(expiration, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            return new(400, "BadExpirationDate");
        }

        if (exchange.Header("apns-collapse-id") is { } collapseId && Encoding.UTF8.GetByteCount(collapseId) > MaxCollapseIdBytes)
        {
            return new(400, "BadCollapseId");
        }

        var type = exchange.Header("apns-push-type");
        if (type is null) warnings.Add("apns-push-type is missing: required by iOS 13 and later");
        else if (!PushTypes.Contains(type)) return new(400, "InvalidPushType");
        var priority = exchange.Header("apns-priority");
        if (priority is not (null or "1" or "5" or "10")) return new(400, "BadPriority");
        // Apple: 10, which is also the default, is an error for a push that only wakes the app.
        if (type == BackgroundPush && priority is (null or "10")) return new(400, "BadPriority");
        if (exchange.Header("apns-expiration") is null) warnings.Add("apns-expiration is missing: Apple stores the push by its own policy");
        return null;
    }

    private static ApnsRefusal? CheckPayload(Http2Exchange exchange, List<string> warnings)
    {
        var type = exchange.Header("apns-push-type");
        if (exchange.BodyBytes == 0) return new(400, "PayloadEmpty");
        if (exchange.BodyBytes > (type == "voip" ? MaxVoipPayloadBytes : MaxPayloadBytes)) return new(413, "PayloadTooLarge");
        try
        {
            using var payload = JsonDocument.Parse(exchange.Body);
            if (payload.RootElement.ValueKind != JsonValueKind.Object) return new(400, "PayloadEmpty");
            if (!payload.RootElement.TryGetProperty("aps", out var aps) || aps.ValueKind != JsonValueKind.Object)
            {
                warnings.Add("the payload has no aps dictionary");
            }
            else if (type == BackgroundPush)
            {
                WarnAboutBackground(aps, warnings);
            }
        }
        catch (JsonException)
        {
            return new(400, "PayloadEmpty");
        }
        return null;
    }

    private static void WarnAboutBackground(JsonElement aps, List<string> warnings)
    {
        if (!aps.TryGetProperty("content-available", out var available) || available.ValueKind != JsonValueKind.Number || available.GetRawText() != "1")
        {
            warnings.Add("a background push needs content-available 1");
        }

        foreach (var name in (ReadOnlySpan<string>)["alert", "badge", "sound"])
        {
            if (aps.TryGetProperty(name, out _)) warnings.Add($"a background push must not carry {name}");
        }
    }

    private ApnsRefusal? CheckTopic(Http2Exchange exchange, ApnsSigningKey key)
    {
        if (exchange.Header("apns-topic") is not { Length: > 0 } topic) return new(400, "MissingTopic");
        if (!TopicPattern().IsMatch(topic)) return new(400, "BadTopic");
        var bundle = BundleOf(topic);
        if (options.Topics.Count > 0 && !options.Topics.Contains(topic) && !options.Topics.Contains(bundle)) return new(400, "TopicDisallowed");
        if (key.Topics is { } allowed && !allowed.Contains(topic) && !allowed.Contains(bundle)) return new(400, "TopicDisallowed");
        return null;
    }

    private ApnsRefusal? CheckDevice(Http2Exchange exchange, List<string> warnings, out DateTimeOffset? timestamp)
    {
        timestamp = null;
        var token = TokenOf(exchange);
        if (token.Length > MaxTokenChars || token.Length % 2 != 0 || !token.All(char.IsAsciiHexDigit)) return new(400, "BadDeviceToken");
        if (token.Any(char.IsAsciiLetterUpper)) warnings.Add("the device token is not in lower case");
        if (!_devices.TryGetValue(token, out var device)) return options.KnownDevicesOnly ? new(400, "BadDeviceToken") : null;
        if (device.Environment != options.Environment) return new(400, "BadDeviceToken");
        if (device.Topic != exchange.Header("apns-topic") && device.Topic != BundleOf(exchange.Header("apns-topic")!))
        {
            return new(400, "DeviceTokenNotForTopic");
        }

        timestamp = device.UnregisteredAt;
        return timestamp is null ? null : new ApnsRefusal(410, "Unregistered");
    }

    private static string BundleOf(string topic)
    {
        foreach (var suffix in TopicSuffixes)
        {
            if (topic.EndsWith(suffix, StringComparison.Ordinal)) return topic[..^suffix.Length];
        }
        return topic;
    }

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9.-]{0,254}\z")]
    private static partial Regex TopicPattern();
}
