using System.Diagnostics.Metrics;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;

namespace Marmot.NotifyServer;

/// <summary>What is read from the stages when metrics are asked for.</summary>
internal static class NotifyGauges
{
    public static void Add(NotifyMetrics metrics, NotifyOptions options, NotifyStages stages)
    {
        var relays = stages.Relays;
        metrics.Gauge("marmot_notify_relay_live", "1 while the subscription is live.",
            () => relays.Select(r => new Measurement<int>(r.IsLive ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        metrics.Gauge("marmot_notify_relay_deaf_seconds", "Time without a live subscription since the start.",
            () => relays.Select(r => new Measurement<double>(r.DeafSeconds, new("relay", r.Name), new("app", r.App.Name))));
        metrics.Gauge("marmot_notify_relay_listed", "1 while the relay holds our inbox list (kind 10050).",
            () => relays.Select(r => new Measurement<int>(r.IsListed ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        metrics.Gauge("marmot_notify_relay_deaf", "1 while a relay is live and yet our own triggers do not come back.",
            () => relays.Select(r => new Measurement<int>(r.IsDeaf ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        metrics.Gauge("marmot_notify_canary_age_seconds", "Time since one of our own triggers came back.",
            () => relays.Where(r => !double.IsNaN(r.CanaryAgeSeconds))
                .Select(r => new Measurement<double>(r.CanaryAgeSeconds, new("relay", r.Name), new("app", r.App.Name))));
        metrics.Gauge("marmot_notify_relay_limit", "1 for each limit of a relay's information document that is too low for a push server.",
            () =>
                relays.SelectMany(r =>
                    r.Limits.Select(limit => new Measurement<int>(1, new("relay", r.Name), new("app", r.App.Name), new("limit", limit.Name)))));
        metrics.Gauge("marmot_notify_limiter_bytes", "Memory of the limiters' tables.", () => new[] { new Measurement<long>(stages.Devices.TableBytes) });
        metrics.Gauge("marmot_notify_inbox_waiting", "Events waiting for a worker.",
            () =>
                options.Relays.Select((url, i) =>
                    new Measurement<int>(stages.Intake.Waiting(i), new KeyValuePair<string, object?>("relay", RelayUrl.Normalise(url)))));
        AddLanes(metrics, stages.Dispatcher);
        metrics.Gauge("marmot_notify_replay_cache_size", "Remembered triggers.",
            () => stages.Claims is ReplayCache own ? [new Measurement<int>(own.Count)] : Array.Empty<Measurement<int>>());
        metrics.Gauge("marmot_notify_ec_budget", "Elliptic-curve operations allowed a second.",
            () => new[] { new Measurement<int>(stages.Budget.OperationsPerSecond) });
    }

    private static void AddLanes(NotifyMetrics metrics, PushDispatcher dispatcher)
    {
        metrics.Gauge("marmot_notify_push_pending", "Pushes queued, under way or waiting for another try.",
            () => dispatcher.Lanes.Select(l => new Measurement<int>(l.Pending, new("app", l.App), new("platform", l.Provider.Name))));
        metrics.Gauge("marmot_notify_push_capacity", "Places of a lane.",
            () => dispatcher.Lanes.Select(l => new Measurement<int>(l.Capacity, new("app", l.App), new("platform", l.Provider.Name))));
        metrics.Gauge("marmot_notify_circuit_open", "1 while a lane's circuit is not closed.",
            () =>
                dispatcher.Lanes.Select(l =>
                    new Measurement<int>(l.Circuit.State == CircuitState.Closed ? 0 : 1, new("app", l.App), new("platform", l.Provider.Name))));
        metrics.Gauge("marmot_notify_apns_jwt_age_seconds", "Age of the APNs provider token.",
            () => dispatcher.Lanes.Select(l => (l.App, Apns: l.Provider as ApnsProvider)).Where(l => l.Apns is not null)
                .Select(l => new Measurement<double>(l.Apns!.Jwt.Age.TotalSeconds, new KeyValuePair<string, object?>("app", l.App))));
    }
}
