using System.Threading.Channels;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Live;

/// <summary>The loop that hands accepted events to the subscriptions that want them: the same bytes to all.</summary>
/// <remarks>Bounded: when it falls behind, the writer waits, and with it those who publish.</remarks>
internal sealed class FanOut(SubscriptionIndex index, IOptions<RelayOptions> options, RelayMetrics metrics, ILogger<FanOut> log) : BackgroundService, ILiveFeed
{
    private readonly Channel<LiveEvent> _channel = Channel.CreateBounded<LiveEvent>(
        new BoundedChannelOptions(8192) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly bool _wrapsOpen = options.Value.GiftWraps == GiftWrapAccessMode.Open;

    public ValueTask PublishAsync(LiveEvent live, CancellationToken cancel) => _channel.Writer.WriteAsync(live, cancel);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var matches = new List<Subscription>();
        var number = 0UL;
        await foreach (var live in _channel.Reader.ReadAllAsync(stoppingToken))
        {
            try
            {
                Deliver(live, ++number, matches);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                log.LoopFailed(nameof(FanOut), exception);
            }
        }
    }

    private void Deliver(LiveEvent live, ulong number, List<Subscription> matches)
    {
        matches.Clear();
        if (!NostrEventReader.TryRead(live.Record.Json, out var view, out _))
        {
            return;
        }

        index.Collect(view, live.Record.Tags, number, matches);
        var delivered = 0;
        live.Subscribers = matches.Count;
        foreach (var subscription in matches)
        {
            if (GiftWrapAccess.MayRead(view, subscription.Connection.Keys, _wrapsOpen))
            {
                subscription.Deliver(live);
                delivered++;
            }
        }

        metrics.Delivered(delivered);
    }
}
