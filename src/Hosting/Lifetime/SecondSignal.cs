using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;

namespace Marmot.Hosting.Lifetime;

/// <summary>The first SIGTERM or SIGINT lets the servers drain, which is the host's part; a second one ends the process at once with exit code 1.</summary>
internal sealed class SecondSignal : IHostedService, IDisposable
{
    private PosixSignalRegistration? _terminate;
    private PosixSignalRegistration? _interrupt;
    private int _signals;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Count);
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Count);
        return Task.CompletedTask;
    }

    /// <summary>Stays registered: the second signal comes while everything stops.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        _terminate?.Dispose();
        _interrupt?.Dispose();
    }

    private void Count(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _signals) > 1)
        {
            Environment.Exit(1);
        }
    }
}
