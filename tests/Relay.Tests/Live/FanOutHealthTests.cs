using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Live;
using Marmot.Relay.Storage;
using Marmot.TestKit;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Tests.Live;

public sealed class FanOutHealthTests
{
    [Fact]
    public async Task Live_delivery_that_lags_is_not_ready()
    {
        var clock = Clock.Standing();
        using var metrics = new RelayMetrics();
        using var fanOut = new FanOut(new SubscriptionIndex(), Options.Create(new RelayOptions()), metrics, clock, NullLogger<FanOut>.Instance);
        var health = new FanOutHealth(fanOut);
        Assert.True(health.Check().Ready);

        using var key = SecretKey.Generate();
        Assert.True(NostrEventReader.TryRead(NostrEvent.Create(key, 1, [], "", 1_700_000_000).Json.Span, out var view, out _));
        await fanOut.PublishAsync(new LiveEvent(EventRecord.Create(view, vanishesHere: false), 1), CancellationToken.None);
        clock.Advance(FanOut.MaxLag);
        Assert.True(health.Check().Ready);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(health.Check().Ready);
        Assert.Equal("live events come 11 seconds late", health.Check().Detail);

        await fanOut.StartAsync(CancellationToken.None);
        for (var i = 0; i < 1000 && !health.Check().Ready; i++)
        {
            await Task.Delay(10);
        }

        Assert.True(health.Check().Ready);
        await fanOut.StopAsync(CancellationToken.None);
    }
}
