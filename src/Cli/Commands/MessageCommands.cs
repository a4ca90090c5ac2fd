using System.CommandLine;
using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Client.Groups;
using Marmot.Client.Push;
using Marmot.Protocol.Encoding;
using Marmot.Terminal;

namespace Marmot.Cli.Commands;

/// <summary><c>send</c>, <c>react</c>, <c>messages</c>, <c>sync</c>, <c>media</c>.</summary>
internal static class MessageCommands
{
    private const int ShownByDefault = 50;

    private static readonly Argument<string> GroupWord = Define.Word("GROUP", "the group");

    public static Command CreateSend()
    {
        var text = Define.Words("TEXT", "the message; - reads standard input");
        return new Command("send", "send a message") { GroupWord, text }
            .RunsWithAccount((context, words) => SendAsync(context, Group(context, words), string.Join(' ', words.GetRequiredValue(text))));
    }

    public static Command CreateReact()
    {
        var message = Define.Word("MESSAGE", "the message's id, or its start");
        var emoji = Define.OptionalWord("EMOJI", "the reaction (default: +)");
        return new Command("react", "react to a message") { GroupWord, message, emoji }.RunsWithAccount(async (context, words) =>
        {
            string group = Group(context, words);
            Sent(context, await context.Client.ReactAsync(group, context.Client.GetMessage(group, words.GetRequiredValue(message)).Rumor,
                words.GetValue(emoji) ?? "+"));
        });
    }

    public static Command CreateMessages()
    {
        var last = Define.Number("--last", "N", "how many of the newest", 1, int.MaxValue, ShownByDefault);
        return new Command("messages", "the newest messages of a group") { GroupWord, last }
            .RunsWithAccount((context, words) => Messages(context, Group(context, words), words.GetValue(last)));
    }

    public static Command CreateSync()
    {
        var follow = Define.Flag("--follow", "stay, and print messages as they come");
        return new Command("sync", "join where you are invited, read, renew keys") { follow }
            .RunsWithAccount((context, words) => SyncAsync(context, words.GetValue(follow)));
    }

    public static Command CreateMedia()
    {
        var file = Define.Word("FILE", "the file to share");
        var type = Define.Text("--type", "TYPE", "its media type (default: application/octet-stream)");
        var caption = Define.Text("--caption", "TEXT", "words beside it");
        var message = Define.Word("MESSAGE", "the message's id, or its start");
        var target = Define.Text("--out", "FILE", "where it goes (default: its own name, in this folder)");
        return new Command("media", "encrypted files in a group")
        {
            new Command("put", "share a file") { GroupWord, file, type, caption }.RunsWithAccount((context, words) => PutAsync(
                context, Group(context, words), words.GetRequiredValue(file), words.GetValue(type) ?? "application/octet-stream",
                    words.GetValue(caption) ?? "")),
            new Command("get", "fetch the file of a message") { GroupWord, message, target }.RunsWithAccount((context, words) =>
                GetAsync(context, Group(context, words), words.GetRequiredValue(message), words.GetValue(target))),
        };
    }

    private static string Group(Context context, ParseResult words) => context.Group(words.GetRequiredValue(GroupWord));

    private static async Task SendAsync(Context context, string group, string text)
    {
        if (text == "-")
        {
            text = (await Console.In.ReadToEndAsync()).TrimEnd('\n', '\r');
            if (text.Length == 0)
            {
                throw new ClientException("standard input is empty: nothing was sent");
            }
        }

        await context.Client.SyncAsync(group, commitLeaves: true);
        Sent(context, await context.Client.SendAsync(group, text));
    }

    private static void Messages(Context context, string group, int last)
    {
        var messages = context.Client.GetMessages(group, Math.Max(0, context.Client.CountMessages(group) - last));
        context.Say(new JsonArray([.. messages.Select(message => AgentJson.Of(message.Rumor))]), messages.Where(IsForPeople).Select(Line)
            .DefaultIfEmpty("no messages yet"));
    }

