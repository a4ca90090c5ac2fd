using System.Buffers;
using System.Text.Json;

namespace Marmot.Protocol.RelayDocument;

/// <summary>Writes the NIP-11 document, served as <c>application/nostr+json</c>.</summary>
/// <remarks>Thread-safe; call once and serve the bytes.</remarks>
public static class RelayInformationWriter
{
    /// <summary>The media type a client asks for and gets.</summary>
    public const string MediaType = "application/nostr+json";

    /// <summary>The document as UTF-8.</summary>
    public static byte[] Write(RelayInformation document)
    {
        var output = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(output))
        {
            json.WriteStartObject();
            WriteText(json, "name"u8, document.Name);
            WriteText(json, "description"u8, document.Description);
            WriteText(json, "banner"u8, document.Banner);
            WriteText(json, "icon"u8, document.Icon);
            WriteText(json, "pubkey"u8, document.PublicKey);
            WriteText(json, "self"u8, document.Self);
            WriteText(json, "contact"u8, document.Contact);
            json.WriteStartArray("supported_nips"u8);
            foreach (var nip in document.SupportedNips)
            {
                json.WriteNumberValue(nip);
            }

            json.WriteEndArray();
            WriteText(json, "software"u8, document.Software);
            WriteText(json, "version"u8, document.Version);
            WriteText(json, "terms_of_service"u8, document.TermsOfService);
            WriteText(json, "privacy_policy"u8, document.PrivacyPolicy);
            WriteLimitation(json, document.Limitation);
            WriteRetention(json, document.Retention);
            json.WriteEndObject();
        }

        return output.WrittenSpan.ToArray();
    }

    private static void WriteLimitation(Utf8JsonWriter json, RelayLimitation limitation)
    {
        json.WriteStartObject("limitation"u8);
        WriteNumber(json, "max_message_length"u8, limitation.MaxMessageLength);
        WriteNumber(json, "max_subscriptions"u8, limitation.MaxSubscriptions);
        WriteNumber(json, "max_filters"u8, limitation.MaxFilters);
        WriteNumber(json, "max_limit"u8, limitation.MaxLimit);
        WriteNumber(json, "max_subid_length"u8, limitation.MaxSubscriptionIdLength);
        WriteNumber(json, "max_event_tags"u8, limitation.MaxEventTags);
        WriteNumber(json, "max_content_length"u8, limitation.MaxContentLength);
        WriteNumber(json, "min_pow_difficulty"u8, limitation.MinPowDifficulty);
        WriteFlag(json, "auth_required"u8, limitation.AuthRequired);
        WriteFlag(json, "payment_required"u8, limitation.PaymentRequired);
        WriteFlag(json, "restricted_writes"u8, limitation.RestrictedWrites);
        WriteNumber(json, "created_at_lower_limit"u8, limitation.CreatedAtLowerLimit);
        WriteNumber(json, "created_at_upper_limit"u8, limitation.CreatedAtUpperLimit);
        WriteNumber(json, "marmot_group_event_clock_skew"u8, limitation.GroupEventClockSkew);
        WriteNumber(json, "default_limit"u8, limitation.DefaultLimit);
        json.WriteEndObject();
    }

    private static void WriteRetention(Utf8JsonWriter json, IReadOnlyList<RelayRetention> rules)
    {
        if (rules.Count == 0)
        {
            return;
        }

        json.WriteStartArray("retention"u8);
        foreach (var rule in rules)
        {
            json.WriteStartObject();
            json.WriteStartArray("kinds"u8);
            if (rule.FirstKind == rule.LastKind)
            {
                json.WriteNumberValue(rule.FirstKind);
            }
            else
            {
                json.WriteStartArray();
                json.WriteNumberValue(rule.FirstKind);
                json.WriteNumberValue(rule.LastKind);
                json.WriteEndArray();
            }

            json.WriteEndArray();
            if (rule.Seconds is { } seconds)
            {
                json.WriteNumber("time"u8, seconds);
            }
            else
            {
                json.WriteNull("time"u8);
            }

            WriteNumber(json, "count"u8, rule.Count);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteText(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
        {
            json.WriteString(name, value);
        }
    }

    private static void WriteNumber(Utf8JsonWriter json, ReadOnlySpan<byte> name, long? value)
    {
        if (value is { } number)
        {
            json.WriteNumber(name, number);
        }
    }

    private static void WriteFlag(Utf8JsonWriter json, ReadOnlySpan<byte> name, bool? value)
    {
        if (value is { } flag)
        {
            json.WriteBoolean(name, flag);
        }
    }
}
