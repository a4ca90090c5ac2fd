using System.Diagnostics.Metrics;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Claims;
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
    private const int WorkersACoreOfReplicas = 4; // a trigger waits for the ledger twice; others go on meanwhile
    private static readonly TimeSpan FirstAgreement = TimeSpan.FromSeconds(3);
    private readonly NotifyOptions _options;
    private readonly OwnRelay _ownRelay;
    private readonly NotifyMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<NotifyService> _logger;
    private readonly IHostApplicationLifetime? _lifetime;
    private readonly ISettingsSource? _settings;
    private readonly IClaimStore? _claims;
    private readonly SharedProviderTokens? _sharedTokens;
    private readonly SharedDevices? _sharedDevices;
    private readonly ApnsJwts _jwts;
    private readonly AppCredentials _credentials;
    private readonly CancellationTokenSource _listening = new();
    private readonly CancellationTokenSource _working = new();
    private bool _disposed;
    private Task _relayTasks = Task.CompletedTask;
    private Task _workerTask = Task.CompletedTask;
    private Task _reloadTask = Task.CompletedTask;
    private Task _sharingTask = Task.CompletedTask;
    private ReloadLoop? _reload;
    private FairIntake? _intake;
    private PushDispatcher? _dispatcher;
    private DeviceGate? _devices;
    private EcBudget? _budget;
    private int _measured;

    /// <param name="options">The settings.</param>
    /// <param name="ownRelay">The relay in the same process, if there is one.</param>
    /// <param name="metrics">Counts everything.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Hears what an operator should.</param>
    /// <param name="lifetime">Told to stop the process when a loop that must not end has ended.</param>
    /// <param name="settings">Where a reload reads the settings anew; none, no reload.</param>
    /// <param name="claims">Who does a trigger over all replicas; none, this process alone.</param>
    /// <param name="sharedTokens">Keeps the provider tokens of all replicas the same; none, this process makes its own.</param>
    /// <param name="sharedDevices">Who rings a device over all replicas; none, this process alone.</param>
    public NotifyService(
        IOptions<NotifyOptions> options,
        OwnRelay ownRelay,
        NotifyMetrics metrics,
        TimeProvider time,
        ILogger<NotifyService> logger,
        IHostApplicationLifetime? lifetime = null,
        ISettingsSource? settings = null,
        IClaimStore? claims = null,
        SharedProviderTokens? sharedTokens = null,
        SharedDevices? sharedDevices = null)
    {
        _options = options.Value;
        _ownRelay = ownRelay;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _lifetime = lifetime;
        _settings = settings;
        _claims = claims;
        _sharedTokens = sharedTokens;
        _sharedDevices = sharedDevices;
        _jwts = new ApnsJwts(time);
        _credentials = new AppCredentials(_jwts, time);
    }

    /// <summary>The settings in force.</summary>
    public NotifyOptions Options => _options;

    /// <summary>The apps' settings as last taken over.</summary>
    public IReadOnlyList<NotifyAppOptions> AppSettings { get; private set; } = [];

    /// <summary>Sets the exit code of the process after a critical fault.</summary>
    internal Action<int> ExitWith { get; init; } = code => Environment.ExitCode = code;

    public IReadOnlyList<NotifyApp> Apps { get; private set; } = [];

    public IReadOnlyList<InboxRelay> Relays { get; private set; } = [];

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // 1. Apps: keys and credentials.
        Apps = [.. _options.Apps.Select(LoadApp)];
        AppSettings = [.. _options.Apps];
        var keys = new KeyRing(Apps);
        _dispatcher = new PushDispatcher(Apps);

        // 2. Gate, intake, pipeline.
        var seen = new SeenEvents(_options.SeenCapacity);
        _intake = new FairIntake(_options.Relays.Count, _options.InboxCapacityPerRelay);
        var claims = _claims ?? new ReplayCache(_options.ReplayCapacity, _options.ReplayWindow, _time);
        var canaries = new Canaries(_metrics, _time);
        _devices = new DeviceGate(_options, _time);
        var pipeline = new TriggerPipelineContext(_options, keys, seen, claims, _devices, canaries, _metrics, _time, _sharedDevices);
        _budget = new EcBudget(OperationsPerSecond(), _time);
        NotifyLog.Budget(_logger, _budget.OperationsPerSecond, Environment.ProcessorCount);
        var names = _options.Relays.Select(RelayUrl.Normalise).ToArray();
        var workers = Environment.ProcessorCount * (_claims is null ? 1 : WorkersACoreOfReplicas);
        _workerTask = Task.WhenAll(new TriggerWorkers(_intake, _budget, pipeline, names, _logger).Start(workers, _working.Token).Select(loop => Watch("a worker", loop)));

        // 3. The same provider tokens on all replicas, before the first push needs one.
        if (_sharedTokens is not null)
        {
            await AgreeOnTokensAsync(_sharedTokens, cancellationToken);
            _sharingTask = Watch("the sharing of provider tokens", _sharedTokens.RunAsync(_jwts, _listening.Token));
        }

        // 4. Relays. None needs to be up: the server starts degraded and says so on /readyz.
        var announced = _options.AnnounceRelays.Count > 0 ? _options.AnnounceRelays : _options.Relays.Select(_ownRelay.PublicNameOf).ToList();
        var context = new InboxContext(
            _options,
            [.. announced],
            ProviderHttp.LoadRoots(_options.RelayCaFile),
            new TriggerGate(keys, seen, _options.MaxEventBytes, _options.AcceptEphemeralWraps),
            _intake,
            canaries,
            _metrics,
            _time,
            _logger);
        Relays = [.. _options.Relays.SelectMany((url, index) => keys.Keys.Select(entry =>
            new InboxRelay(context, index, url, _ownRelay.PublicNameOf(url), entry.App, entry.Key)))];
        _relayTasks = Task.WhenAll(Relays.SelectMany(relay => relay.Start(_listening.Token)).Select(loop => Watch("a relay's loop", loop)));
        AddGauges(_budget, claims as ReplayCache);

        // 5. What may change while it runs.
        if (_settings is not null)
        {
            _reload = new ReloadLoop(this, _settings, _metrics, _time, _logger);
            _reloadTask = Watch("the reload loop", Task.Run(() => _reload.RunAsync(_listening.Token), CancellationToken.None));
        }
    }

    /// <summary>Asks for a reload, as SIGHUP does.</summary>
    internal void RequestReload() => _reload?.Request();

    /// <summary>Takes over limits and credentials; no queued or running push is lost by it.</summary>
    /// <returns>What was taken over, and which changed settings wait for a restart.</returns>
    /// <exception cref="InvalidDataException">A credential file is not what it should be; that app keeps what it had.</exception>
    internal (IReadOnlyList<string> Taken, IReadOnlyList<string> Left) Apply(NotifyOptions fresh)
    {
        var taken = new List<string> { "limits" };
        var left = new List<string>();
        _options.TakeLimits(fresh);
        _devices?.Apply(_options);
        _budget?.SetRate(OperationsPerSecond());
        foreach (var app in Apps)
        {
            if (fresh.Apps.FirstOrDefault(entry => entry.Name == app.Name) is { } settings)
            {
                taken.AddRange(app.Reload(settings, _options).Select(provider => $"{app.Name} {provider}"));
                left.AddRange(Differences(app.Name, _options.Apps.First(entry => entry.Name == app.Name), settings));
            }
        }

        AppSettings = [.. fresh.Apps];
        if (!fresh.Relays.SequenceEqual(_options.Relays))
        {
            left.Add("Notify:Relays");
        }

        if (!fresh.Apps.Select(app => app.Name).SequenceEqual(_options.Apps.Select(app => app.Name)))
        {
            left.Add("Notify:Apps");
        }

        return (taken, left);
    }

    /// <summary>Producers before consumers: relays, then what waits in the intake, then the lanes.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(_options.DrainTimeout);
        await _listening.CancelAsync();
        await _relayTasks;
        await _reloadTask;
        await _sharingTask;
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
        await _reloadTask;
        await _sharingTask;
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

        _jwts.Dispose();
        _listening.Dispose();
        _working.Dispose();
    }

    // A cluster that is away must not keep the server from starting.
    private async Task AgreeOnTokensAsync(SharedProviderTokens tokens, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(FirstAgreement);
        try
        {
            await tokens.AgreeAsync(_jwts, patience.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The loop goes on trying.
        }
    }

    private static IEnumerable<string> Differences(string app, NotifyAppOptions now, NotifyAppOptions fresh)
    {
        if (now.KeyFile != fresh.KeyFile)
        {
            yield return $"{app} KeyFile";
        }

        if (!now.RetiringKeyFiles.SequenceEqual(fresh.RetiringKeyFiles))
        {
            yield return $"{app} RetiringKeyFiles";
        }
    }

    private int OperationsPerSecond()
    {
        if (_options.EcOperationsPerSecond > 0)
        {
            return _options.EcOperationsPerSecond;
        }

        return _measured > 0 ? _measured : _measured = EcBudget.Measure();
    }

    /// <summary>A loop that must not end has ended by a bug: the process stops with exit code 1 instead of going on deaf.</summary>
    private async Task Watch(string part, Task loop)
    {
        try
        {
            await loop;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _metrics.Fault(e);
            NotifyLog.CriticalFault(_logger, part, e.GetType().Name);
            ExitWith(1);
            _lifetime?.StopApplication();
        }
    }

    private NotifyApp LoadApp(NotifyAppOptions options)
    {
        var app = NotifyApp.Load(options, _options, _credentials, _metrics, _time, out var keyMade);
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

    private void AddGauges(EcBudget budget, ReplayCache? claims)
    {
        _metrics.Gauge("marmot_notify_relay_live", "1 while the subscription is live.",
            () => Relays.Select(r => new Measurement<int>(r.IsLive ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_deaf_seconds", "Time without a live subscription since the start.",
            () => Relays.Select(r => new Measurement<double>(r.DeafSeconds, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_listed", "1 while the relay holds our inbox list (kind 10050).",
            () => Relays.Select(r => new Measurement<int>(r.IsListed ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_deaf", "1 while a relay is live and yet our own triggers do not come back.",
            () => Relays.Select(r => new Measurement<int>(r.IsDeaf ? 1 : 0, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_canary_age_seconds", "Time since one of our own triggers came back.",
            () => Relays.Where(r => !double.IsNaN(r.CanaryAgeSeconds)).Select(r => new Measurement<double>(r.CanaryAgeSeconds, new("relay", r.Name), new("app", r.App.Name))));
        _metrics.Gauge("marmot_notify_relay_limit", "1 for each limit of a relay's information document that hurts.",
            () => Relays.SelectMany(r => r.Limits.Select(limit => new Measurement<int>(1, new("relay", r.Name), new("app", r.App.Name), new("limit", limit.Name)))));
        _metrics.Gauge("marmot_notify_limiter_bytes", "Memory of the limiters' tables.", () => new[] { new Measurement<long>(_devices!.TableBytes) });
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
        _metrics.Gauge("marmot_notify_replay_cache_size", "Remembered triggers.", () => claims is null ? Array.Empty<Measurement<int>>() : [new Measurement<int>(claims.Count)]);
        _metrics.Gauge("marmot_notify_ec_budget", "Elliptic-curve operations allowed a second.", () => new[] { new Measurement<int>(budget.OperationsPerSecond) });
    }
}
