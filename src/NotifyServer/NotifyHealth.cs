using Marmot.Hosting.Health;
using Marmot.NotifyServer.Dispatch;

namespace Marmot.NotifyServer;

/// <summary>Ready when every app hears through at least one relay that also delivers our own triggers; names the state of each.</summary>
internal sealed class InboxHealth(NotifyService service) : IHealthPart
{
    public string Name => "notify-inbox";

    public HealthState Check()
    {
        if (service.Relays.Count == 0)
        {
            return new HealthState(false, "starting");
        }

        var hears = service.Relays.GroupBy(relay => relay.App.Name).All(app => app.Any(relay => relay.IsLive && !relay.IsDeaf));
        var detail = string.Join("; ", service.Relays.Select(relay =>
            $"{relay.App.Name} at {relay.Name} {(relay.IsDeaf ? "deaf" : relay.Connection.State.Label())}{Limits(relay)}"));
        return new HealthState(hears, detail);
    }

    private static string Limits(Inbox.InboxRelay relay) =>
        relay.Limits.Count == 0 ? "" : $" (limits: {string.Join(", ", relay.Limits.Select(limit => limit.Name))})";
}

/// <summary>Not ready while an app's provider refuses our credentials or cannot be reached; what strangers' tokens bring never shows here.</summary>
internal sealed class LaneHealth(NotifyService service) : IHealthPart
{
    public string Name => "notify-providers";

    public HealthState Check()
    {
        var lanes = service.Apps.SelectMany(app => app.Lanes).ToArray();
        var broken = lanes.Where(lane => lane.Circuit.State != CircuitState.Closed).ToArray();
        return broken.Length == 0
            ? new HealthState(true, lanes.Length == 0 ? "none configured" : "ok")
            : new HealthState(false, string.Join("; ", broken.Select(lane => $"{lane.App} {lane.Provider.Name}: {lane.Circuit.Reason.Label()}")));
    }
}
