using Microsoft.Extensions.Hosting;

namespace Marmot.NotifyServer.Claims;

/// <summary>Asks the replicas' shared ledger every few seconds, so that /readyz says how it is now and not how it was at the last push.</summary>
internal sealed class LedgerProbe(SharedClaims claims, TimeProvider time) : BackgroundService
{
    /// <summary>Time between two questions.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
            {
                await claims.ProbeAsync(stoppingToken);
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }
}
