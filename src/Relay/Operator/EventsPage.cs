using System.Globalization;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>The console's page of stored events: search, delete, ban. Ids, kinds, authors, dates and sizes; never content.</summary>
internal sealed class EventsPage(IEventStore store, EventWriterLoop writer, Decisions decisions, StoreSurvey survey, TimeProvider clock) : IConsolePage
{
    private const int Shown = 100;
    private const int Day = 86400; // seconds
    private static readonly string[] Fields = ["author", "kind", "id", "older", "newer"];

    public string Path => "events";

    public string Title => "Events";

    public int Order => 10;

    public bool NeedsLogin => true;

    // Changes go through the relay's single writer; it holds nothing of its own.
    private RunningStore Store => new(store, writer);

    public async Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        html.Add($"""<h1>Events</h1><form class="search" method="get" action="/events">""");
        Field(view, "author", "Author (npub or hex)", "wide");
        Field(view, "kind", "Kind", "");
        Field(view, "id", "Id (note or hex)", "");
        Field(view, "older", "Older than, days", "");
        Field(view, "newer", "Newer than, days", "");
        html.Add($"<button>Search</button></form>");
        if (ReadFilter(view.Value) is { } filter)
        {
            await WriteFoundAsync(view, filter, cancel);
        }

        WriteSurvey(html);
    }

    public async Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel)
    {
        switch (action.Name)
        {
            case "delete-found":
                var filter = ReadFilter(action.Value) ?? throw new ArgumentException("search for something first; everything is never deleted here");
                var found = await Store.QueryAsync(filter, ReadScope.Everything(long.MinValue), ulong.MaxValue, int.MaxValue, cancel);
                return await RemoveAsync(action, found, cancel);
            case "delete-selected":
                Bytes32[] ids = [.. action.Form["selected"].Select(text => Bytes32.TryParseHex((text ?? "").AsSpan(), out var id) ? id : default)
                    .Where(id => !id.IsZero)];
                if (ids.Length == 0)
                {
                    throw new ArgumentException("select an event first");
                }

                var selected = await Store.QueryAsync(new Filter { Ids = ids }, ReadScope.Everything(long.MinValue), ulong.MaxValue, int.MaxValue, cancel);
                return await RemoveAsync(action, selected, cancel);
            default:
                throw new ArgumentException("there is no such action");
        }
    }

    private async Task<ActionOutcome> RemoveAsync(ConsoleAction action, IReadOnlyList<StoredKey> keys, CancellationToken cancel)
    {
        if (!action.IsConfirmed)
        {
            return ActionOutcome.Confirm(
                string.Create(CultureInfo.InvariantCulture, $"{keys.Count} events are deleted for good, their bytes overwritten. Go on?"));
        }

        var removed = await Store.RemoveAsync(keys, erase: true, cancel);
        await decisions.RecordAsync("delete-events", string.Create(CultureInfo.InvariantCulture, $"{removed} events"), "", action.By, cancel);
        return new ActionOutcome(string.Create(CultureInfo.InvariantCulture, $"{removed} events deleted"));
    }

    private async Task WriteFoundAsync(ConsoleView view, Filter filter, CancellationToken cancel)
    {
        var html = view.Html;
        var now = clock.GetUtcNow().ToUnixTimeSeconds();
        var lines = await EventListing.FindAsync(Store, filter.WithLimit(Shown), now, cancel);
        html.Add($"<h2>{lines.Count} found{(lines.Count == Shown ? ", the newest are shown" : "")}</h2>");
        if (lines.Count == 0)
        {
            return;
        }

        view.OpenFound(Path, Fields);
        html.Add($"""<div class="scroll"><table><thead><tr><th></th><th>Id</th><th class="n">Kind</th><th>Author</th><th>Date (UTC)</th>""");
        html.Add($"""<th class="n">Bytes</th></tr></thead><tbody>""");
        foreach (var line in lines)
        {
            html.Add($"<tr>");
            view.AddSelect($"{line.Id}");
            html.Add($"""<td class="n">{line.Kind}</td><td><code>{Nip19.EncodePublicKey(line.Author)}</code></td>""");
            html.Add($"""<td>{DateTimeOffset.FromUnixTimeSeconds(line.CreatedAt):yyyy-MM-dd HH:mm}</td><td class="n">{line.Bytes}</td></tr>""");
        }

        html.Add($"""</tbody></table></div>""");
        view.CloseFound();
        html.Add($"<p>To keep a key or an event away for good, ban it on the page <a href=\"/moderation\">Moderation</a>.</p>");
    }

    private void WriteSurvey(HtmlWriter html)
    {
        html.Add($"<h2>Stored by kind and age</h2>");
        if (survey.Look() is not { } seen)
        {
            html.Add($"""<p class="dim">being counted; look again in a moment</p>""");
            return;
        }

        html.Add($"""<p class="dim">counted {seen.At:yyyy-MM-dd HH:mm:ss} UTC: {seen.Total} events, {seen.LogBytes} bytes of log</p>""");
        html.Add($"""<div class="scroll"><table><thead><tr><th>Kind</th>""");
        foreach (var age in StoreSurvey.Ages)
        {
            html.Add($"""<th class="n">{age.Name}</th>""");
        }

        html.Add($"""<th class="n">All</th></tr></thead><tbody>""");
        foreach (var row in seen.Rows)
        {
            html.Add($"<tr><td>{row.Name}</td>");
            foreach (var count in row.Counts)
            {
                html.Add($"""<td class="n">{count}</td>""");
            }

            html.Add($"""<td class="n">{row.Counts.Sum()}</td></tr>""");
        }

        html.Add($"</tbody></table></div>");
    }

    // Null when nothing is asked for.
    private Filter? ReadFilter(Func<string, string> value)
    {
        var now = clock.GetUtcNow().ToUnixTimeSeconds();
        if (Array.TrueForAll(Fields, name => value(name).Length == 0))
        {
            return null;
        }

        return new Filter
        {
            Authors = value("author") is not { Length: > 0 } author ? null
                : DecisionActions.TryReadKey(author, out var key) ? [key] : throw new ArgumentException("author: expected an npub or 64 hex digits"),
            Ids = value("id") is not { Length: > 0 } text ? null
                : DecisionActions.TryReadEvent(text, out var id) ? [id] : throw new ArgumentException("id: expected a note, a nevent or 64 hex digits"),
            Kinds = value("kind") is { Length: > 0 } kind ? [(int)Number("kind", kind, ushort.MaxValue)] : null,
            Until = value("older") is { Length: > 0 } older ? now - (Number("older", older, 100_000) * Day) : null,
            Since = value("newer") is { Length: > 0 } newer ? now - (Number("newer", newer, 100_000) * Day) : null,
        };
    }

    private static long Number(string name, string text, long max) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= max
            ? number
            : throw new ArgumentException($"{name}: expected a number up to {max}");

    private static void Field(ConsoleView view, string name, string label, string css) =>
        view.Html.Add($"""<div><label for="{name}">{label}</label><input id="{name}" name="{name}" value="{view.Value(name)}" class="{css}"></div>""");
}
