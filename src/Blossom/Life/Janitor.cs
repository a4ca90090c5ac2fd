using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Storage;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Life;

/// <summary>Clears what a crash left before the first request, then deletes ended blobs for as long as the server runs.</summary>
internal sealed class Janitor(
    IBlobStore store, IBlobIndex index, BlobKeeper keeper, BlossomMetrics metrics, IOptions<BlossomOptions> options, IOptions<PublicOptions> listener,
    TimeProvider time, ILogger<Janitor> logger) : BackgroundService, IHealthPart
{
    private const int BatchSize = 256;
    private volatile bool _failed;
    private volatile bool _open;

    public string Name => "blossom";

    public HealthState Check() => !_open ? new HealthState(false, "opening")
        : _failed ? new HealthState(false, "the storage fails")
        : options.Value.MinFreeBytes > store.FreeBytes ? new HealthState(false, "the disk is full: reads only")
        : HealthState.Ok;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await store.RecoverAsync(cancellationToken);
        var totals = index.Totals;
        BlossomLog.Opened(logger, options.Value.Profile, totals.Blobs, totals.Bytes);
        if (listener.Value.Origin.Length == 0)
        {
            BlossomLog.NoOrigin(logger);
        }

        _open = true;
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Deletes every blob that has ended by now. Returns how many went.</summary>
    public async ValueTask<int> SweepAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        while (true)
        {
            var ended = await index.FindExpiredAsync(BatchSize, cancellationToken);
            foreach (var hash in ended)
            {
                removed += await keeper.RemoveExpiredAsync(hash) ? 1 : 0;
            }

            if (ended.Count < BatchSize)
            {
                break;
            }
        }

        if (removed > 0)
        {
            metrics.Expired(removed);
            BlossomLog.Expired(logger, removed);
        }

        return removed;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var orphansDone = false;
        using var timer = new PeriodicTimer(options.Value.SweepInterval, time);
        do
        {
            try
            {
                if (!orphansDone)
                {
                    if (await keeper.RemoveOrphansAsync(stoppingToken) is > 0 and var orphans)
                    {
                        BlossomLog.OrphansRemoved(logger, orphans);
                    }

                    orphansDone = true;
                }

                await SweepAsync(stoppingToken);
                _failed = false;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                _failed = true;
                orphansDone = false; // what was taken out of the expiry queue is found again as a blob without a live claim
                BlossomLog.SweepFailed(logger, error);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
