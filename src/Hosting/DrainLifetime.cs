using Marmot.Hosting.Health;
using Marmot.Hosting.Lifetime;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting;

/// <summary>
/// Stops in two steps. On SIGTERM <c>/readyz</c> says no at once while everything goes on working for <see cref="PublicOptions.DrainDelay"/>, so that a load
/// balancer sends nobody new to a closing door; only then the servers close their connections and drain, for <see cref="PublicOptions.StopTimeout"/> at most.
/// Ctrl-C skips the delay, a second signal the rest. Whatever then still hangs, the process ends with exit code 0 soon after.
/// </summary>
public sealed class DrainLifetime(IHostApplicationLifetime lifetime, IOptions<PublicOptions> options, TimeProvider time, StopSignals signals)
    : IHostLifetime, IHealthPart, IDisposable
{
    // What stops after the HTTP server: connections, pushes under way, stores.
    private static readonly TimeSpan OthersTime = TimeSpan.FromSeconds(10);

    // How long after the deadline, or after a second signal, a part that hangs is waited for.
    private static readonly TimeSpan LastMoment = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _hurry = new();
    private ITimer? _delay;
    private Timer? _end; // of the system's clock, and never disposed: it ends the process even when the host's own end hangs
    private int _signals;
    private int _stopping;

    /// <inheritdoc/>
    public string Name => "process";

    /// <summary>Cancelled by a second signal: nothing is waited for any more.</summary>
    public CancellationToken Hurry => _hurry.Token;

    /// <summary>How much of <see cref="PublicOptions.StopTimeout"/> transfers under way may use.</summary>
    public TimeSpan TransferTime => options.Value.StopTimeout > OthersTime * 2 ? options.Value.StopTimeout - OthersTime : options.Value.StopTimeout / 2;

    /// <inheritdoc/>
    public HealthState Check() =>
        Volatile.Read(ref _stopping) == 0 && !lifetime.ApplicationStopping.IsCancellationRequested ? HealthState.Ok : new HealthState(false, "stopping");

    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        signals.Attach(OnSignal);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose()
    {
        _delay?.Dispose();
        _hurry.Dispose();
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

    private void OnSignal(bool isInterrupt)
    {
        if (Interlocked.Increment(ref _signals) == 1)
        {
            EndWithin(options.Value.DrainDelay + options.Value.StopTimeout + LastMoment);
            Stop(atOnce: isInterrupt);
            return;
        }

        EndWithin(LastMoment);
        lifetime.StopApplication();
        try
        {
            _hurry.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // All has ended already.
        }
    }

    private void EndWithin(TimeSpan deadline)
    {
        _end?.Dispose();
        _end = new Timer(_ => Environment.Exit(Environment.ExitCode), null, deadline, Timeout.InfiniteTimeSpan);
    }
}
