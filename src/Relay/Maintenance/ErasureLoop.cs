using System.Diagnostics;
using Marmot.Relay.Storage.Postgres;

namespace Marmot.Relay.Maintenance;

/// <summary>Overwrites removed events in PostgreSQL's files, beside the writer: seconds after the removal, and never more than a tenth of the time.</summary>
internal sealed class ErasureLoop(PostgresEventStore store, TimeProvider clock, ILogger<ErasureLoop> log) : BackgroundService
{
    private static readonly TimeSpan ShortestPause = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            var started = Stopwatch.GetTimestamp();
            try
            {
                while (await store.EraseAsync(stoppingToken))
                {
                }
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                log.EraseFailed(exception.Message);
            }

            var pause = Stopwatch.GetElapsedTime(started) * 10;
            await Task.Delay(pause > ShortestPause ? pause : ShortestPause, clock, stoppingToken);
        }
    }
}
