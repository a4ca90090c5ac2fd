using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Storage;
using Marmot.Hosting;
using Marmot.Hosting.Health;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Retention;

/// <summary>Clears what a crash left before the first request; then, for as long as the server runs, asks the storage how it is and deletes ended
/// blobs.</summary>
internal sealed class Janitor(
    IBlobStore store, IBlobIndex index, BlobService blobs, BlobReads reads, Moderation moderation, StorageHealth health, BlossomMetrics metrics,
        IOptions<BlossomOptions> options,
    IOptions<PublicOptions> listener, TimeProvider time, ILogger<Janitor> logger) : BackgroundService, IHealthPart
{
    private const int BatchSize = 256;
    private static readonly TimeSpan UnreadInterval = TimeSpan.FromHours(1); // a look at every blob
    private static readonly TimeSpan OrphanInterval = TimeSpan.FromDays(1);
    private (int Claims, int Blobs) _reported; // of the loop
    private volatile bool _failed;
    private volatile bool _open;

    public string Name => "blossom";

    public HealthState Check() => health.Away is { } away ? new HealthState(false, away)
        : !_open ? new HealthState(false, "opening")
        : _failed ? new HealthState(false, "the storage fails")
        : options.Value.MinFreeBytes > store.FreeBytes ? new HealthState(false, "the disk is full: reads only")
        : blobs.Damage is ( > 0, _) or (_, > 0) ? new HealthState(true, $"{blobs.Damage.Claims} claims and {blobs.Damage.Blobs} small blobs are damaged")
        : HealthState.Ok;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await store.RecoverAsync(cancellationToken);
        if (listener.Value.Origin.Length == 0)
        {
            BlossomLog.NoOrigin(logger);
        }

        await TryOpenAsync(cancellationToken); // storage elsewhere that is away now is waited for while requests get 503
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Deletes every blob that has ended by now. Returns how many went.</summary>
    public async ValueTask<int> SweepAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        while (true)
        {
            var ended = await blobs.FindExpiredAsync(BatchSize, cancellationToken);
            foreach (var hash in ended)
            {
                removed += await blobs.RemoveExpiredAsync(hash) ? 1 : 0;
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

    /// <summary>Deletes every blob that nobody has read for <see cref="BlossomOptions.EndUnreadAfter"/>. Returns how many went.</summary>
    public async ValueTask<int> SweepUnreadAsync(CancellationToken cancellationToken)
    {
        int removed = 0, last;
        do
        {
            last = await blobs.RemoveUnreadAsync(options.Value.EndUnreadAfter, BatchSize, cancellationToken);
            removed += last;
        }
        while (last == BatchSize);
        if (removed > 0)
        {
            metrics.Expired(removed);
            BlossomLog.Unread(logger, removed);
        }

        return removed;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        TimeSpan? orphansAt = null;
        TimeSpan? unreadAt = null;
        using var timer = new PeriodicTimer(options.Value.SweepInterval, time);
        do
        {
            try
            {
                if (!await TryOpenAsync(stoppingToken))
                {
                    continue;
                }

                await blobs.SortOutSuspectsAsync(stoppingToken);
                ReportDamage();
                await blobs.RemoveLeftBehindAsync(stoppingToken);
                if (orphansAt is null || time.GetUptime() - orphansAt >= OrphanInterval)
                {
                    if (await blobs.RemoveOrphansAsync(stoppingToken) is > 0 and var orphans)
                    {
                        BlossomLog.OrphansRemoved(logger, orphans);
                    }

                    orphansAt = time.GetUptime();
                }

                await SweepAsync(stoppingToken);
                await reads.WriteAsync(stoppingToken);
                if (options.Value.EndUnreadAfter > TimeSpan.Zero && (unreadAt is null || time.GetUptime() - unreadAt >= UnreadInterval))
                {
                    await SweepUnreadAsync(stoppingToken);
                    unreadAt = time.GetUptime();
                }

                _failed = false;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (StorageUnavailableException error)
            {
                health.Down(error);
            }
            catch (Exception error)
            {
                _failed = true;
                orphansAt = null; // what was taken out of the expiry queue is found again as a blob without a live claim
                BlossomLog.SweepFailed(logger, error);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    /// <summary>Says what the disk has lost, once for each change.</summary>
    private void ReportDamage()
    {
        var damage = blobs.Damage;
        if (damage != _reported)
        {
            _reported = damage;
            if (damage != default)
            {
                BlossomLog.Damaged(logger, damage.Claims, damage.Blobs);
            }
        }
    }

    private async ValueTask<bool> TryOpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            await index.ProbeAsync(cancellationToken);
            await store.ProbeAsync(cancellationToken);
            if (!moderation.IsKnown)
            {
                await moderation.RefreshAsync(cancellationToken); // nothing is taken before it is known who is banned
            }
        }
        catch (StorageUnavailableException error)
        {
            health.Down(error);
            return false;
        }

        health.Up();
        if (!_open)
        {
            _open = true;
            BlossomLog.Opened(logger, options.Value.Profile, index.Totals.Blobs, index.Totals.Bytes);
        }

        return true;
    }
}
