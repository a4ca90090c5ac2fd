using System.Globalization;
using Marmot.Hosting.ConsolePages;
using Marmot.Protocol.Encoding;

namespace Marmot.AllInOne.Doctor;

/// <summary>The console's page that proves this deployment as <c>marmot-server doctor</c> does.</summary>
internal sealed class DoctorPage(IEnumerable<IPublicFacts> facts, Func<string> origin) : IConsolePage
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public string Path => "doctor";

    public string Title => "Doctor";

    public int Order => 50;

    public bool NeedsLogin => true;

    public Task WriteAsync(ConsoleView view, CancellationToken cancel)
    {
        view.Html.Add($"<h1>Doctor</h1>");
        view.Html.Add($"<p>Two throw-away identities go through a group's life against this deployment: about ten seconds. ");
        view.Html.Add($"What they leave behind they delete.</p>");
        view.OpenForm(Path);
        view.Html.Add($"""<button name="action" value="run">Run the deployment check</button></form>""");
        return Task.CompletedTask;
    }

    public async Task<ActionOutcome> ActAsync(ConsoleAction action, CancellationToken cancel)
    {
        var addresses = facts.OrderBy(server => server.Order).SelectMany(server => server.Addresses(origin())).ToList();
        var relay = addresses.Find(address => address.Name == "relay")?.Value ?? throw new ArgumentException("no relay runs in this process");
        var media = addresses.Find(address => address.Name == "media server")?.Value;
        Bytes32? push = addresses.Find(address => address.Name.StartsWith("push server", StringComparison.Ordinal)) is { } found
            && Nip19.TryDecodePublicKeyOrHex(found.Value, out var key) ? key : null;
        var options = new DoctorOptions(new Uri(relay), media is null ? null : new Uri(media), push, Json: false);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(Patience);
        var lines = new List<string>();
        var hasFailed = false;
        await using var check = new DeploymentCheck(options, TimeProvider.System);
        await foreach (var step in check.RunAsync(deadline.Token))
        {
            hasFailed |= step.Outcome == DoctorOutcome.Failed;
            var mark = step.Outcome switch { DoctorOutcome.Passed => "ok", DoctorOutcome.Failed => "FAILED", _ => "skipped" };
            lines.Add(string.Create(CultureInfo.InvariantCulture,
                $"{mark}, {step.Elapsed.TotalMilliseconds:F0} ms: {step.Name}{(step.Detail.Length > 0 ? ": " + step.Detail : "")}"));
        }

        return new ActionOutcome(hasFailed ? "The deployment does not work; the first step that failed says why" : "The deployment works", Lines: lines,
            IsFailure: hasFailed);
    }
}
