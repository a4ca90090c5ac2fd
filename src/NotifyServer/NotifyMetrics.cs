using System.Diagnostics.Metrics;
using System.Reflection;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;

namespace Marmot.NotifyServer;

/// <summary>Everything counted. Labels come from closed sets and the operator's own names: never a key, token or address of a user.</summary>
internal sealed class NotifyMetrics : IDisposable
{
    public const string MeterName = "marmot.notify";

    private readonly Meter _meter = new(MeterName);
    private readonly Counter<long> _events;
    private readonly Counter<long> _triggers;
    private readonly Counter<long> _chunks;
    private readonly Counter<long> _chunksLost;
    private readonly Counter<long> _admitted;
    private readonly Counter<long> _ended;
    private readonly Counter<long> _retries;
    private readonly Counter<long> _held;
    private readonly Counter<long> _faults;
    private readonly Counter<long> _operations;
    private readonly Counter<long> _relay;
    private readonly Counter<long> _closed;
    private readonly Counter<long> _auth;
    private readonly Counter<long> _lists;
    private readonly Counter<long> _reloads;
    private readonly Counter<long> _canaries;
    private readonly Counter<long> _claimedAlone;
    private readonly Counter<long> _devicesAlone;
    private readonly Histogram<double> _canaryRelay;
    private readonly Histogram<double> _canaryDone;
    private readonly Histogram<double> _request;
    private readonly Histogram<double> _arrivalToAccept;
    private readonly Histogram<double> _unwrap;
    private readonly Histogram<int> _tokensPerTrigger;
    private long _accepted;

    public NotifyMetrics(TimeProvider time)
    {
        _events = _meter.CreateCounter<long>("marmot_notify_events", description: "Events from relays by relay and outcome.");
        _triggers = _meter.CreateCounter<long>("marmot_notify_triggers", description: "Unwrapped triggers by app, dialect and outcome.");
        _chunks = _meter.CreateCounter<long>("marmot_notify_tokens", description: "Encrypted tokens by dialect and outcome.");
        _chunksLost = _meter.CreateCounter<long>("marmot_notify_tokens_lost", description: "Tokens that were not pushed, by cause.");
        _admitted = _meter.CreateCounter<long>("marmot_notify_pushes_admitted", description: "Pushes taken by a lane, by app and platform.");
        _ended = _meter.CreateCounter<long>("marmot_notify_pushes_ended", description: "Pushes that came to an end, by app, platform, end and reason.");
        _held = _meter.CreateCounter<long>("marmot_notify_pushes_held",
            description: "Pushes held until the end of their device's coalescing window, by app and platform.");
        _retries = _meter.CreateCounter<long>("marmot_notify_push_retries", description: "Tries after the first.");
        _faults = _meter.CreateCounter<long>("marmot_notify_faults", description: "Unexpected exceptions by type.");
        _operations = _meter.CreateCounter<long>("marmot_notify_ec_operations", description: "Elliptic-curve operations spent, by relay.");
        _relay = _meter.CreateCounter<long>("marmot_notify_relay_changes", description: "Subscription states entered, by relay.");
        _closed = _meter.CreateCounter<long>("marmot_notify_relay_closed", description: "CLOSED answers by relay and prefix.");
        _auth = _meter.CreateCounter<long>("marmot_notify_relay_auth", description: "Authentications by relay and outcome.");
        _lists = _meter.CreateCounter<long>("marmot_notify_inbox_lists", description: "Kind 10050 lists by relay and outcome.");
        _reloads = _meter.CreateCounter<long>("marmot_notify_reloads", description: "Reloads of settings and credentials by outcome.");
        _claimedAlone = _meter.CreateCounter<long>("marmot_notify_claims_alone",
            description: "Triggers taken without the replicas' shared ledger, which could not be asked.");
        _devicesAlone = _meter.CreateCounter<long>("marmot_notify_device_claims_alone",
            description: "Devices rung without asking the replicas' shared ledger, which could not be asked.");
        _canaries = _meter.CreateCounter<long>("marmot_notify_canaries", description: "Padding-only triggers to ourselves, by relay and outcome.");
        _canaryRelay = _meter.CreateHistogram<double>("marmot_notify_canary_relay_seconds", "s", "From sending our own trigger to its arrival, by relay.");
        _canaryDone = _meter.CreateHistogram<double>("marmot_notify_canary_done_seconds", "s",
            "From sending our own trigger to the end of its way through the pipeline, by relay.");
        _request = _meter.CreateHistogram<double>("marmot_notify_push_request_seconds", "s", "Provider request time by app, platform and reason.");
        _arrivalToAccept = _meter.CreateHistogram<double>("marmot_notify_arrival_to_accept_seconds", "s",
            "From the relay's frame to the provider's acceptance.");
        _unwrap = _meter.CreateHistogram<double>("marmot_notify_trigger_seconds", "s", "From taking an event to the end of its processing.");
        _tokensPerTrigger = _meter.CreateHistogram<int>("marmot_notify_tokens_per_trigger", description: "Tokens in a trigger.");
        var started = time.GetUtcNow();
        _meter.CreateObservableGauge("marmot_notify_start_time_seconds", () => started.ToUnixTimeSeconds(), "s", "Start of the process.");
        var version = typeof(NotifyMetrics).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";
        _meter.CreateObservableGauge("marmot_notify_server_version", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", version)),
            description: "Always 1.");
    }

