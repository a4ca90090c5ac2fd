using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;

namespace Marmot.Protocol.Components;

/// <summary>Push tokens told inside a group in marmot-push-v1: kinds 447 (own tokens), 448 (all known ones) and 449 (removals) as inner events.
/// Thread-safe.</summary>
public static class PushGossip
{
    /// <summary>Own tokens.</summary>
    public const int UpdateKind = EventKinds.PushTokenUpdate;

    /// <summary>All tokens a member knows.</summary>
    public const int ListKind = EventKinds.PushTokenList;

    /// <summary>Removals.</summary>
    public const int RemovalKind = EventKinds.PushTokenRemoval;

    /// <summary>Most entries of one event; more make all of it invalid.</summary>
    public const int MaxEntries = 32;

    private const string Version = "marmot-push-v1";
    private static readonly TokenDialect Dialect = TokenDialect.MarmotPushV1;

    /// <summary>The one tag of these events.</summary>
    public static string[][] Tags => [["v", Version]];

    /// <summary>
    /// Reads the entries of an inner event that their owners signed for this group. A wrong version, a wrong tag or too many entries make all of it invalid,
    /// before any signature is looked at; an entry that is malformed or not signed is left out by itself.
    /// </summary>
    /// <param name="inner">The inner event; its author need not own the entries.</param>
    /// <param name="mlsGroupId">The MLS group id.</param>
    /// <param name="entries">The entries. That the member is at that leaf now is the caller's to check.</param>
    /// <param name="reason">Why all of it is invalid.</param>
    public static bool TryRead(Rumor inner, ReadOnlySpan<byte> mlsGroupId, [NotNullWhen(true)] out IReadOnlyList<PushTokenEntry>? entries,
        out RejectReason reason)
    {
        entries = null;
        reason = RejectReason.Invalid("not a marmot-push-v1 token event");
        if (inner.Kind is not (UpdateKind or ListKind or RemovalKind) || inner.Tags is not [["v", Version]])
        {
            return false;
        }

        try
        {
            using var document = JsonDocument.Parse(inner.Content);
            string name = inner.Kind == RemovalKind ? "removals" : "tokens";
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || Text(document.RootElement, "v") != Version
                || !document.RootElement.TryGetProperty(name, out var list)
                || list.ValueKind != JsonValueKind.Array
                || list.GetArrayLength() > MaxEntries)
            {
                return false;
            }

            var read = new List<PushTokenEntry>();
            foreach (var item in list.EnumerateArray())
            {
                if (ReadEntry(item, inner.Kind == RemovalKind) is { } entry && entry.IsSignedFor(mlsGroupId))
                {
                    read.Add(entry);
                }
            }

            entries = read;
            reason = default;
            return true;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            return false;
        }
    }

    /// <summary>The content of an inner event with these entries: all tokens or all removals.</summary>
    /// <exception cref="ArgumentException">More than <see cref="MaxEntries"/>, or both sorts.</exception>
    public static string Write(int kind, IReadOnlyCollection<PushTokenEntry> entries)
    {
        if (entries.Count > MaxEntries || entries.Any(entry => entry.IsRemoval != (kind == RemovalKind)))
        {
            throw new ArgumentException("at most 32 entries of the event's sort", nameof(entries));
        }

        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("v", Version);
            json.WriteStartArray(kind == RemovalKind ? "removals" : "tokens");
            foreach (var entry in entries)
            {
                WriteEntry(json, entry);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void WriteEntry(Utf8JsonWriter json, PushTokenEntry entry)
    {
        json.WriteStartObject();
        json.WriteString("member_id_hex", entry.Key.Member.ToString());
        json.WriteNumber("leaf_index", entry.Key.LeafIndex);
        json.WriteString("platform", PushTokenEntry.PlatformName(entry.Key.Platform));
        json.WriteString("token_fingerprint", entry.FingerprintText);
        json.WriteString("server_pubkey_hex", entry.Key.Server.ToString());
        if (entry.RelayHint is not null)
        {
            json.WriteString("relay_hint", entry.RelayHint);
        }

        if (entry.EncryptedToken is not null)
        {
            json.WriteString("encrypted_token", Convert.ToBase64String(entry.EncryptedToken));
        }

        json.WriteNumber("owner_ts", entry.OwnerTimestamp);
        json.WriteString("owner_sig", Convert.ToHexStringLower(entry.OwnerSignature));
        json.WriteEndObject();
    }

    private static PushTokenEntry? ReadEntry(JsonElement item, bool isRemoval)
    {
        byte[] signature = new byte[64];
        if (item.ValueKind != JsonValueKind.Object
            || !Bytes32.TryParseHex(Text(item, "member_id_hex"), out var member)
            || !Bytes32.TryParseHex(Text(item, "server_pubkey_hex"), out var server)
            || !PushTokenEntry.TryReadPlatform(Text(item, "platform"), out var platform)
            || !PushTokenEntry.TryReadFingerprint(Text(item, "token_fingerprint"), out byte[]? fingerprint)
            || !item.TryGetProperty("leaf_index", out var leaf) || leaf.ValueKind != JsonValueKind.Number || !leaf.TryGetUInt32(out uint leafIndex)
            || !item.TryGetProperty("owner_ts", out var date) || date.ValueKind != JsonValueKind.Number || !date.TryGetInt64(out long timestamp)
            || timestamp < 0
            || !Hex.TryDecodeLower(System.Text.Encoding.UTF8.GetBytes(Text(item, "owner_sig") ?? string.Empty), signature))
        {
            return null;
        }

        string? hint = Text(item, "relay_hint");
        byte[]? token = null;
        if (!isRemoval)
        {
            byte[] text = System.Text.Encoding.UTF8.GetBytes(Text(item, "encrypted_token") ?? string.Empty);
            token = new byte[Dialect.TokenSize];
            if (StrictBase64.DecodedLength(text) != token.Length || !StrictBase64.TryDecode(text, token, out _))
            {
                return null;
            }
        }

        return new PushTokenEntry
        {
            Key = new PushTokenKey(member, leafIndex, platform, server),
            Fingerprint = fingerprint,
            RelayHint = isRemoval ? null : hint,
            EncryptedToken = token,
            OwnerTimestamp = timestamp,
            OwnerSignature = signature,
        };
    }

    private static string? Text(JsonElement item, string name) =>
        item.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
