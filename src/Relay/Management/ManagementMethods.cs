using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Hosting.Callers;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Relay.Ingest;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Management;

/// <summary>The methods of NIP-86. A ban removes what is stored and overwrites it, as every removal does.</summary>
internal sealed class ManagementMethods(
    Moderation moderation, Decisions decisions, IOptions<RelayOptions> options)
{
    private const int MaxText = 1000;

    private static readonly string[] Names =
    [
        "banpubkey", "unbanpubkey", "listbannedpubkeys", "allowpubkey", "unallowpubkey", "listallowedpubkeys", "allowevent", "banevent",
        "listbannedevents", "changerelayname", "changerelaydescription", "changerelayicon", "allowkind", "disallowkind", "listallowedkinds",
        "blockip", "unblockip", "listblockedips",
    ];

    /// <summary>Carries out one call; a mistake of the caller's is an <see cref="ArgumentException"/> with its sentence.</summary>
    /// <param name="method">Its name.</param>
    /// <param name="parameters">Its array.</param>
    /// <param name="by">Who calls, for the audit trail.</param>
    /// <param name="cancel">Gives it up.</param>
    public async Task<JsonNode> CallAsync(string method, JsonElement parameters, string by, CancellationToken cancel)
    {
        Task DecideAsync(string target, Func<ModerationState, ModerationState> change) => decisions.DecideAsync(method, target, "", by, change, cancel);

        switch (method)
        {
            case "supportedmethods":
                return new JsonArray([.. Names.Select(name => JsonValue.Create(name))]);
            case "banpubkey":
                await decisions.DecideAsync("ban-key", Key(parameters), Reason(parameters), by, cancel);
                return true;
            case "unbanpubkey":
                await decisions.DecideAsync("unban-key", Key(parameters), "", by, cancel);
                return true;
            case "listbannedpubkeys":
                return List(moderation.State.BannedKeys, "pubkey");
            case "allowpubkey":
                await decisions.DecideAsync("allow-key", Key(parameters), Reason(parameters), by, cancel);
                return true;
            case "unallowpubkey":
                await decisions.DecideAsync("unallow-key", Key(parameters), "", by, cancel);
                return true;
            case "listallowedpubkeys":
                return List(moderation.State.AllowedKeys, "pubkey");
            case "banevent":
                await decisions.DecideAsync("ban-event", Key(parameters), Reason(parameters), by, cancel);
                return true;
            case "allowevent":
                await decisions.DecideAsync("unban-event", Key(parameters), "", by, cancel);
                return true;
            case "listbannedevents":
                return List(moderation.State.BannedEvents, "id");
            case "changerelayname":
                await DecideAsync(Text(parameters), s => s with { Name = Text(parameters) });
                return true;
            case "changerelaydescription":
                await DecideAsync(Text(parameters), s => s with { Description = Text(parameters) });
                return true;
            case "changerelayicon":
                await DecideAsync(Text(parameters), s => s with { Icon = Text(parameters) });
                return true;
            case "allowkind":
                var wanted = Kind(parameters);
                if (WritePolicy.IsOnlyEncrypted(wanted))
                {
                    throw new ArgumentException("this kind exists only inside encryption");
                }

                await DecideAsync($"{wanted}", s =>
                    s with { AllowedKinds = [.. s.AllowedKinds, wanted], DisallowedKinds = [.. s.DisallowedKinds.Where(k => k != wanted)] });
                return true;
            case "disallowkind":
                var unwanted = Kind(parameters);
                await DecideAsync($"{unwanted}", s =>
                    s with { AllowedKinds = [.. s.AllowedKinds.Where(k => k != unwanted)], DisallowedKinds = [.. s.DisallowedKinds, unwanted] });
                return true;
            case "listallowedkinds":
                return new JsonArray([.. AllowedKinds().Select(kind => JsonValue.Create(kind))]);
            case "blockip":
                await decisions.DecideAsync("block-address", Address(parameters), Reason(parameters), by, cancel);
                return true;
            case "unblockip":
                await decisions.DecideAsync("unblock-address", Address(parameters), "", by, cancel);
                return true;
            case "listblockedips":
                return List(moderation.State.BlockedAddresses, "ip");
            default:
                throw new ArgumentException("unknown method");
        }
    }

    // Where all kinds are taken, those named one by one; else every kind that is taken.
    private IEnumerable<int> AllowedKinds()
    {
        var state = moderation.State;
        var kinds = options.Value.Kinds == RelayKinds.Marmot
            ? Enumerable.Range(0, ushort.MaxValue + 1).Where(WritePolicy.IsMarmotKind).Union(state.AllowedKinds)
            : state.AllowedKinds;
        return kinds.Except(state.DisallowedKinds).Order();
    }

    private static string Reason(JsonElement parameters) =>
        parameters.GetArrayLength() > 1 && parameters[1].ValueKind == JsonValueKind.String ? Short(parameters[1].GetString()!) : "";

    private static JsonArray List(Dictionary<string, string> all, string name) =>
        new([.. all.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => new JsonObject { [name] = pair.Key, ["reason"] = pair.Value })]);

    private static string Key(JsonElement parameters) =>
        First(parameters) is { ValueKind: JsonValueKind.String } value && Bytes32.TryParseHex(value.GetString().AsSpan(), out var key)
            ? key.ToString()
            : throw new ArgumentException("the first parameter is 64 lower-case hex digits");

    private static int Kind(JsonElement parameters) =>
        First(parameters) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out var kind) && kind is >= 0 and <= ushort.MaxValue
            ? kind
            : throw new ArgumentException("the first parameter is a kind, 0 to 65535");

    private static string Address(JsonElement parameters) =>
        First(parameters) is { ValueKind: JsonValueKind.String } value && IPAddress.TryParse(value.GetString(), out var address)
            ? CallerAddress.Unmapped(address).ToString()
            : throw new ArgumentException("the first parameter is an IP address");

    private static string Text(JsonElement parameters) =>
        First(parameters) is { ValueKind: JsonValueKind.String } value
            ? Short(value.GetString()!)
            : throw new ArgumentException("the first parameter is a text");

    private static string Short(string text) => text.Length <= MaxText ? text : text[..MaxText];

    private static JsonElement First(JsonElement parameters) => parameters.GetArrayLength() > 0 ? parameters[0] : default;
}
