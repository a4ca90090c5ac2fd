using System.Runtime.InteropServices;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting;

/// <summary>
/// Stops in two steps. On SIGTERM <c>/readyz</c> says no at once while everything goes on working for <see cref="PublicOptions.DrainDelay"/>, so that a load balancer
/// sends nobody new to a closing door; only then the servers say farewell and drain. Ctrl-C skips the delay; a second signal ends the process (<see cref="Lifetime.SecondSignal"/>).
/// </summary>
public sealed class DrainLifetime(IHostApplicationLifetime lifetime, IOptions<PublicOptions> options, TimeProvider time) : IHostLifetime, IHealthPart, IDisposable
{
    private readonly List<PosixSignalRegistration> _signals = [];
    private ITimer? _delay;
    private int _stopping;

    /// <inheritdoc/>
    public string Name => "process";

    /// <inheritdoc/>
    public HealthState Check() => Volatile.Read(ref _stopping) == 0 && !lifetime.ApplicationStopping.IsCancellationRequested ? HealthState.Ok : new HealthState(false, "stopping");

    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        foreach (var signal in new[] { PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT })
        {
            _signals.Add(PosixSignalRegistration.Create(signal, OnSignal));
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose()
    {
        _signals.ForEach(signal => signal.Dispose());
        _delay?.Dispose();
    }

    /// <summary>Begins the two steps; <paramref name="atOnce"/> skips the first.</summary>
    public void Stop(bool atOnce)
    {
        if (Interlocked.Exchange(ref _stopping, 1) != 0)
        {
            return;
        }

        var delay = options.Value.DrainDelay;
        if (atOnce || delay <= TimeSpan.Zero)
        {
            lifetime.StopApplication();
            return;
        }

        _delay = time.CreateTimer(_ => lifetime.StopApplication(), null, delay, Timeout.InfiniteTimeSpan);
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // the process ends when the host has stopped, not now
        Stop(atOnce: context.Signal == PosixSignal.SIGINT);
    }
}
