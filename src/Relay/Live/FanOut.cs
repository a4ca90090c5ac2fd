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
internal sealed class FanOut(SubscriptionIndex index, IOptions<RelayOptions> options, RelayMetrics metrics, ILogger<FanOut> log) : BackgroundService, ILiveFeed
{
    private const int MaxRound = 64;

    private readonly Channel<LiveEvent> _channel = Channel.CreateBounded<LiveEvent>(
        new BoundedChannelOptions(8192) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly bool _wrapsOpen = options.Value.GiftWraps == GiftWrapAccessMode.Open;
    private readonly List<Subscription> _matches = [];
    private ulong _number;
    private ulong _roundNumber;

    public ValueTask PublishAsync(LiveEvent live, CancellationToken cancel) => _channel.Writer.WriteAsync(live, cancel);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await _channel.Reader.WaitToReadAsync(stoppingToken))
        {
            try
            {
                var round = new DeliveryRound(++_roundNumber);
                for (var i = 0; i < MaxRound && _channel.Reader.TryRead(out var live); i++)
                {
                    Collect(live, round);
                }

                await round.RunAsync();
                metrics.Delivered(round.Count);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                log.LoopFailed(nameof(FanOut), exception);
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
        foreach (var subscription in _matches)
        {
            if (subscription.TryHold(live))
            {
                continue; // whether it may be read is decided when its client has authenticated, or has not
            }

            if (GiftWrapAccess.MayRead(view, subscription.Connection.Keys, _wrapsOpen))
            {
                round.Add(subscription, live);
            }
        }
    }
}
