using System.Text.Json;
using Marmot.Blossom.Refusals;
using Marmot.Hosting.Moderating;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>GET /.well-known/blossom.json: what is offered, the limits, and the promise to take opaque bytes. No standard asks for it; clients and people
/// do.</summary>
internal sealed class PropertiesEndpoint(IOptions<BlossomOptions> options, AllowList allowList)
{
    public const string Path = "/.well-known/blossom.json";

    public async Task<Refusal?> GetAsync(HttpContext context)
    {
        var blossom = options.Value;
        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "public, max-age=300";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("promise"u8, "Any bytes are taken as application/octet-stream, without looking into them and without altering one.");
        json.WriteStartArray("buds"u8);
        foreach (var bud in Buds(blossom))
        {
            json.WriteNumberValue(bud);
        }

        json.WriteEndArray();
        json.WriteBoolean("list"u8, blossom.Lists);
        json.WriteBoolean("media"u8, false);
        json.WriteNumber("max_upload_bytes"u8, blossom.MaxUploadBytes);
        json.WriteStartArray("allowed_types"u8); // empty: all
        foreach (var type in blossom.AllowedTypes)
        {
            json.WriteStringValue(type);
        }

        json.WriteEndArray();
        json.WriteBoolean("restricted_uploads"u8, blossom.AllowedKeys.Length > 0 || allowList.IsSet);
        json.WriteNumber("max_bytes_per_key"u8, blossom.KeyBytesStored);
        json.WriteNumber("max_bytes_per_key_and_day"u8, blossom.KeyBytesPerDay);
        json.WriteNumber("uploads_per_minute"u8, blossom.UploadsPerMinute);
        json.WriteNumber("upload_bytes_per_hour"u8, blossom.UploadBytesPerHour);
        json.WriteNumber("unread_retention_seconds"u8, (long)blossom.EndUnreadAfter.TotalSeconds);
        json.WriteStartArray("retention_rules"u8);
        foreach (var rule in blossom.RetentionRules)
        {
            json.WriteStartObject();
            json.WriteString("type"u8, rule.Type);
            json.WriteNumber("min_bytes"u8, rule.MinBytes);
            json.WriteNumber("retention_seconds"u8, (long)rule.Keep.TotalSeconds);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteBoolean("keeps_types"u8, blossom.KeepsTypes);
        json.WriteBoolean("get_needs_token"u8, blossom.RequireGetToken);
        json.WriteNumber("work_bits"u8, blossom.WorkBits);
        json.WriteNumber("work_above_bytes"u8, blossom.WorkAboveBytes);
        json.WriteNumber("retention_seconds"u8, (long)blossom.KeepFor.TotalSeconds);
        json.WriteString("expiration_header"u8, "X-Expiration");
        json.WriteString("padding"u8, "Sizes are visible. Clients should pad the plaintext (Padme costs at most 12 percent); this server never pads.");
        json.WriteEndObject();
        await json.FlushAsync(context.RequestAborted);
        return null;
    }

    /// <summary>The BUDs that hold with these settings.</summary>
    internal static IEnumerable<int> Buds(BlossomOptions blossom) =>
        ((int[])[1, 2, 6, 10, 11, 12]).Concat(blossom.Mirrors ? [4] : []).Concat(blossom.TakesReports ? [9] : []).Order();
}
