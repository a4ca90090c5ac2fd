using System.Globalization;
using System.Text.Json.Nodes;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.KeyPackages;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Cli.Agent;

/// <summary>The one client an agent drives, and what each command does with it. Nothing happens that no command asked for: no renewal, no rotation, no commit
/// of others' proposals.</summary>
internal sealed partial class AgentSession : IAsyncDisposable
{
    private const int LogLines = 500;

    private readonly Dictionary<string, Func<AgentRequest, CancellationToken, Task<JsonObject>>> _commands;
    private readonly Queue<string> _log = new();
    private ClientStore? _store;
    private MarmotClient? _client;
    private HoldingNetwork? _network;

    /// <summary>True while publishes of some kinds wait for a release.</summary>
    public bool IsHolding => _network?.IsHolding == true;

    public AgentSession() => _commands = new(StringComparer.Ordinal)
    {
        ["init"] = InitAsync,
        ["ping"] = (_, _) => Done(new() { ["commands"] = new JsonArray([.. _commands!.Keys.Append("close").Select(name => JsonValue.Create(name))]) }),
        ["publishRelayLists"] = async (_, token) => Published(await Client.PublishRelayListsAsync(token)),
        ["publishKeyPackage"] = PublishKeyPackageAsync,
        ["fetchKeyPackage"] = FetchKeyPackageAsync,
        ["createGroup"] = async (request, token) => State(
            await Client.CreateGroupAsync(request.Text("name"), request.OptionalText("description") ?? "", request.OptionalTexts("relays"),
                request.OptionalKeys("admins"), token)),
        ["invite"] = InviteAsync,
        ["inviteMany"] = InviteManyAsync,
        ["acceptInvites"] = AcceptInvitesAsync,
        ["sync"] = SyncAsync,
        ["send"] = SendAsync,
        ["listMessages"] = (request, _) =>
            Done(new() { ["messages"] = new JsonArray([.. Client.GetMessages(request.Group).Select(message => AgentJson.Of(message.Rumor))]) }),
        ["selfUpdate"] = async (request, token) => Published(await Client.SelfUpdateAsync(request.Group, token)),
        ["updateMetadata"] = UpdateMetadataAsync,
        ["removeMember"] = async (request, token) => Published(await Client.RemoveAsync(request.Group, request.Key("pubkey"), token)),
        ["setRetention"] = async (request, token) =>
            Published(await Client.SetRetentionAsync(request.Group,
            (ulong)Math.Max(0, request.OptionalNumber("seconds") ?? throw new ClientException("seconds is missing")), token)),
        ["disband"] = async (request, token) => Published(await Client.DisbandAsync(request.Group, token)),
        ["leave"] = async (request, token) => Published(await Client.LeaveAsync(request.Group, token)),
        ["commitPending"] = async (request, token) => Published(await Client.CommitPendingAsync(request.Group, token)),
        ["groupState"] = (request, _) => Done(State(Client.GetState(request.Group))),
        ["hold"] = (request, _) => Done(Hold(request)),
        ["held"] = HeldAsync,
        ["release"] = (request, _) => Done(Release(request)),
        ["listGroups"] = (_, _) => Done(new() { ["groups"] = new JsonArray([.. Client.GroupIds.Select(id => AgentJson.Of(Client.GetState(id)))]) }),
        ["listKeyPackages"] = (_, _) => Done(new() { ["keyPackages"] = new JsonArray([.. Client.ListKeyPackages().Select(AgentJson.Of)]) }),
        ["rotateKeyPackage"] = async (request, token) => Published(await Client.RotateKeyPackageAsync(Reference(request), token)),
        ["deleteKeyPackage"] = async (request, token) => Published(await Client.DeleteKeyPackageAsync(Reference(request), token)),
        ["encryptMedia"] = (request, _) => Done(EncryptMedia(request)),
        ["decryptMedia"] = (request, _) => Done(DecryptMedia(request)),
        ["sendFile"] = SendFileAsync,
        ["getFile"] = GetFileAsync,
        ["setImage"] = async (request, token) => Published(await Client.SetImageAsync(request.Group, Base64(request.Text("data"), "data"), token)),
        ["getImage"] = async (request, token) => new()
        {
            ["data"] = await Client.GetImageAsync(request.Group, token) is { } image ? Convert.ToBase64String(image) : null,
        },
        ["removeImage"] = async (request, token) => Published(await Client.RemoveImageAsync(request.Group, token)),
        ["registerPush"] = RegisterPushAsync,
        ["unregisterPush"] = async (request, token) => Sent(await Client.UnregisterPushAsync(request.Group, token)),
        ["notify"] = async (request, token) => Published(await Client.NotifyAsync(request.Group, request.OptionalTime("maxPauseMs"), token)),
        ["maintain"] = async (_, token) => Published(await Client.MaintainAsync(token)),
        ["fetchGroupEvents"] = async (request, token) => Events(await Client.FetchGroupEventsAsync(request.Group, token)),
        ["fetchGiftWraps"] = async (_, token) => Events(await Client.FetchGiftWrapsAsync(token)),
        ["log"] = (_, _) => Done(Log()),
    };

