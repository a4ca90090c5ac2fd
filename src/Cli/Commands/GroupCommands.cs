using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.GiftWraps;
using Marmot.Terminal;

namespace Marmot.Cli.Commands;

/// <summary><c>group ...</c>: every step looks at the relays first, so that it starts from the newest epoch.</summary>
internal static class GroupCommands
{
    public static Command CreateCommand()
    {
        var group = Define.Word("GROUP", "the group");
        var name = Define.Word("NAME", "its name");
        var text = Define.Word("TEXT", "its description");
        var member = Define.ParsedWord<Bytes32>("NPUB", "the member", Context.ReadKey);
        var seconds = Define.ParsedWord<ulong>("SECONDS", "after how many messages are deleted; 0: never", text =>
            ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
                ? (number, null)
                : (0, "the retention is a number of seconds"));
        var people = Define.Words("NPUB", "public keys");
        var description = Define.Text("--description", "TEXT", "what it is about");
        var relays = Define.List("--relay", "URL", "where its messages go (default: the account's relays); may be repeated");
        return new Command("group", "groups and their members")
        {
            new Command("list", "all groups").RunsWithAccount((context, _) => List(context)),
            new Command("create", "make a group") { name, description, relays }.RunsWithAccount((context, words) =>
                CreateAsync(context, words.GetRequiredValue(name), words.GetValue(description) ?? "", words.GetValue(relays)!)),
            new Command("members", "who is in it") { group }
                .RunsWithAccount((context, words) => Members(context, context.Group(words.GetRequiredValue(group)))),
            Change("invite", "invite people", people, (client, id, words) => client.InviteAsync(id, Keys(words)), nothing: "all of them are members already"),
            Change("remove", "remove a member", member, (client, id, words) => client.RemoveAsync(id, words.GetValue(member))),
            new Command("leave", "leave the group") { group }
                .RunsWithAccount((context, words) => LeaveAsync(context, context.Group(words.GetRequiredValue(group)))),
            Change("rename", "give it another name", name, (client, id, words) =>
                client.UpdateGroupAsync(id, new GroupChange { Name = words.GetRequiredValue(name) })),
            Change("describe", "give it another description", text, (client, id, words) =>
                client.UpdateGroupAsync(id, new GroupChange { Description = words.GetRequiredValue(text) })),
            Change("admin", "name all admins from now on", people, (client, id, words) =>
                client.UpdateGroupAsync(id, new GroupChange { Admins = Keys(words) })),
            Change("retention", "how long members keep messages (adopted profile)", seconds, (client, id, words) =>
                client.SetRetentionAsync(id, words.GetValue(seconds))),
            Change("disband", "end it for everybody (adopted profile)", null, (client, id, _) => client.DisbandAsync(id),
                hint: "the group ends for everybody who reads this"),
            Change("renew", "renew the own keys", null, (client, id, _) => client.SelfUpdateAsync(id)),
            CreateImage(group),
        }.RunsWithAccount((context, _) => List(context));

        List<Bytes32> Keys(ParseResult words) => [.. words.GetRequiredValue(people).Select(Context.Key)];

        Command Change(
            string verb, string what, Argument? operand, Func<MarmotClient, string, ParseResult, Task<IReadOnlyList<PublishedEvent>>> step,
                string? nothing = null, string? hint = null)
        {
            var command = new Command(verb, what) { group };
            if (operand is not null)
            {
                command.Add(operand);
            }

            return command.RunsWithAccount((context, words) =>
            {
                string id = context.Group(words.GetRequiredValue(group));
                return CommitAsync(context, id, () => step(context.Client, id, words), hint, nothing);
            });
        }
    }

    private static Command CreateImage(Argument<string> group)
    {
        var verb = Define.WordOf("VERB", "what to do with the group's picture", "set", "get", "remove");
        var file = Define.OptionalWord("FILE", "the picture's file, to read (set) or to write (get)");
        return new Command("image", "the group's picture") { group, verb, file }.RunsWithAccount((context, words) =>
            ImageAsync(context, context.Group(words.GetRequiredValue(group)), words.GetRequiredValue(verb), words.GetValue(file)));
    }