    /// <summary>This instance's meter, for listeners that must not hear another server in the same process.</summary>
    public Meter Meter => _meter;

    /// <summary>Pushes accepted since the start.</summary>
    public long AcceptedTotal => Interlocked.Read(ref _accepted);

    public void Gauge<T>(string name, string description, Func<IEnumerable<Measurement<T>>> read)
        where T : struct => _meter.CreateObservableGauge(name, read, description: description);

    public void Event(string relay, EventOutcome outcome) => _events.Add(1, new("relay", relay), new("outcome", outcome.Label()));

    public void Trigger(string app, TokenDialect dialect, EventOutcome outcome, int tokens)
    {
        _triggers.Add(1, new("app", app), new("dialect", dialect.Label()), new("outcome", outcome.Label()));
        if (tokens > 0)
        {
            _tokensPerTrigger.Record(tokens);
        }
    }

    public void Token(TokenDialect dialect, TokenOutcome outcome, int count)
    {
        if (count > 0)
        {
            _chunks.Add(count, new("dialect", dialect.Label()), new("outcome", outcome.Label()));
        }
    }

    public void TokensLost(TokenLoss cause, int count)
    {
        if (count > 0)
        {
            _chunksLost.Add(count, new KeyValuePair<string, object?>("cause", cause.Label()));
        }
    }

    public void TriggerTime(TimeSpan time) => _unwrap.Record(time.TotalSeconds);

    public void Operations(string relay, int count) => _operations.Add(count, new KeyValuePair<string, object?>("relay", relay));

    /// <summary>What happened beside the states.</summary>
    public void RelayChange(string relay, RelayChange change) => _relay.Add(1, new("relay", relay), new("state", change.Label()));

    public void RelayState(string relay, RelayState state) => _relay.Add(1, new("relay", relay), new("state", state.Label()));

    public void RelayClosed(string relay, RejectPrefix prefix) => _closed.Add(1, new("relay", relay), new("prefix", prefix.Label()));

    public void RelayAuth(string relay, bool accepted) => _auth.Add(1, new("relay", relay), new("outcome", accepted ? "accepted" : "refused"));

    public void InboxList(string relay, InboxListOutcome outcome) => _lists.Add(1, new("relay", relay), new("outcome", outcome.Label()));

    public void Reload(bool taken) => _reloads.Add(1, new KeyValuePair<string, object?>("outcome", taken ? "done" : "refused"));

    public void Canary(string relay, CanaryOutcome outcome) => _canaries.Add(1, new("relay", relay), new("outcome", outcome.Label()));

    public void ClaimedAlone() => _claimedAlone.Add(1);

    public void DeviceClaimedAlone() => _devicesAlone.Add(1);

    public void CanaryArrived(string relay, TimeSpan time) => _canaryRelay.Record(time.TotalSeconds, new KeyValuePair<string, object?>("relay", relay));

    public void CanaryDone(string relay, TimeSpan time) => _canaryDone.Record(time.TotalSeconds, new KeyValuePair<string, object?>("relay", relay));

    public void Admitted(string app, string platform, int count) => _admitted.Add(count, new("app", app), new("platform", platform));

    public void Answered(string app, string platform, PushReason reason, TimeSpan time) =>
        _request.Record(time.TotalSeconds, new("app", app), new("platform", platform), new("reason", reason.Label()));

    public void Held(string app, string platform) => _held.Add(1, new("app", app), new("platform", platform));

    public void Retried(string app, string platform) => _retries.Add(1, new("app", app), new("platform", platform));

    public void ArrivalToAccept(string app, string platform, TimeSpan time) =>
        _arrivalToAccept.Record(time.TotalSeconds, new("app", app), new("platform", platform));

    public void Ended(string app, string platform, PushEnd end, PushReason reason)
    {
        if (end == PushEnd.Accepted)
        {
            Interlocked.Increment(ref _accepted);
        }

        _ended.Add(1, new("app", app), new("platform", platform), new("end", end.Label()), new("reason", reason.Label()));
    }

    /// <summary>Only the type: a message may hold what must not be shown.</summary>
    public void Fault(Exception exception) => _faults.Add(1, new KeyValuePair<string, object?>("type", exception.GetType().Name));

    public void Dispose() => _meter.Dispose();
}
