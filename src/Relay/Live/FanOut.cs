using System.Threading.Channels;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Live;

/// <summary>The loop that hands accepted events to the subscriptions that want them: the same bytes to all.</summary>
/// <remarks>
/// What waits is taken together, so that under load a subscriber gets many events by one write; at a calm rate it is one event, and each
/// subscriber's frame is written before the next one's is made. Bounded: when it falls behind, the writer waits, and with it those who publish.
/// </remarks>
internal sealed class FanOut(SubscriptionIndex index, IOptions<RelayOptions> options, RelayMetrics metrics, TimeProvider clock, ILogger<FanOut> log)
    : BackgroundService, ILiveFeed
{
    private const int MaxRound = 64;

    /// <summary>Later than that an event is not live any more; the relay says so by <c>/readyz</c>.</summary>
    public static readonly TimeSpan MaxLag = TimeSpan.FromSeconds(10);

    private readonly Channel<(LiveEvent Live, long At)> _channel = Channel.CreateBounded<(LiveEvent, long)>(
        new BoundedChannelOptions(8192) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly bool _wrapsOpen = options.Value.GiftWraps == GiftWrapAccessMode.Open;
    private readonly List<Subscription> _matches = [];
    private ulong _number;
    private ulong _roundNumber;
    private long _oldest; // when the first event of the round under way was published; 0 between rounds

    public bool HasAllListeners => true;

    /// <summary>How long ago the event was published that is being handed out or comes next; zero when there is none.</summary>
    public TimeSpan Lag =>
        Volatile.Read(ref _oldest) is var oldest and not 0 ? clock.GetElapsedTime(oldest)
        : _channel.Reader.TryPeek(out var next) ? clock.GetElapsedTime(next.At)
        : TimeSpan.Zero;

    public ValueTask PublishAsync(LiveEvent live, CancellationToken cancel) => _channel.Writer.WriteAsync((live, clock.GetTimestamp()), cancel);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await _channel.Reader.WaitToReadAsync(stoppingToken))
        {
            try
            {
                var round = new DeliveryRound(++_roundNumber);
                for (var i = 0; i < MaxRound && _channel.Reader.TryRead(out var next); i++)
                {
                    if (i == 0)
                    {
                        Volatile.Write(ref _oldest, next.At);
                    }

                    Collect(next.Live, round);
                }

                await round.RunAsync();
                metrics.Delivered(round.Count);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                log.LoopFailed(nameof(FanOut), exception);
            }
            finally
            {
                Volatile.Write(ref _oldest, 0);
            }
        }
    }

    private void Collect(LiveEvent live, DeliveryRound round)
    {
        if (!NostrEventReader.TryRead(live.Record.Json, out var view, out _))
        {
            return;
        }

        _matches.Clear();
        index.Collect(view, live.Record.Tags, ++_number, _matches);
        live.Subscribers = _matches.Count;
        var heard = 0;
        foreach (var subscription in _matches)
        {
            if (subscription.TryHold(live))
            {
                heard++; // whether it may be read is decided when its client has authenticated, or has not
            }
            else if (GiftWrapAccess.MayRead(view, subscription.Client.Keys, _wrapsOpen))
            {
                heard++;
                round.Add(subscription, live);
            }
        }

        live.Heard?.Invoke(heard);
    }
}