    private static void List(Context context)
    {
        var states = context.Client.GroupIds.Select(context.Client.GetState).ToList();
        context.Say(
            new JsonArray([.. states.Select(AgentJson.Of)]),
            states.Count == 0 ? ["no groups yet; 'marmot group create NAME' makes one, 'marmot sync' joins where you are invited"] : states.Select(Line));
    }

    private static async Task CreateAsync(Context context, string name, string description, string[] relays)
    {
        var created = await context.Client.CreateGroupAsync(name, description, relays.Length > 0 ? relays : null);
        context.Say(AgentJson.Of(created), Line(created), $"invite somebody: marmot group invite {created.GroupId[..8]} NPUB");
    }

    private static void Members(Context context, string group)
    {
        var state = context.Client.GetState(group);
        context.Say(
            AgentJson.Of(state),
            state.Leaves.Select(leaf =>
                Nip19.EncodePublicKey(leaf.PublicKey)
                + (state.Admins.Contains(leaf.PublicKey) ? "  admin" : "")
                + (leaf.Index == state.OwnLeaf ? "  you" : "")));
    }

    private static async Task LeaveAsync(Context context, string group)
    {
        var before = context.Client.GetState(group);
        if (before.IsActive && before.Admins.Contains(context.Client.PublicKey))
        {
            throw new ClientException("an admin steps down before leaving: 'marmot group admin GROUP NPUB...' names all admins from now on");
        }

        await CommitAsync(context, group, () => context.Client.LeaveAsync(group), "you are out when another member has synced and you have");
    }

    private static async Task ImageAsync(Context context, string group, string verb, string? file)
    {
        if ((file is null) != (verb == "remove"))
        {
            throw new UsageException(file is null ? $"image GROUP {verb} needs FILE" : "image GROUP remove takes no FILE");
        }

        switch (verb)
        {
            case "set":
                byte[] image = await File.ReadAllBytesAsync(file!);
                await CommitAsync(context, group, () => context.Client.SetImageAsync(group, image));
                break;
            case "get":
                byte[] picture = await context.Client.GetImageAsync(group) ?? throw new ClientException("the group has no picture");
                await File.WriteAllBytesAsync(file!, picture);
                context.Say(new JsonObject { ["file"] = file, ["size"] = picture.Length }, $"{picture.Length} bytes in {file}");
                break;
            default:
                await CommitAsync(context, group, () => context.Client.RemoveImageAsync(group));
                break;
        }
    }

    private static async Task CommitAsync(Context context, string group, Func<Task<IReadOnlyList<PublishedEvent>>> step, string? hint = null,
        string? nothing = null)
    {
        await context.Client.SyncAsync(group);
        var published = await step();
        var state = context.Client.GetState(group);
        context.Say(
            new JsonObject { ["state"] = AgentJson.Of(state), ["published"] = AgentJson.Of(published) },
            [.. published.Count == 0 && nothing is not null
                ? [nothing]
                : published.Select(one => $"{(one.Kind == GiftWrap.Kind ? "Welcome" : "change")} {Context.Fate(one)}"), Line(state), .. hint is null
                    ? Array.Empty<string>()
                    : [hint]]);
    }

    /// <summary>A group in a line, with what its owner should know.</summary>
    internal static string Line(GroupState state) =>
        $"{state.GroupId[..8]}  {state.Name}  {Context.Count(state.Leaves.Count, "member")}, epoch {state.Epoch}"
        + (state.Profile == Marmot.Client.Profiles.MarmotProfile.Adopted ? ", adopted profile" : "")
        + (!state.IsActive ? ", you are out" : state.NeedsInvitation ? ", it seems to have gone on without you: ask an admin to remove and invite you again"
            : "");
}
