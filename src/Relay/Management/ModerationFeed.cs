using Marmot.Hosting.Cluster;
using Marmot.Relay.Rules;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Management;

/// <summary>Takes over what the operator decided through another replica, and tells the others what was decided here.</summary>
/// <remarks>The bus only makes it quick: what it loses comes by looking every <see cref="ClusterOptions.PollInterval"/>.</remarks>
internal sealed class ModerationFeed(
    Moderation moderation, BannedEvents banned, IClusterBus bus, TimeProvider clock, IOptions<ClusterOptions> options, ILogger<ModerationFeed> log)
    : BackgroundService, IClusterListener
{
    public const string Channel = "moderation";
    private static readonly byte[] Changed = [(byte)'C'];
    private readonly SemaphoreSlim _wake = new(0);

    public void OnMessage(ReadOnlyMemory<byte> message) => _wake.Release();

    public void OnGap() => _wake.Release();

    public override void Dispose()
    {
        _wake.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var listening = bus.Subscribe(Channel, this);
        void Tell() => bus.Publish(Channel, Changed);
        moderation.Decided += Tell;
        try
        {
            while (true)
            {
                await _wake.WaitAsync(options.Value.PollInterval, stoppingToken);
                try
                {
                    // A banned event may have come here before the ban did: whoever hears of it removes what is there.
                    if (await moderation.RefreshAsync(stoppingToken) is var (before, now))
                    {
                        await banned.RemoveAsync(before, now, stoppingToken);
                    }
                }
                catch (IOException)
                {
                    // the live feed says so; the next look finds it
                }
                catch (Exception exception) when (exception is not OperationCanceledException)
                {
                    log.LoopFailed(nameof(ModerationFeed), exception);
                    await Task.Delay(TimeSpan.FromMilliseconds(100), clock, stoppingToken);
                }
            }
        }
        finally
        {
            moderation.Decided -= Tell;
        }
    }
}
