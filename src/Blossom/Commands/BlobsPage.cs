using System.Globalization;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Reports;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Commands;

/// <summary>The console's page of stored blobs: search, delete, purge of a key, and what was reported.</summary>
internal sealed class BlobsPage(IBlobIndex index, BlobService blobs, ReportFile reports, Decisions decisions, TimeProvider time) : IConsolePage
{
    private const int Shown = 100;
    private const int Day = 86400; // seconds
    private static readonly string[] Fields = ["key", "hash", "type", "min", "older", "newer"];

    public string Path => "blobs";

    public string Title => "Blobs";

    public int Order => 20;

    public bool NeedsLogin => true;

    public async Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        var totals = index.Totals;
        html.Add($"""<h1>Blobs</h1><p class="dim">{totals.Blobs} blobs, {totals.Claims} claims, {totals.Bytes} bytes</p>""");
        html.Add($"""<form class="search" method="get" action="/blobs">""");
        Field(view, "key", "Uploaded by (npub or hex)", "wide");
        Field(view, "hash", "SHA-256 begins with", "");
        Field(view, "type", "Type (image/*)", "");
        Field(view, "min", "At least, bytes", "");
        Field(view, "older", "Older than, days", "");
        Field(view, "newer", "Newer than, days", "");
        html.Add($"<button>Search</button></form>");
        if (ReadQuery(view.Value) is { } query)
        {
            WriteFound(view, await BlobSearch.FindAsync(index, blobs, query, Shown, cancel));
        }