    /// <summary>Joins, reads, renews; with <c>--follow</c> it stays and prints messages as they come.</summary>
    private static async Task SyncAsync(Context context, bool follow)
    {
        var client = context.Client;
        var before = client.GroupIds.ToDictionary(id => id, client.GetState);
        await client.ResumeAsync();
        var invites = await client.AcceptInvitesAsync();
        var reports = await client.SyncAllAsync(commitLeaves: true);
        var notes = new List<string>();
        await MaintainAsync(client, notes);
        var messages = reports.Values.SelectMany(report => report.Messages).ToList();
        var unreachable = invites.Unreachable.Concat(reports.Values.SelectMany(report => report.Unreachable)).Distinct().ToList();

        // A group none of whose relays could be asked, or an inbox: then what was asked for was not done.
        context.HasFailed = (invites.Unreachable.Count > 0 && invites.Unreachable.Count == client.Settings.InboxRelays.Count)
            || reports.Any(pair => pair.Value.Unreachable.Count > 0 && pair.Value.Unreachable.Count >= client.GetState(pair.Key).Relays.Count);
        if (!follow)
        {
            List<string> lines =
            [
                .. invites.Joined.Select(joined => $"joined {joined.State.Name} ({joined.State.GroupId[..8]})"),
                .. invites.Failed.Select(failed => $"an invitation was refused: {failed.Reason}"),
                .. messages.Where(IsForPeople).Select(message => $"{message.GroupId[..8]}  {Line(message)}"),
                .. reports.Keys.Where(id => before.TryGetValue(id, out var old) && HasChanged(old, client.GetState(id)))
                    .Select(id => GroupCommands.Line(client.GetState(id))),
                .. unreachable.Select(relay => $"not reached: {relay}"),
                .. notes,
            ];
            context.Say(
                new JsonObject
                {
                    ["joined"] = new JsonArray([.. invites.Joined.Select(AgentJson.Of)]),
                    ["failed"] = new JsonArray(
                        [.. invites.Failed.Select(failed => new JsonObject { ["wrapId"] = failed.WrapId.ToString(), ["reason"] = failed.Reason })]),
                    ["messages"] = new JsonArray([.. messages.Select(Json)]),
                    ["reports"] = new JsonObject(reports.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)AgentJson.Of(pair.Value)))),
                    ["unreachable"] = new JsonArray([.. unreachable.Select(relay => JsonValue.Create(relay))]),
                    ["notes"] = new JsonArray([.. notes.Select(note => JsonValue.Create(note))]),
                },
                lines.Count > 0 ? lines : ["nothing new"]);
            return;
        }

        context.HasFailed = false; // it goes on trying
        foreach (var message in messages)
        {
            Print(context, message);
        }

        using var ending = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            ending.Cancel();
        };
        await client.WatchAsync(
            message =>
            {
                Print(context, message);
                return Task.CompletedTask;
            },
            ending.Token,
            async joined =>
            {
                context.Tell(AgentJson.Of(joined), $"joined {joined.State.Name} ({joined.State.GroupId[..8]})");
                await MaintainAsync(client, []);
            });
    }

    // What can wait does not spoil what was read.
    private static async Task MaintainAsync(MarmotClient client, List<string> notes)
    {
        try
        {
            await client.MaintainAsync();
        }
        catch (ClientException refusal)
        {
            notes.Add($"renewal waits: {refusal.Message}");
        }
    }

    private static bool HasChanged(GroupState old, GroupState now) =>
        (old.Epoch, old.IsActive, old.NeedsInvitation) != (now.Epoch, now.IsActive, now.NeedsInvitation);

    private static async Task PutAsync(Context context, string group, string path, string type, string caption)
    {
        await context.Client.SyncAsync(group);
        Sent(context, await context.Client.SendFileAsync(group, await File.ReadAllBytesAsync(path), type, Path.GetFileName(path), caption));
    }

    private static async Task GetAsync(Context context, string group, string id, string? target)
    {
        var message = context.Client.GetMessage(group, id);
        var (media, file) = await context.Client.GetFileAsync(group, message.Rumor);

        // A name from another member is a name, not a path.
        target ??= Path.GetFileName(media.Filename.Replace('\\', '/')) is { Length: > 0 } name && name is not ("." or "..") ? name : "file";
        if (File.Exists(target))
        {
            throw new ClientException($"{target} exists already; choose another name with --out FILE");
        }

        await File.WriteAllBytesAsync(target, file);

        context.Say(new JsonObject { ["file"] = target, ["type"] = media.MimeType, ["size"] = file.Length }, $"{file.Length} bytes in {target}");
    }

    private static void Sent(Context context, SentMessage sent) => context.Say(
        new JsonObject { ["rumor"] = AgentJson.Of(sent.Rumor), ["published"] = AgentJson.Of([sent.Published]) },
        $"{sent.Rumor.Id.ToString()[..8]}  {Context.Fate(sent.Published)}");

    private static void Print(Context context, GroupMessage message)
    {
        if (context.IsJson || IsForPeople(message))
        {
            context.Tell(Json(message), $"{message.GroupId[..8]}  {Line(message)}");
        }
    }

    private static JsonObject Json(GroupMessage message) => new() { ["group"] = message.GroupId, ["rumor"] = AgentJson.Of(message.Rumor) };

    // Push tokens are told among clients (MIP-05).
    private static bool IsForPeople(GroupMessage message) => message.Rumor.Kind is < TokenGossip.UpdateKind or > TokenGossip.RemovalKind;

    private static string Line(GroupMessage message) =>
        $"{DateTimeOffset.FromUnixTimeSeconds(message.Rumor.CreatedAt).ToLocalTime():yyyy-MM-dd HH:mm:ss}  {message.Rumor.Id.ToString()[..8]}  "
            + $"{(message.IsOwn ? "you" : Nip19.EncodePublicKey(message.Rumor.PublicKey)[..16])}  {Shown(message)}";

    // Text of others goes to a terminal: control characters stay out.
    private static string Shown(GroupMessage message)
    {
        string text = string.Concat(message.Rumor.Content.Select(c => char.IsControl(c) && c != '\t' ? ' ' : c));
        string kind = message.Rumor.Kind switch { 9 => "", 7 => $"reacts to {Short(message.Rumor.TagValue("e"))}: ", _ => $"[kind {message.Rumor.Kind}] " };
        return kind + text + (message.Rumor.Tags.Any(tag => tag[0] == "imeta") ? " [file]" : "");
    }

    // Of another's making: perhaps no id at all.
    private static string Short(string? id) => Bytes32.TryParseHex(id.AsSpan(), out var known) ? known.ToString()[..8] : "something";
}
