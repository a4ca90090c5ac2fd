using System.Globalization;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Settings;
using Marmot.Platform.Files;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Moderating;

/// <summary>Takes over what the operator decided elsewhere (another replica, another process of this machine, a command), and tells the other replicas what
/// was decided here.</summary>
/// <remarks>The bus only makes it quick: what it loses comes by looking, every <see cref="ClusterOptions.PollInterval"/> on a database, every second at the
/// file.</remarks>
public sealed class ModerationFeed : BackgroundService, IClusterListener
{
    internal const string Channel = "moderation";
    private static readonly byte[] Changed = [(byte)'C'];
    private static readonly TimeSpan FileInterval = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Moderation _moderation;
    private readonly Decisions _decisions;
    private readonly IClusterBus? _bus;
    private readonly TimeSpan _interval;
    private readonly string _folder;
    private readonly TimeProvider _clock;
    private readonly ILogger<ModerationFeed> _log;
    private long _marked = -1; // number of the last decision written down as applied

    /// <param name="services">The process.</param>
    public ModerationFeed(IServiceProvider services)
    {
        _moderation = services.GetRequiredService<Moderation>();
        _decisions = services.GetRequiredService<Decisions>();
        _clock = services.GetRequiredService<TimeProvider>();
        _log = services.GetRequiredService<ILogger<ModerationFeed>>();
        var storage = services.GetRequiredService<IOptions<StorageOptions>>().Value;
        _folder = storage.DataDirectory;
        var isShared = storage.Postgres.Length > 0;
        _bus = isShared ? services.GetService<IClusterBus>() : null;
        _interval = isShared ? services.GetRequiredService<IOptions<ClusterOptions>>().Value.PollInterval : FileInterval;
    }

    /// <inheritdoc/>
    public void OnMessage(ReadOnlyMemory<byte> message) => _wake.Release();

    /// <inheritdoc/>
    public void OnGap() => _wake.Release();

    /// <inheritdoc/>
    public override void Dispose()
    {
        _wake.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var listening = _bus?.Subscribe(Channel, this);
        void Tell() => _bus?.Publish(Channel, Changed);
        _moderation.Decided += Tell;
        var hasCaughtUp = false;
        try
        {
            while (true)
            {
                try
                {
                    // A banned event may have come here before the ban did: whoever hears of it removes what is there.
                    if (await _moderation.RefreshAsync(stoppingToken) is var (before, now))
                    {
                        foreach (var follower in _decisions.Followers)
                        {
                            await follower.ApplyAsync(before, now, stoppingToken);
                        }
                    }

                    if (!hasCaughtUp && _moderation.IsKnown)
                    {
                        await CatchUpAsync(stoppingToken);
                        hasCaughtUp = true;
                    }

                    MarkApplied();
                }
                catch (IOException)
                {
                    // whoever needs the store says so; the next look finds it
                }
                catch (Exception exception) when (exception is not OperationCanceledException)
                {
                    ModeratingLog.FeedFailed(_log, exception);
                    await Task.Delay(TimeSpan.FromMilliseconds(100), _clock, stoppingToken);
                }

                await _wake.WaitAsync(_interval, stoppingToken);
            }
        }
        catch (OperationCanceledException)
        {
            // stopping
        }
        finally
        {
            _moderation.Decided -= Tell;
        }
    }

    // What was decided while this server did not run: the decisions after the last one that it is known to have applied.
    private async Task CatchUpAsync(CancellationToken cancel)
    {
        var now = _moderation.State;
        foreach (var follower in _decisions.Followers)
        {
            var applied = ReadApplied(follower);
            if (applied != now.LastNumber)
            {
                await follower.ApplyAsync(Before(now, applied), now, cancel);
            }
        }
    }

    // The state without the bans that came later; without any when the trail does not reach back that far.
    private static ModerationState Before(ModerationState now, long applied)
    {
        if (now.Trail.Count == 0 || now.Trail[0].Number > applied + 1)
        {
            return new ModerationState();
        }

        var later = now.Trail.Where(line => line.Number > applied).Select(line => line.Target).ToHashSet(StringComparer.Ordinal);
        Dictionary<string, string> Older(Dictionary<string, string> all) => all.Where(pair => !later.Contains(pair.Key)).ToDictionary();
        return now with { BannedKeys = Older(now.BannedKeys), BannedEvents = Older(now.BannedEvents), BannedBlobs = Older(now.BannedBlobs) };
    }

    private string AppliedFile(IDecisionFollower follower) => Path.Combine(_folder, follower.Name, "decisions.applied");

    private long ReadApplied(IDecisionFollower follower) =>
        File.Exists(AppliedFile(follower)) && long.TryParse(File.ReadAllText(AppliedFile(follower)), CultureInfo.InvariantCulture, out var number) ? number : 0;

    private void MarkApplied()
    {
        if (!_moderation.IsKnown || _decisions.IsUnderWay || _moderation.State.LastNumber is var number && number == _marked)
        {
            return;
        }

        foreach (var follower in _decisions.Followers)
        {
            Folders.CreateOwnerOnly(Path.GetDirectoryName(AppliedFile(follower))!);
            AtomicFile.Replace(AppliedFile(follower), System.Text.Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture)));
        }

        _marked = number;
    }

}
