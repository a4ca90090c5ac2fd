using System.Diagnostics.Metrics;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer;

/// <summary>The running server: apps, relays, workers, lanes, put together in the order a trigger passes them.</summary>
internal sealed class NotifyService : IHostedService, IAsyncDisposable
{
    private readonly NotifyOptions _options;
    private readonly OwnRelay _ownRelay;
    private readonly NotifyMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<NotifyService> _logger;
    private readonly CancellationTokenSource _listening = new();
    private readonly CancellationTokenSource _working = new();
    private bool _disposed;
    private Task _relayTasks = Task.CompletedTask;
    private Task _workerTask = Task.CompletedTask;
    private FairIntake? _intake;
    private PushDispatcher? _dispatcher;

    public NotifyService(IOptions<NotifyOptions> options, OwnRelay ownRelay, NotifyMetrics metrics, TimeProvider time, ILogger<NotifyService> logger)
    {
        _options = options.Value;
        _ownRelay = ownRelay;
        _metrics = metrics;
        _time = time;
        _logger = logger;
    }

    public IReadOnlyList<NotifyApp> Apps { get; private set; } = [];

    public IReadOnlyList<InboxRelay> Relays { get; private set; } = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // 1. Apps: keys and credentials.
        Apps = [.. _options.Apps.Select(LoadApp)];
        var keys = new KeyRing(Apps);
        _dispatcher = new PushDispatcher(Apps);

        // 2. Gate, intake, pipeline.
        var seen = new SeenEvents(_options.SeenCapacity);
        _intake = new FairIntake(_options.Relays.Count, _options.InboxCapacityPerRelay);
        var claims = new ReplayCache(_options.ReplayCapacity, _options.ReplayWindow, _time);
        var pipeline = new TriggerPipelineContext(
            _options, keys, seen, claims, new DeviceGate(_options, _time), _metrics, _time);
        var budget = new EcBudget(_options.EcOperationsPerSecond > 0 ? _options.EcOperationsPerSecond : EcBudget.Measure(), _time);
        NotifyLog.Budget(_logger, budget.OperationsPerSecond, Environment.ProcessorCount);
        var names = _options.Relays.Select(RelayUrl.Normalise).ToArray();
        _workerTask = new TriggerWorkers(_intake, budget, pipeline, names, _logger).RunAsync(Environment.ProcessorCount, _working.Token);

        // 3. Relays. None needs to be up: the server starts degraded and says so on /readyz.
        var announced = _options.AnnounceRelays.Count > 0 ? _options.AnnounceRelays : _options.Relays.Select(_ownRelay.PublicNameOf).ToList();
        var context = new InboxContext(
            _options,
            [.. announced],
            ProviderHttp.LoadRoots(_options.RelayCaFile),
            new TriggerGate(keys, seen, _options.MaxEventBytes, _options.AcceptEphemeralWraps),
            _intake,
            _metrics,
            _time,
            _logger);
        Relays = [.. _options.Relays.SelectMany((url, index) => keys.Keys.Select(entry =>
            new InboxRelay(context, index, url, _ownRelay.PublicNameOf(url), entry.App, entry.Key)))];
        _relayTasks = Task.WhenAll(Relays.Select(relay => Task.Run(() => relay.RunAsync(_listening.Token), CancellationToken.None)));
        AddGauges(budget, claims);
        return Task.CompletedTask;
    }

    /// <summary>Producers before consumers: relays, then what waits in the intake, then the lanes.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(_options.DrainTimeout);
        await _listening.CancelAsync();
        await _relayTasks;
        _intake?.Close();
        try
        {
            await _workerTask.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            await _working.CancelAsync();
            await _workerTask;
        }

        if (_dispatcher is not null)
        {
            NotifyLog.Draining(_logger, _dispatcher.Pending);
            NotifyLog.Drained(_logger, await _dispatcher.DrainAsync(deadline.Token));
        }
    }

    /// <summary>The container disposes it twice: as a singleton and as the hosted service that is the same object.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, true))
        {
            return;
        }

        await _listening.CancelAsync();
        await _working.CancelAsync();
        await _relayTasks;
        await _workerTask;
        _intake?.Dispose();
        if (_dispatcher is not null)
        {
            await _dispatcher.DisposeAsync();
        }

        foreach (var relay in Relays)
        {
            relay.Dispose();
        }

        _listening.Dispose();
        _working.Dispose();
    }

    private NotifyApp LoadApp(NotifyAppOptions options)
    {
        var app = NotifyApp.Load(options, _options, _metrics, _time, out var keyMade);
        if (keyMade)
        {
            NotifyLog.KeyMade(_logger, app.Name, options.KeyFile);
        }

        NotifyLog.AppReady(_logger, app.Name, app.PublicKey.ToString(), app.Keys.Count - 1, options.Apns.IsConfigured, options.Fcm.IsConfigured);
        if (!app.Lanes.Any())
        {
            NotifyLog.NoProvider(_logger, app.Name);
        }

        return app;
    }

    private void AddGauges(EcBudget budget, ReplayCache claims)
    {
        _metrics.Gauge("marmot_notify_relay_live", "1 while the subscription is live.",
            () => Relays.Select(r => new Measurement<int>(r.IsLive ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_deaf_seconds", "Time without a live subscription since the start.",
            () => Relays.Select(r => new Measurement<double>(r.DeafSeconds, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_listed", "1 while the relay holds our inbox list (kind 10050).",
            () => Relays.Select(r => new Measurement<int>(r.IsListed ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_inbox_waiting", "Events waiting for a worker.",
            () => _options.Relays.Select((url, i) => new Measurement<int>(_intake!.Waiting(i), new KeyValuePair<string, object?>("relay", RelayUrl.Normalise(url)))));
        _metrics.Gauge("marmot_notify_push_pending", "Pushes queued, under way or waiting for another try.",
            () => _dispatcher!.Lanes.Select(l => new Measurement<int>(l.Pending, new("app", l.App), new("platform", l.Provider.Name))));
        _metrics.Gauge("marmot_notify_push_capacity", "Places of a lane.",
            () => _dispatcher!.Lanes.Select(l => new Measurement<int>(l.Capacity, new("app", l.App), new("platform", l.Provider.Name))));
        _metrics.Gauge("marmot_notify_circuit_open", "1 while a lane's circuit is not closed.",
            () => _dispatcher!.Lanes.Select(l => new Measurement<int>(l.Circuit.State == CircuitState.Closed ? 0 : 1, new("app", l.App), new("platform", l.Provider.Name))));
        _metrics.Gauge("marmot_notify_apns_jwt_age_seconds", "Age of the APNs provider token.",
            () => _dispatcher!.Lanes.Where(l => l.Provider is ApnsProvider).Select(l => new Measurement<double>(((ApnsProvider)l.Provider).Jwt.Age.TotalSeconds, new KeyValuePair<string, object?>("app", l.App))));
        _metrics.Gauge("marmot_notify_replay_cache_size", "Remembered triggers.", () => new[] { new Measurement<int>(claims.Count) });
        _metrics.Gauge("marmot_notify_ec_budget", "Elliptic-curve operations allowed a second.", () => new[] { new Measurement<int>(budget.OperationsPerSecond) });
    }
}
