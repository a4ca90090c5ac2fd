using System.CommandLine;
using Marmot.Hosting.Admin;
using Marmot.Hosting.ConsolePages;
using Marmot.NotifyServer.Dispatch;
using Marmot.Protocol.Encoding;
using Marmot.Terminal;

namespace Marmot.NotifyServer;

/// <summary>The console's page of the push server: keys, credentials, lanes and relays, and a test push.</summary>
internal sealed class PushPage(NotifyService service, Lazy<AdminServer> admin) : IConsolePage
{
    public string Path => "push";

    public string Title => "Push";

    public int Order => 40;

    public bool NeedsLogin => true;

    public Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        var html = view.Html;
        html.Add($"<h1>Push</h1>");
        foreach (var app in service.Apps)
        {
            var settings = service.AppSettings.FirstOrDefault(entry => entry.Name == app.Name);
            html.Add($"""<h2>{app.Name}</h2><table><tbody><tr><th scope="row">Key</th><td><code>{Nip19.EncodePublicKey(app.PublicKey)}</code></td></tr>""");
            foreach (var retiring in app.Keys.Skip(1))
            {
                html.Add($"""<tr><th scope="row">Retiring key</th><td><code>{Nip19.EncodePublicKey(retiring.PublicKey)}</code></td></tr>""");
            }

            html.Add($"""<tr><th scope="row">APNs</th><td>{DescribeApns(settings)}</td></tr><tr><th scope="row">FCM</th>""");
            html.Add($"""<td>{DescribeFcm(settings)}</td></tr>""");
            foreach (var lane in app.Lanes)
            {
                var isOpen = lane.Circuit.State != CircuitState.Closed;
                html.Add($"""<tr><th scope="row">Lane {lane.Provider.Name}</th>""");
                html.Add($"""<td class="{(isOpen ? "bad" : "ok")}">{(isOpen ? lane.Circuit.Reason.Label() : "ok")}, {lane.Pending} waiting</td></tr>""");
            }

            html.Add($"</tbody></table>");
        }

        html.Add($"""<h2>Relays</h2><div class="scroll"><table><thead><tr><th>Relay</th><th>App</th><th>State</th><th>Inbox list</th></tr></thead><tbody>""");
        foreach (var relay in service.Relays)
        {
            html.Add($"""<tr><td>{relay.Name}</td><td>{relay.App.Name}</td><td class="{(relay.IsLive && !relay.IsDeaf ? "ok" : "bad")}">""");
            html.Add($"{(relay.IsDeaf ? "deaf: our own triggers do not come back" : relay.Connection.State.Label())}</td>");
            html.Add($"<td>{(relay.IsListed ? "listed" : "not listed")}</td></tr>");
        }

        html.Add($"</tbody></table></div><h2>Send a test push</h2>");
        view.OpenForm(Path, "act");
        html.Add($"""<div><label for="app">App</label><select id="app" name="app">""");
        foreach (var app in service.Apps)
        {
            html.Add($"""<option>{app.Name}</option>""");
        }

        html.Add($"""</select></div><div><label for="platform">Provider</label><select id="platform" name="platform"><option>apns</option>""");
        html.Add($"""<option>fcm</option></select></div>""");
        html.Add($"""<div><label for="token">Device token</label><input id="token" name="token" class="wide" required autocomplete="off"></div>""");
        html.Add($"""<button name="action" value="test">Send</button></form>""");
        html.Add($"""<p class="dim">It goes the whole way: a gift wrap through the first relay, the token decrypted, the provider asked.</p>""");
        return Task.CompletedTask;
    }

    public async Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel)
    {
        var app = service.Apps.FirstOrDefault(entry => entry.Name == action.Value("app")) ?? throw new ArgumentException("there is no such app");
        var relay = service.Options.Relays.FirstOrDefault() ?? throw new ArgumentException("no relay is configured");
        using var words = new StringWriter();
        string[] settings = service.Options.RelayCaFile.Length > 0 ? ["--ca", service.Options.RelayCaFile] : [];
        string[] own = admin.Value.Addresses.FirstOrDefault() is { } address ? ["--admin", address] : [];
        string[] args = ["test", "--npub", Nip19.EncodePublicKey(app.PublicKey), "--token", action.Value("token"), "--relay", relay,
            "--platform", action.Value("platform"), .. settings, .. own];
        var code = await ConsoleProgram.RunAsync(new RootCommand { TestTrigger.CreateCommand() }, args, words, words, cancel);
        return new ActionOutcome(
            code == 0 ? "The provider took the test push" : "The test push did not arrive", Lines: words.ToString()
                .Split('\n', StringSplitOptions.RemoveEmptyEntries), IsFailure: code != 0);
    }

    private static string DescribeApns(NotifyAppOptions? settings) => settings is not { Apns.IsConfigured: true } ? "not configured"
        : $"key {settings.Apns.KeyId}, team {settings.Apns.TeamId}, topic {settings.Apns.Topic}, file of {FileDate(settings.Apns.KeyFile)}";

    private static string DescribeFcm(NotifyAppOptions? settings) => settings is not { Fcm.IsConfigured: true } ? "not configured"
        : $"project {(settings.Fcm.ProjectId.Length > 0 ? settings.Fcm.ProjectId : "of the service account")}, "
            + $"file of {FileDate(settings.Fcm.ServiceAccountFile)}";

    private static string FileDate(string path) =>
        File.Exists(path) ? File.GetLastWriteTimeUtc(path).ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture) : "unknown date";
}
