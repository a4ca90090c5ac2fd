using System.CommandLine;
using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Profiles;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Terminal;

namespace Marmot.Cli.Commands;

/// <summary><c>init</c>, <c>whoami</c>, <c>key-package</c>.</summary>
internal static class AccountCommands
{
    public static Command CreateInit()
    {
        var name = Define.Text("--name", "TEXT", "what others see as the account's name");
        var relays = Define.List("--relay", "URL", "a relay of the account; may be repeated");
        var inbox = Define.List("--inbox-relay", "URL", "where invitations arrive (default: the relays)");
        var keyPackages = Define.List("--key-package-relay", "URL", "where key packages are published (default: the relays)");
        var blossom = Define.List("--blossom", "URL", "a Blossom server for media; may be repeated");
        var keyFile = Define.Text("--key-file", "FILE", "holds the account's nsec (default: a new key)");
        var profile = Define.Choice("--profile", "mip, or adopted as today's White Noise speaks it (default: mip; an account moves once)", "mip", "adopted");
        profile.DefaultValueFactory = null;
        return new Command("init", "make an account here and publish its key package; again: change what is named")
        {
            relays, inbox, keyPackages, blossom, name, keyFile, profile,
        }.RunsWithAccount(
                (context, words) => InitAsync(context, words.GetValue(name), words.GetValue(relays)!, words.GetValue(inbox)!, words.GetValue(keyPackages)!,
                    words.GetValue(blossom)!, words.GetValue(keyFile), words.GetValue(profile)),
                mayBeNew: true);
    }

    public static Command CreateWhoAmI() => new Command("whoami", "the account, and what waits to be sent").RunsWithAccount((context, _) => WhoAmI(context));

    public static Command CreateKeyPackage()
    {
        var legacy = Define.Flag("--legacy", "of kind 443, for old clients");
        var once = Define.Flag("--once", "for one use");
        var slot = Define.Text("--slot", "D", "replace the one of this slot (d tag)");
        var optional = Define.OptionalWord("REF", "64 hex digits (default: the newest)");
        var reference = Define.Word("REF", "64 hex digits");
        var list = new Command("list", "own key packages").RunsWithAccount((context, _) => ListKeyPackages(context));
        return new Command("key-package", "own key packages")
        {
            list,
            new Command("publish", "make one and publish it") { legacy, once, slot }.RunsWithAccount(async (context, words) =>
                Published(context, await context.Client.PublishKeyPackageAsync(words.GetValue(slot), !words.GetValue(once), words.GetValue(legacy)))),
            new Command("rotate", "replace one by a new one") { optional }.RunsWithAccount(async (context, words) =>
            {
                var old = Reference(words.GetValue(optional)
                    ?? context.Client.ListKeyPackages().FirstOrDefault(package => !package.IsRetired)?.Reference.ToString()
                    ?? throw new ClientException("there is none to rotate; 'marmot key-package publish' makes one"));
                Published(context, await context.Client.RotateKeyPackageAsync(old));
            }),
            new Command("delete", "ask the relays to delete one") { reference }.RunsWithAccount(async (context, words) =>
            {
                var published = await context.Client.DeleteKeyPackageAsync(Reference(words.GetRequiredValue(reference)));
                context.Say(AgentJson.Of(published), $"deletion asked for: {Context.Fate(published[0])}");
            }),
        }.RunsWithAccount((context, _) => ListKeyPackages(context));
    }

    private static async Task InitAsync(Context context, string? name, string[] relays, string[] inbox, string[] keyPackages, string[] blossom, string? keyFile,
        string? profile)
    {
        // Again: what is not named stays as it is. A list of relays that was never named follows the account's.
        bool isNew = !MarmotClient.HasAccount(context.Store);
        var old = isNew ? new AccountSettings() : context.Client.Settings;
        var settings = old with
        {
            Name = name ?? old.Name,
            Relays = relays.Length > 0 ? relays : old.Relays,
            InboxRelays = inbox.Length > 0 ? inbox : old.InboxRelays.SequenceEqual(old.Relays) ? [] : old.InboxRelays,
            KeyPackageRelays = keyPackages.Length > 0 ? keyPackages : old.KeyPackageRelays.SequenceEqual(old.Relays) ? [] : old.KeyPackageRelays,
            BlossomServers = blossom.Length > 0 ? blossom : old.BlossomServers,
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

    private static void WhoAmI(Context context)
    {
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

    private static void ListKeyPackages(Context context)
    {
        var packages = context.Client.ListKeyPackages();
        context.Say(
            new JsonArray([.. packages.Select(AgentJson.Of)]),
            packages.Count == 0
                ? ["none; 'marmot key-package publish' makes one"]
                : packages.Select(package =>
                {
                    string fate = package.IsRetired ? "retired" : package.IsLastResort ? "last resort" : "one use";
                    return $"{package.Reference}  {fate}, used {Context.Count(package.Uses, "time")}";
                }));
    }

    private static void Published(Context context, PublishedKeyPackage package) => context.Say(
        new JsonObject { ["ref"] = package.Reference.ToString(), ["published"] = AgentJson.Of(package.Published) },
        $"{package.Reference}", Context.Fate(package.Published[0]));

    private static Bytes32 Reference(string text) =>
        Bytes32.TryParseHex(text.AsSpan(), out var reference) ? reference : throw new UsageException("a key package's reference is 64 hex digits");
}
