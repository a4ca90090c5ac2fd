using System.Text.Json.Nodes;
using Marmot.Client;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Cli.Agent;

/// <summary>The client's values as the JSON that agents and scripts read; one place for both.</summary>
internal static class AgentJson
{
    public static JsonObject Of(GroupState state) => new()
    {
        ["groupId"] = state.GroupId,
        ["profile"] = MarmotProfiles.Name(state.Profile),
        ["convergenceCommitment"] = state.ConvergenceCommitment?.ToString(),
        ["nostrGroupId"] = state.NostrGroupId.ToString(),
        ["epoch"] = state.Epoch,
        ["members"] = Of(state.Members),
        ["leaves"] = new JsonArray([.. state.Leaves.Select(leaf => new JsonObject { ["index"] = leaf.Index, ["pubkey"] = leaf.PublicKey.ToString() })]),
        ["ownLeaf"] = state.OwnLeaf,
        ["active"] = state.IsActive,
        ["name"] = state.Name,
        ["description"] = state.Description,
        ["admins"] = Of(state.Admins),
        ["relays"] = new JsonArray([.. state.Relays.Select(relay => JsonValue.Create(relay))]),
        ["pendingProposals"] = state.PendingProposals,
        ["check"] = state.Check,
        ["epochAuthenticator"] = state.EpochAuthenticator,
        ["treeHash"] = state.TreeHash,
        ["confirmedTranscriptHash"] = state.ConfirmedTranscriptHash,
    };

    public static JsonArray Of(IEnumerable<Bytes32> keys) => [.. keys.Select(key => JsonValue.Create(key.ToString()))];

    public static JsonArray Of(IEnumerable<PublishedEvent> published) => [.. published.Select(Of)];

    public static JsonObject Of(PublishedEvent published) => new()
    {
        ["eventId"] = published.EventId.ToString(),
        ["kind"] = published.Kind,
        ["createdAt"] = published.CreatedAt,
        ["acked"] = published.Acked,
        ["replies"] = new JsonArray(
            [
                .. published.Replies.Select(reply => new JsonObject
                {
                    ["relay"] = reply.Relay,
                    ["ok"] = reply.Answer == RelayAnswer.Accepted,
                    ["answer"] = Name(reply.Answer),
                    ["message"] = reply.Message,
                })
            ]),
    };

    public static JsonObject Of(GroupReport report) => new()
    {
        ["messages"] = report.Messages.Count,
        ["resent"] = report.Resent,
        ["withdrawn"] = new JsonArray([.. report.Withdrawn.Select(message => JsonValue.Create(message.Rumor.Id.ToString()))]),
        ["incidents"] = new JsonArray(
            [
                .. report.Incidents.Select(incident => new JsonObject
                {
                    ["eventId"] = incident.EventId.ToString(),
                    ["outcome"] = Name(incident.Outcome),
                    ["reason"] = incident.Reason,
                })
            ]),
        ["unreachable"] = new JsonArray([.. report.Unreachable.Select(relay => JsonValue.Create(relay))]),
    };

    public static JsonObject Of(JoinedGroup joined) => new()
    {
        ["state"] = Of(joined.State),
        ["welcome"] = new JsonObject
        {
            ["id"] = joined.Welcome.Id.ToString(),
            ["pubkey"] = joined.Welcome.PublicKey.ToString(),
            ["created_at"] = joined.Welcome.CreatedAt,
            ["wrapId"] = joined.WrapId.ToString(),
            ["keyPackageEventId"] = joined.Welcome.TagValue("e"),
        },
    };

    public static JsonNode? Of(Rumor rumor) => JsonNode.Parse(rumor.ToJson());

    public static JsonNode? Of(NostrEvent evt) => JsonNode.Parse(evt.Json.Span);

    public static JsonObject Of(MediaReference media, int size) => new()
    {
        ["sha256"] = media.PlaintextHash.ToString(),
        ["type"] = media.MimeType,
        ["filename"] = media.Filename,
        ["nonce"] = Convert.ToHexStringLower(media.Nonce),
        ["version"] = MediaReference.Version,
        ["size"] = size,
    };

    public static JsonObject Of(OwnKeyPackage package) => new()
    {
        ["ref"] = package.Reference.ToString(),
        ["identifier"] = package.Slot,
        ["eventId"] = package.EventId.ToString(),
        ["createdAt"] = package.CreatedAt,
        ["lastResort"] = package.IsLastResort,
        ["uses"] = package.Uses,
        ["retired"] = package.IsRetired,
    };

    private static string Name<T>(T value)
        where T : struct, Enum => char.ToLowerInvariant(value.ToString()[0]) + value.ToString()[1..];
}
