using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.GiftWraps;

namespace Marmot.Cli.Commands;

/// <summary><c>group ...</c>: every step looks at the relays first, so that it starts from the newest epoch.</summary>
internal static class GroupCommands
{
    private const string Verbs = "group list|create|members|invite|remove|leave|rename|describe|admin|renew|image|retention|disband";

    public static async Task RunAsync(Context context, Arguments args)
    {
        string verb = args.OptionalWord() ?? "list";
        switch (verb)
        {
            case "list":
                args.End();
                var states = context.Client.GroupIds.Select(context.Client.GetState).ToList();
                context.Say(new JsonArray([.. states.Select(AgentJson.Of)]), states.Count == 0
                    ? ["no groups yet; 'marmot group create NAME' makes one, 'marmot sync' joins where you are invited"]
                    : states.Select(Line));
                return;
            case "create":
                string name = args.Word("the group's name");
                string description = args.Option("--description") ?? "";
                var relays = args.Options("--relay");
                args.End();
                var created = await context.Client.CreateGroupAsync(name, description, relays.Count > 0 ? relays : null);
                context.Say(AgentJson.Of(created), Line(created), $"invite somebody: marmot group invite {created.GroupId[..8]} NPUB");
                return;
        }

        string group = context.Group(args.Word("the group"));
        switch (verb)
        {
            case "members":
                args.End();
                var state = context.Client.GetState(group);
                context.Say(
                    AgentJson.Of(state),
                    state.Leaves.Select(leaf =>
                        Nip19.EncodePublicKey(leaf.PublicKey)
                        + (state.Admins.Contains(leaf.PublicKey) ? "  admin" : "")
                        + (leaf.Index == state.OwnLeaf ? "  you" : "")));
                return;
            case "invite":
                var invited = args.Words("whom to invite").Select(Context.Key).ToList();
                args.End();
                await CommitAsync(context, group, () => context.Client.InviteAsync(group, invited), nothing: "all of them are members already");
                return;
            case "remove":
                var removed = Context.Key(args.Word("whom to remove"));
                args.End();
                await CommitAsync(context, group, () => context.Client.RemoveAsync(group, removed));
                return;
            case "leave":
                args.End();
                var before = context.Client.GetState(group);
                if (before.IsActive && before.Admins.Contains(context.Client.PublicKey))
                {
                    throw new ClientException("an admin steps down before leaving: 'marmot group admin GROUP NPUB...' names all admins from now on");
                }

                await CommitAsync(context, group, () => context.Client.LeaveAsync(group), "you are out when another member has synced and you have");
                return;
            case "retention":
                string seconds = args.Word("after how many seconds messages are deleted");
                args.End();
                ulong after = ulong.TryParse(seconds, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture,
                    out ulong number) ? number : throw new UsageException("the retention is a number of seconds");
                await CommitAsync(context, group, () => context.Client.SetRetentionAsync(group, after));
                return;
            case "disband":
                args.End();
                await CommitAsync(context, group, () => context.Client.DisbandAsync(group), "the group ends for everybody who reads this");
                return;
            case "rename":
                string newName = args.Word("the new name");
                args.End();
                await CommitAsync(context, group, () => context.Client.UpdateGroupAsync(group, new GroupChange { Name = newName }));
                return;
            case "describe":
                string newDescription = args.Word("the new description");
                args.End();
                await CommitAsync(context, group, () => context.Client.UpdateGroupAsync(group, new GroupChange { Description = newDescription }));
                return;
            case "admin":
                var admins = args.Words("all admins from now on").Select(Context.Key).ToList();
                args.End();
                await CommitAsync(context, group, () => context.Client.UpdateGroupAsync(group, new GroupChange { Admins = admins }));
                return;
            case "renew":
                args.End();
                await CommitAsync(context, group, () => context.Client.SelfUpdateAsync(group));
                return;
            case "image":
                await ImageAsync(context, group, args);
                return;
            default:
                throw new UsageException(Verbs);
        }
    }

    private static async Task ImageAsync(Context context, string group, Arguments args)
    {
        switch (args.Word("image set|get|remove"))
        {
            case "set":
                byte[] image = await File.ReadAllBytesAsync(args.Word("the picture's file"));
                args.End();
                await CommitAsync(context, group, () => context.Client.SetImageAsync(group, image));
                break;
            case "get":
                string file = args.Word("the file to write");
                args.End();
                byte[] picture = await context.Client.GetImageAsync(group) ?? throw new ClientException("the group has no picture");
                await File.WriteAllBytesAsync(file, picture);
                context.Say(new JsonObject { ["file"] = file, ["size"] = picture.Length }, $"{picture.Length} bytes in {file}");
                break;
            case "remove":
                args.End();
                await CommitAsync(context, group, () => context.Client.RemoveImageAsync(group));
                break;
            default:
                throw new UsageException("group image GROUP set FILE|get FILE|remove");
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
