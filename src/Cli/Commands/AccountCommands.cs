using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Client.Profiles;
using Marmot.Client.Accounts;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Cli.Commands;

/// <summary><c>init</c>, <c>whoami</c>, <c>key-package</c>.</summary>
internal static class AccountCommands
{
    public static async Task InitAsync(Context context, Arguments args)
    {
        string? name = args.Option("--name");
        var relays = args.Options("--relay");
        var inbox = args.Options("--inbox-relay");
        var keyPackages = args.Options("--key-package-relay");
        var blossom = args.Options("--blossom");
        string? keyFile = args.Option("--key-file");
        string? profile = args.Option("--profile");
        args.End();

        // Again: what is not named stays as it is. A list of relays that was never named follows the account's.
        bool isNew = !MarmotClient.HasAccount(context.Store);
        var old = isNew ? new AccountSettings() : context.Client.Settings;
        var settings = old with
        {
            Name = name ?? old.Name,
            Relays = relays.Count > 0 ? relays : old.Relays,
            InboxRelays = inbox.Count > 0 ? inbox : old.InboxRelays.SequenceEqual(old.Relays) ? [] : old.InboxRelays,
            KeyPackageRelays = keyPackages.Count > 0 ? keyPackages : old.KeyPackageRelays.SequenceEqual(old.Relays) ? [] : old.KeyPackageRelays,
            BlossomServers = blossom.Count > 0 ? blossom : old.BlossomServers,
            Profile = profile is null || !isNew ? old.Profile : MarmotProfiles.Parse(profile),
        };
        bool moves = !isNew && profile is not null && MarmotProfiles.Parse(profile) != old.Profile;
        if (moves && old.Profile == MarmotProfile.Adopted)
        {
            throw new ClientException("an account that speaks the adopted profile does not go back: peers would find key packages of both");
        }

        if (settings.Relays.Count == 0)
        {
            throw new UsageException("init needs --relay URL");
        }

        if (settings.Relays.Concat(settings.InboxRelays).Concat(settings.KeyPackageRelays).FirstOrDefault(url => !RelayUrls.IsValid(url)) is { } wrong)
        {
            throw new UsageException($"a relay is a ws:// or wss:// URL, not {wrong}");
        }

        if (settings.BlossomServers.FirstOrDefault(server => !HostName.TryReadUrl(server, out var url, out _)
            || url.Scheme is not ("http" or "https")) is { } odd)
        {
            throw new UsageException($"a Blossom server is an http:// or https:// URL, not {odd}");
        }

        SecretKey? key = null;
        if (keyFile is not null && !SecretKey.TryParse((await File.ReadAllTextAsync(keyFile)).AsSpan().Trim(), out key))
        {
            throw new ClientException($"{keyFile} holds neither an nsec nor 64 hex digits");
        }

        using (key)
        {
            if (isNew)
            {
                context.Use(MarmotClient.Create(context.Store, key, settings));
            }
            else if (key is not null && key.PublicKey != context.Client.PublicKey)
            {
                throw new ClientException("another account lives here; give it a folder of its own with --home");
            }
            else
            {
                context.Client.Configure(settings);
            }
        }

        string npub = Nip19.EncodePublicKey(context.Client.PublicKey);
        var published = moves ? await context.Client.MoveToAdoptedAsync() : await context.Client.PublishRelayListsAsync();
        PublishedKeyPackage package;
        try
        {
            package = await context.Client.PublishKeyPackageAsync();
        }
        catch (ClientException failure)
        {
            throw new ClientException(
                $"{npub} lives here, but others cannot invite it yet: {failure.Message}\nrun 'marmot init' again when a relay answers, or with another one",
                failure);
        }

        context.Say(
            new JsonObject
            {
                ["pubkey"] = context.Client.PublicKey.ToString(),
                ["npub"] = npub,
                ["isNew"] = isNew,
                ["published"] = AgentJson.Of([.. published, .. package.Published]),
            },
            $"you are {npub}",
            $"relay lists and a key package are published, {Context.Fate(package.Published[0])}",
            "others can invite you now; 'marmot sync' joins");
    }

    public static void WhoAmI(Context context, Arguments args)
    {
        args.End();
        string npub = Nip19.EncodePublicKey(context.Client.PublicKey);
        var settings = context.Client.Settings;
        context.Say(
            new JsonObject
            {
                ["pubkey"] = context.Client.PublicKey.ToString(),
                ["npub"] = npub,
                ["profile"] = MarmotProfiles.Name(settings.Profile),
                ["name"] = settings.Name,
                ["relays"] = new JsonArray([.. settings.Relays.Select(relay => JsonValue.Create(relay))]),
                ["blossomServers"] = new JsonArray([.. settings.BlossomServers.Select(server => JsonValue.Create(server))]),
                ["outbox"] = context.Client.OutboxCount,
            },
            npub,
            $"relays: {string.Join(' ', settings.Relays)}",
            $"waiting to be sent: {context.Client.OutboxCount}");
    }

    public static async Task KeyPackageAsync(Context context, Arguments args)
    {
        switch (args.OptionalWord() ?? "list")
        {
            case "list":
                args.End();
                var packages = context.Client.ListKeyPackages();
                context.Say(
                    new JsonArray([.. packages.Select(AgentJson.Of)]),
                    packages.Count == 0
                        ? ["none; 'marmot key-package publish' makes one"]
                        : packages.Select(package =>
                            $"{package.Reference}  {(package.IsRetired ? "retired" : package.IsLastResort ? "last resort" : "one use")}, used "
                                + $"{Context.Count(package.Uses, "time")}"));
                break;
            case "publish":
                bool legacy = args.Flag("--legacy");
                bool once = args.Flag("--once");
                string? slot = args.Option("--slot");
                args.End();
                Published(context, await context.Client.PublishKeyPackageAsync(slot, !once, legacy));
                break;
            case "rotate":
                var old = Reference(args.OptionalWord() ?? context.Client.ListKeyPackages().FirstOrDefault(package => !package.IsRetired)?.Reference.ToString()
                    ?? throw new ClientException("there is none to rotate; 'marmot key-package publish' makes one"));
                args.End();
                Published(context, await context.Client.RotateKeyPackageAsync(old));
                break;
            case "delete":
                var gone = Reference(args.Word("the key package's reference"));
                args.End();
                var published = await context.Client.DeleteKeyPackageAsync(gone);
                context.Say(AgentJson.Of(published), $"deletion asked for: {Context.Fate(published[0])}");
                break;
            default:
                throw new UsageException("key-package list|publish|rotate|delete");
        }
    }

    private static void Published(Context context, PublishedKeyPackage package) => context.Say(
        new JsonObject { ["ref"] = package.Reference.ToString(), ["published"] = AgentJson.Of(package.Published) },
        $"{package.Reference}", Context.Fate(package.Published[0]));

    private static Bytes32 Reference(string text) =>
        Bytes32.TryParseHex(text.AsSpan(), out var reference) ? reference : throw new UsageException("a key package's reference is 64 hex digits");
}