    private MarmotClient Client => _client ?? throw new ClientException("init comes first");

    public Task<JsonObject> HandleAsync(AgentRequest request, CancellationToken cancellationToken) =>
        _commands.TryGetValue(request.Command, out var command)
            ? command(request, cancellationToken)
            : throw new ClientException($"unknown cmd '{request.Command}'");

    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.DisposeAsync();
        }

        _store?.Dispose();
    }

    private static Task<JsonObject> Done(JsonObject result) => Task.FromResult(result);

    private static JsonObject State(GroupState state) => new() { ["state"] = AgentJson.Of(state) };

    private static JsonObject Sent(SentMessage sent) => new()
    {
        ["rumor"] = AgentJson.Of(sent.Rumor),
        ["eventId"] = sent.Published.EventId.ToString(),
        ["published"] = AgentJson.Of([sent.Published]),
    };

    private static JsonObject Published(IReadOnlyList<PublishedEvent> published) => new() { ["published"] = AgentJson.Of(published) };

    private static JsonObject Published(PublishedKeyPackage package) => new()
    {
        ["ref"] = package.Reference.ToString(),
        ["event"] = AgentJson.Of(package.Event),
        ["published"] = AgentJson.Of(package.Published),
    };

    private static JsonObject Events(IEnumerable<NostrEvent> events) => new() { ["events"] = new JsonArray([.. events.Select(AgentJson.Of)]) };

    private static Bytes32 Reference(AgentRequest request) =>
        Bytes32.TryParseHex(request.Text("ref").AsSpan(), out var reference) ? reference : throw new ClientException("ref must be 64 hex digits");

    // A state folder that holds an account goes on with it; without a folder everything ends with the process.
    private async Task<JsonObject> InitAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        if (_client is not null)
        {
            throw new ClientException("init was done already");
        }

        var settings = new AccountSettings
        {
            Name = request.OptionalText("name") ?? "",
            Relays = request.OptionalTexts("relays") ?? throw new ClientException("relays is missing"),
            InboxRelays = request.OptionalTexts("inboxRelays") ?? [],
            KeyPackageRelays = request.OptionalTexts("keyPackageRelays") ?? [],
            BlossomServers = request.OptionalTexts("blossomServers") ?? [],
            Slot = request.OptionalText("clientId") ?? "",
            Profile = MarmotProfiles.Parse(request.OptionalText("profile") ?? "mip"),
        };
        SecretKey? key = null;
        if (request.OptionalText("nsec") is { } nsec && !SecretKey.TryParse(nsec, out key))
        {
            throw new ClientException("nsec is neither an nsec nor 64 hex digits");
        }

        using (key)
        {
            var store = OpenStore(request.OptionalText("stateDir"));
            try
            {
                bool isNew = !MarmotClient.HasAccount(store);
                _client = isNew ? MarmotClient.Create(store, key, settings, Connect) : MarmotClient.Open(store, Connect);
                if (!isNew && key is not null && key.PublicKey != _client.PublicKey)
                {
                    throw new ClientException("the state folder holds another account");
                }

                if (!isNew)
                {
                    // Nobody who does not say so changes the profile; moving takes its key packages along.
                    if (request.OptionalText("profile") is null)
                    {
                        settings = settings with { Profile = _client.Settings.Profile };
                    }
                    else if (settings.Profile != _client.Settings.Profile)
                    {
                        throw new ClientException("the state folder holds an account of another profile");
                    }

                    _client.Configure(settings);
                    await _client.ResumeAsync(cancellationToken);
                }

                _store = store;
            }
            catch
            {
                if (_client is not null)
                {
                    await _client.DisposeAsync();
                    _client = null;
                }

                store.Dispose();
                throw;
            }
        }

        return new JsonObject { ["pubkey"] = Client.PublicKey.ToString() };
    }

    private IRelayNetwork Connect(SecretKey account) =>
        _network = new HoldingNetwork(new RelayNetwork(new RelayNetworkOptions { Account = account }, TimeProvider.System));

    private static ClientStore OpenStore(string? folder)
    {
        if (folder is null)
        {
            return ClientStore.InMemory();
        }

        using var secret = StoreLocation.SecretFor(folder, passphraseFile: null);
        return ClientStore.Open(folder, secret);
    }

    private async Task<JsonObject> PublishKeyPackageAsync(AgentRequest request, CancellationToken cancellationToken) =>
        Published(await Client.PublishKeyPackageAsync(request.OptionalText("identifier"), request.Flag("lastResort", otherwise: true),
            request.Flag("legacy", otherwise: false), cancellationToken));

    private async Task<JsonObject> FetchKeyPackageAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        if (Client.Settings.Profile == MarmotProfile.Adopted)
        {
            var (evt, reference) = await Client.RequireAdoptedKeyPackageAsync(request.Key("pubkey"), cancellationToken);
            return new JsonObject { ["event"] = AgentJson.Of(evt), ["ref"] = reference.ToString() };
        }

        var found = await Client.FetchKeyPackageAsync(request.Key("pubkey"), request.OptionalKinds("kinds"), null, cancellationToken)
            ?? throw new ClientException("no usable key package was found");
        return new JsonObject { ["event"] = AgentJson.Of(found.Event), ["ref"] = found.Reference.ToString() };
    }

    private async Task<JsonObject> InviteAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var evt = request.OptionalEvent("event");
        if (evt is null && request.OptionalText("eventId") is { } id)
        {
            evt = await Client.FetchEventAsync(Bytes32.TryParseHex(id.AsSpan(), out var eventId)
                ? eventId
                : throw new ClientException("eventId must be 64 hex digits"), cancellationToken)
                ?? throw new ClientException("no relay has that event");
        }

        if (evt is null)
        {
            return Published(await Client.InviteAsync(request.Group, [request.Key("pubkey")], cancellationToken));
        }

        if (Client.GetState(request.Group).Profile == MarmotProfile.Adopted)
        {
            return Published(await Client.InviteByEventsAsync(request.Group, [evt], cancellationToken));
        }

        return KeyPackageEvent.TryRead(evt, DateTimeOffset.UtcNow, out var package, out string reason)
            ? Published(await Client.InviteAsync(request.Group, [package], cancellationToken))
            : throw new ClientException($"the key package is refused: {reason}");
    }

    private async Task<JsonObject> InviteManyAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        if (Client.GetState(request.Group).Profile == MarmotProfile.Adopted)
        {
            return Published(await Client.InviteAsync(request.Group, request.OptionalKeys("pubkeys") ?? throw new ClientException("pubkeys is missing"),
                cancellationToken));
        }

        // One commit, however many: that is what is asked for here.
        var packages = new List<KeyPackageEvent>();
        foreach (var owner in request.OptionalKeys("pubkeys") ?? throw new ClientException("pubkeys is missing"))
        {
            packages.Add(await Client.RequireKeyPackageAsync(owner, Client.GetState(request.Group).Relays, cancellationToken));
        }

        return Published(await Client.InviteAsync(request.Group, packages, cancellationToken));
    }

    private async Task<JsonObject> AcceptInvitesAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var report = await Client.AcceptInvitesAsync(request.OptionalTime("waitMs"), cancellationToken);
        foreach (var failed in report.Failed)
        {
            Note($"welcome {failed.WrapId}: {failed.Reason}");
        }

        return new JsonObject
        {
            ["groups"] = new JsonArray([.. report.Joined.Select(AgentJson.Of)]),
            ["failed"] = new JsonArray(
                [.. report.Failed.Select(failed => new JsonObject { ["wrapId"] = failed.WrapId.ToString(), ["reason"] = failed.Reason })]),
        };
    }

    private async Task<JsonObject> SyncAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var report = await Client.SyncAsync(request.Group, (ulong?)request.OptionalNumber("untilEpoch"), request.OptionalTime("waitMs"),
            cancellationToken: cancellationToken);
        foreach (var incident in report.Incidents)
        {
            Note($"{incident.EventId} {incident.Outcome} {incident.Reason}".TrimEnd());
        }

        return new JsonObject { ["state"] = AgentJson.Of(Client.GetState(request.Group)), ["report"] = AgentJson.Of(report) };
    }

    private async Task<JsonObject> SendAsync(AgentRequest request, CancellationToken cancellationToken) =>
        Sent(await Client.SendAsync(request.Group, request.Text("content"), (int)(request.OptionalNumber("kind") ?? 9), request.OptionalTags("tags"),
            cancellationToken));

    private async Task<JsonObject> UpdateMetadataAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        var change = new GroupChange
        {
            Name = request.OptionalText("name"),
            Description = request.OptionalText("description"),
            Admins = request.OptionalKeys("adminPubkeys"),
            Relays = request.OptionalTexts("relays"),
            NostrGroupId = request.OptionalText("nostrGroupId") is { } id
                ? (Bytes32.TryParseHex(id.AsSpan(), out var routing) ? routing : throw new ClientException("nostrGroupId must be 64 hex digits"))
                : null,
        };
        return Published(await Client.UpdateGroupAsync(request.Group, change, cancellationToken));
    }

    private JsonObject Hold(AgentRequest request)
    {
        _ = Client;
        _network!.Hold(request.OptionalKinds("kinds") ?? throw new ClientException("kinds is missing"), request.Flag("answers", otherwise: false));
        return [];
    }

    private async Task<JsonObject> HeldAsync(AgentRequest request, CancellationToken cancellationToken)
    {
        _ = Client;
        var held = await _network!.HeldAsync((int)(request.OptionalNumber("count") ?? 1), request.OptionalTime("waitMs") ?? TimeSpan.Zero)
            .WaitAsync(cancellationToken);
        return new JsonObject
        {
            ["events"] = new JsonArray(
                [.. held.Select(evt => new JsonObject { ["id"] = evt.Id.ToString(), ["kind"] = evt.Kind, ["created_at"] = evt.CreatedAt })]),
        };
    }

    private JsonObject Release(AgentRequest request)
    {
        _ = Client;
        _network!.Release(request.Flag("stop", otherwise: true));
        return [];
    }

    private static byte[] Base64(string text, string name)
    {
        try
        {
            return Convert.FromBase64String(text);
        }
        catch (FormatException)
        {
            throw new ClientException($"{name} is not base64");
        }
    }

    private void Note(string line)
    {
        lock (_log)
        {
            _log.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.UtcNow:O} {line}"));
            if (_log.Count > LogLines)
            {
                _log.Dequeue();
            }
        }
    }

    private JsonObject Log()
    {
        lock (_log)
        {
            return new JsonObject { ["entries"] = new JsonArray([.. _log.Select(line => JsonValue.Create(line))]) };
        }
    }
}
