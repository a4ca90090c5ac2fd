using System.Globalization;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.ConsolePages;

/// <summary>The first page: what is up and since when, the addresses clients need, each part with its state, charts, recent warnings.</summary>
internal sealed class OverviewPage(
    IServiceProvider services, IEnumerable<IHealthPart> parts, IEnumerable<IPublicFacts> facts, History history, RecentLog log,
        IOptions<PublicOptions> options, TimeProvider time)
    : IConsolePage
{
    private const int MaxWarnings = 20;
    private readonly DateTimeOffset _started = time.GetUtcNow();
    private readonly TimeSpan _startedAt = time.GetUptime();
    private readonly Dictionary<string, (string Detail, DateTimeOffset At)> _lastErrors = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();

    public string Path => "";

    public string Title => "Overview";

    public int Order => 0;

    public bool NeedsLogin => false;

    public Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        var day = view.Value("span") == "day";
        html.Add($"""<h1>Overview</h1>""");
        WriteAddresses(html);
        html.Add($"""<div id="live">""");
        WriteState(html);
        WriteCharts(html, day);
        WriteWarnings(html);
        html.Add($"</div>");
        return Task.CompletedTask;
    }

    public Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel) => throw new ArgumentException("there is nothing to do here");

    private static HealthState Check(IHealthPart part)
    {
        try
        {
            return part.Check();
        }
        catch (Exception exception)
        {
            return new HealthState(false, "the check itself failed: " + exception.GetType().Name);
        }
    }

    private void WriteAddresses(HtmlWriter html)
    {
        var listening = services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
        var origin = PublicPage.HttpOf(options.Value.Origin.Length > 0 ? options.Value.Origin : listening);
        html.Add($"""<h2>Addresses for clients</h2><div class="cards">""");
        foreach (var address in facts.OrderBy(server => server.Order).SelectMany(server => server.Addresses(origin)))
        {
            html.Add($"""<div class="card"><b>{address.Name}</b><br><code>{address.Value}</code>""");
            QrCode.Write(html, address.Value, $"QR code of the {address.Name} address");
            html.Add($"""<button type="button" data-copy="{address.Value}" hidden>Copy</button></div>""");
        }

        html.Add($"</div>");
        if (options.Value.Origin.Length == 0)
        {
            html.Add($"""<p class="dim">""");
            html.Add($"""<code>Public:Origin</code> is not set: logins are taken for loopback names only. Reachable under a name? Set it.</p>""");
        }
    }

    private void WriteState(HtmlWriter html)
    {
        var states = parts.Select(part => (part.Name, State: Check(part))).ToList();
        var isReady = states.TrueForAll(part => part.State.Ready);
        var uptime = time.GetUptime() - _startedAt;
        html.Add($"""<h2>State</h2>""");
        html.Add($"""<p>{(isReady ? "Ready" : "Not ready")}, up for {Span(uptime)} since {_started:yyyy-MM-dd HH:mm} UTC, version {PublicPage.Version}.""");
        html.Add($""" <span id="connection" class="dim"></span></p><div class="scroll"><table><thead><tr><th>Part</th><th>State</th>""");
        html.Add($"""<th>Detail</th><th>Last error</th></tr></thead><tbody>""");
        lock (_lock)
        {
            foreach (var (name, state) in states)
            {
                if (!state.Ready)
                {
                    _lastErrors[name] = (state.Detail, time.GetUtcNow());
                }

                html.Add($"""<tr><td>{name}</td><td class="{(state.Ready ? "ok" : "bad")}">{(state.Ready ? "ready" : "not ready")}</td><td>{state.Detail}""");
                if (state.Advice.Length > 0)
                {
                    html.Add($"""<br><span class="dim">{state.Advice}</span>""");
                }

                html.Add($"</td><td>");
                if (_lastErrors.TryGetValue(name, out var last))
                {
                    html.Add($"{last.At:yyyy-MM-dd HH:mm:ss} {last.Detail}");
                }

                html.Add($"</td></tr>");
            }
        }

        html.Add($"</tbody></table></div>");
    }

    private void WriteCharts(HtmlWriter html, bool day)
    {
        html.Add($"""<h2>{(day ? "Last day" : "Last hour")}</h2><p>""");
        html.Add($"""<a href="{(day ? "/" : "/?span=day")}">{(day ? "last hour" : "last day")}</a></p><div class="charts">""");
        foreach (var chart in history.Charts)
        {
            ChartSvg.Write(html, chart, history.Read(chart, day), day);
        }

        html.Add($"</div>");
    }

    private void WriteWarnings(HtmlWriter html)
    {
        html.Add($"<h2>Recent warnings</h2>");
        var lines = log.Lines;
        if (lines.Count == 0)
        {
            html.Add($"""<p class="dim">none since the start</p>""");
            return;
        }

        html.Add($"""<div class="scroll"><table><thead><tr><th>When</th><th>What</th></tr></thead><tbody>""");
        foreach (var line in lines.Reverse().Take(MaxWarnings))
        {
            html.Add($"""<tr><td>{line.At.ToUniversalTime():yyyy-MM-dd HH:mm:ss}</td><td class="{(line.IsError ? "bad" : "")}">{line.Text}</td></tr>""");
        }

        html.Add($"</tbody></table></div>");
    }

    private static string Span(TimeSpan span) => span.TotalDays >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalDays} d {span.Hours} h")
        : span.TotalHours >= 1 ? string.Create(CultureInfo.InvariantCulture, $"{span.Hours} h {span.Minutes} min")
        : string.Create(CultureInfo.InvariantCulture, $"{span.Minutes} min {span.Seconds} s");
}