        await WriteReportsAsync(view, cancel);
    }

    public async Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel)
    {
        switch (action.Name)
        {
            case "delete-found":
                var query = ReadQuery(action.Value) ?? throw new ArgumentException("search for something first; everything is never deleted here");
                var found = await BlobSearch.FindAsync(index, blobs, query, int.MaxValue, cancel);
                return await RemoveAsync(action, query, found, cancel);
            case "delete-selected":
                var selected = new List<BlobClaim>();
                foreach (var text in action.Form["selected"])
                {
                    if (Bytes32.TryParseHex((text ?? "").AsSpan(), out var hash) && await index.FindAsync(hash, cancel) is { } entry)
                    {
                        selected.Add(new BlobClaim(hash, default, entry.Size, entry.Type, entry.UploadedAt, entry.ExpiresAt));
                    }
                }

                return selected.Count == 0 ? throw new ArgumentException("select a blob first") : await RemoveAsync(action, new BlobQuery(), selected, cancel);
            case "acknowledge" when Bytes32.TryParseHex(action.Value("hash").AsSpan(), out var reported):
                var count = await reports.AcknowledgeAsync(reported, cancel);
                await decisions.RecordAsync("acknowledge-reports", reported.ToString(), string.Create(CultureInfo.InvariantCulture, $"{count} reports"),
                    action.By, cancel);
                return new ActionOutcome(string.Create(CultureInfo.InvariantCulture, $"{count} reports acknowledged"));
            default:
                throw new ArgumentException("there is no such action");
        }
    }

    private async Task<ActionOutcome> RemoveAsync(ConsoleAction action, BlobQuery query, IReadOnlyList<BlobClaim> found, CancellationToken cancel)
    {
        var what = string.Create(CultureInfo.InvariantCulture, $"{found.Count} blobs, {found.Sum(blob => blob.Size)} bytes");
        if (!action.IsConfirmed)
        {
            return ActionOutcome.Confirm(query.Key is null
                ? $"{what} are deleted for good, whoever holds them. Go on?"
                : $"The claims of this key on {what} are deleted, and for good what nobody else holds. Go on?");
        }

        var removed = await BlobSearch.DeleteAsync(blobs, query, found, cancel);
        await decisions.RecordAsync("delete-blobs", what, "", action.By, cancel);
        return new ActionOutcome(string.Create(CultureInfo.InvariantCulture, $"{removed} deleted"));
    }

    private void WriteFound(ConsoleView view, IReadOnlyList<BlobClaim> found)
    {
        var html = view.Html;
        html.Add($"<h2>{found.Count} found{(found.Count == Shown ? ", not all are shown" : "")}</h2>");
        if (found.Count == 0)
        {
            return;
        }

        view.OpenFound(Path, Fields);
        html.Add($"""<div class="scroll"><table><thead><tr><th></th><th>SHA-256</th><th>Type</th><th class="n">Bytes</th>""");
        html.Add($"""<th>Uploaded (UTC)</th><th>Ends</th></tr></thead><tbody>""");
        foreach (var claim in found.OrderByDescending(claim => claim.UploadedAt))
        {
            html.Add($"<tr>");
            view.AddSelect($"{claim.Hash}");
            html.Add($"""<td>{claim.Type}</td><td class="n">{claim.Size}</td><td>{Date(claim.UploadedAt)}</td>""");
            html.Add($"""<td>{(claim.ExpiresAt is { } end ? Date(end) : "never")}</td></tr>""");
        }

        html.Add($"""</tbody></table></div>""");
        view.CloseFound();
    }

    private async Task WriteReportsAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        html.Add($"<h2>Reports</h2>");
        var groups = await reports.GroupAsync(cancel);
        if (groups.Count == 0)
        {
            html.Add($"""<p class="dim">none that is not acknowledged</p>""");
            return;
        }

        html.Add($"""<div class="scroll"><table><thead><tr><th>Blob</th><th class="n">Reports</th><th class="n">Keys</th><th>As</th>""");
        html.Add($"""<th>Says</th><th></th></tr></thead><tbody>""");
        foreach (var group in groups.Take(Shown))
        {
            var stored = await index.FindAsync(group.Hash, cancel) is not null ? "stored" : "not stored";
            html.Add($"""<tr><td><code>{group.Hash}</code> {stored}</td><td class="n">{group.Count}</td><td class="n">{group.Reporters}</td>""");
            html.Add($"<td>{string.Join(", ", group.Types)}</td><td>{string.Join(" / ", group.Texts)}</td><td>");
            view.OpenForm(Path);
            html.Add($"""<input type="hidden" name="hash" value="{group.Hash}"><button name="action" value="acknowledge">Acknowledge</button></form>""");
            view.OpenForm("moderation");
            html.Add($"""<input type="hidden" name="target" value="{group.Hash}">""");
            html.Add($"""<button class="danger" name="action" value="ban-blob">Ban the blob</button></form></td></tr>""");
        }

        html.Add($"</tbody></table></div>");
    }

    // Null when nothing is asked for.
    private BlobQuery? ReadQuery(Func<string, string> value)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();
        var query = new BlobQuery
        {
            Key = value("key") is { Length: > 0 } text ? DecisionActions.TryReadKey(text, out var key) ? key
                : throw new ArgumentException("key: expected an npub or 64 hex digits") : null,
            HashPrefix = value("hash") is { Length: > 0 } prefix ? prefix.ToLowerInvariant() : null,
            Type = value("type") is { Length: > 0 } type ? type : null,
            MinBytes = Number("min", value),
            Before = Number("older", value) is { } older ? now - (older * Day) : null,
            Since = Number("newer", value) is { } newer ? now - (newer * Day) : null,
        };
        return query.IsEmpty ? null : query;
    }

    private static long? Number(string name, Func<string, string> value) =>
        value(name) is not { Length: > 0 } text ? null
        : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number < int.MaxValue * 1000L ? number
        : throw new ArgumentException($"{name}: expected a number");

    private static string Date(long unixSeconds) => DateTimeOffset.FromUnixTimeSeconds(unixSeconds).ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);

    private static void Field(ConsoleView view, string name, string label, string css) =>
        view.Html.Add($"""<div><label for="{name}">{label}</label><input id="{name}" name="{name}" value="{view.Value(name)}" class="{css}"></div>""");
}
