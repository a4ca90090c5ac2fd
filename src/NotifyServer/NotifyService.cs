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

/// <summary>The running server: starts and stops the stages that <see cref="NotifyHosting.Compose"/> puts together, producers before consumers.</summary>
internal sealed class NotifyService : IHostedService, IAsyncDisposable
{
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
    private NotifyStages? _stages;

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

    public IReadOnlyList<NotifyApp> Apps => _stages?.Apps ?? [];

    public IReadOnlyList<InboxRelay> Relays => _stages?.Relays ?? [];

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // 1. The stages, keys and credentials with them.
        var parts = new NotifyParts(_options, _ownRelay, _credentials, _claims, _sharedDevices, _metrics, _time, _logger);
        AppSettings = [.. _options.Apps];
        _stages = NotifyHosting.Compose(parts);
        NotifyLog.Budget(_logger, _stages.Budget.OperationsPerSecond, Environment.ProcessorCount);
        _workerTask = Task.WhenAll(_stages.Workers.Start(_working.Token).Select(loop => Watch("a worker", loop)));

        // 2. The same provider tokens on all replicas, before the first push needs one.
        if (_sharedTokens is not null)
        {
            await AgreeOnTokensAsync(_sharedTokens, cancellationToken);
            _sharingTask = Watch("the sharing of provider tokens", _sharedTokens.RunAsync(_jwts, _listening.Token));
        }

        // 3. Relays. None needs to be up: the server starts degraded and says so on /readyz.
        _relayTasks = Task.WhenAll(Relays.SelectMany(relay => relay.Start(_listening.Token)).Select(loop => Watch("a relay's loop", loop)));
        NotifyGauges.Add(_metrics, _options, _stages);

        // 4. What may change while it runs.
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
        _stages?.Devices.Apply(_options);
        _stages?.Budget.SetRate(EcBudget.RateOf(_options));
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
        _stages?.Intake.Close();
        try
        {
            await _workerTask.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            await _working.CancelAsync();
            await _workerTask;
        }

        if (_stages is not null)
        {
            NotifyLog.Draining(_logger, _stages.Dispatcher.Pending);
            NotifyLog.Drained(_logger, await _stages.Dispatcher.DrainAsync(deadline.Token));
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
        if (_stages is not null)
        {
            await _stages.DisposeAsync();
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
}
