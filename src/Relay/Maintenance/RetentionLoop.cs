using Marmot.Hosting.Deletion;
using Marmot.Protocol.Filters;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Maintenance;

/// <summary>Removes events that are older than the operator keeps their kind (NIP-11, retention).</summary>
internal sealed class RetentionLoop(
    IEventStore store, EventWriterLoop writer, TimeProvider clock, DeletionDate deletion, IOptions<RelayOptions> options, ILogger<RetentionLoop> log)
    : BackgroundService
{
    private const int BatchSize = 1000;
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    /// <summary>One round over all rules.</summary>
    /// <returns>How many events were removed.</returns>
    public async Task<int> RunOnceAsync(CancellationToken cancel)
    {
        var removed = 0;
        var now = (await deletion.GetAsync(cancel)).ToUnixTimeSeconds();
        foreach (var (kind, days) in options.Value.RetentionDays)
        {
            var filter = new Filter { Kinds = [RetentionKinds.Parse(kind)], Until = now - (days * 86400L) - 1 };
            while (true)
            {
                var due = await store.QueryAsync(filter, ReadScope.Everything(long.MinValue), store.HighWaterMark, BatchSize, cancel);
                if (due.Count == 0)
                {
                    break;
                }

                removed += await writer.RemoveAsync(due, cancel);
            }
        }

        return removed;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (options.Value.RetentionDays.Count == 0)
        {
            return;
        }

        using var timer = new PeriodicTimer(Interval, clock);
        do
        {
            try
            {
                await RunOnceAsync(stoppingToken);
            }
            catch (IOException exception)
            {
                log.LoopFailed(nameof(RetentionLoop), exception);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
