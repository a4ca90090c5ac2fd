using Marmot.Hosting.Moderating;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Bans, blocks and the allow list, and who decided what.</summary>
internal sealed class ModerationPage(Moderation moderation, Decisions decisions) : IConsolePage
{
    private const int MaxLines = 200;

    private static readonly (string Action, string Name)[] Actions =
    [
        ("ban-key", "ban a key"), ("ban-event", "ban an event"), ("ban-blob", "ban a blob"), ("block-address", "block an address"),
            ("allow-key", "allow a key"),
        ("allow-name", "allow a NIP-05 name or domain"),
    ];

    public string Path => "moderation";

    public string Title => "Moderation";

    public int Order => 30;

    public bool NeedsLogin => true;

    public Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        var state = moderation.State;
        html.Add($"<h1>Moderation</h1><p>A ban deletes what is stored, for good, and holds for every server of this deployment at once.</p>");
        view.OpenForm(Path, "act");
        html.Add($"""<div><label for="action">Decision</label><select id="action" name="action">""");
        foreach (var (action, name) in Actions)
        {
            html.Add($"""<option value="{action}">{name}</option>""");
        }

        html.Add($"""</select></div><div><label for="target">Key, event, SHA-256, address or name</label>""");
        html.Add($"""<input id="target" name="target" class="wide" required></div>""");
        html.Add($"""<div><label for="reason">Reason</label><input id="reason" name="reason"></div><button>Decide</button></form>""");
        WriteList(view, "Banned keys", state.BannedKeys, "unban-key");
        WriteList(view, "Banned events", state.BannedEvents, "unban-event");
        WriteList(view, "Banned blobs", state.BannedBlobs, "unban-blob");
        WriteList(view, "Blocked addresses", state.BlockedAddresses, "unblock-address");
        WriteList(view, "Allowed keys", state.AllowedKeys, "unallow-key");
        WriteList(view, "Allowed names", state.AllowedNames, "unallow-name");
        html.Add($"""<h2>Audit trail</h2><div class="scroll"><table><thead><tr><th>When (UTC)</th><th>Who</th><th>What</th><th>About</th>""");
        html.Add($"""<th>Reason</th></tr></thead><tbody>""");
        foreach (var line in state.Trail.Reverse().Take(MaxLines))
        {
            html.Add($"<tr><td>{DateTimeOffset.FromUnixTimeSeconds(line.At):yyyy-MM-dd HH:mm:ss}</td><td>{line.By}</td><td>{line.Action}</td>");
            html.Add($"<td><code>{ModerationCommands.Shown(line.Action, line.Target)}</code></td><td>{line.Reason}</td></tr>");
        }

        html.Add($"</tbody></table></div>");
        return Task.CompletedTask;
    }

    public async Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel)
    {
        var target = DecisionActions.ReadTarget(action.Name, action.Value("target"));
        var shown = ModerationCommands.Shown(action.Name, target);
        if (action.Name is "ban-key" or "ban-event" or "ban-blob" && !action.IsConfirmed)
        {
            return ActionOutcome.Confirm($"{action.Name} {shown}: what is stored of it is deleted for good. Go on?");
        }

        await decisions.DecideAsync(action.Name, target, action.Value("reason"), action.By, cancel);
        return new ActionOutcome($"{action.Name} {shown}: done");
    }

    private void WriteList(ConsoleView view, string title, Dictionary<string, string> entries, string undo)
    {
        if (entries.Count == 0)
        {
            return;
        }

        var html = view.Html;
        html.Add($"""<h2>{title}</h2><div class="scroll"><table><tbody>""");
        foreach (var (target, reason) in entries.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            html.Add($"<tr><td><code>{ModerationCommands.Shown(undo, target)}</code></td><td>{reason}</td><td>");
            view.OpenForm(Path);
            html.Add($"""<input type="hidden" name="target" value="{target}"><button name="action" value="{undo}">{undo}</button></form></td></tr>""");
        }

        html.Add($"</tbody></table></div>");
    }
}
