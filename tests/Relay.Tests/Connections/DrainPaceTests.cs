using Marmot.Relay.Connections;

namespace Marmot.Relay.Tests.Connections;

public sealed class DrainPaceTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(50)]
    [InlineData(51)]
    [InlineData(3000)]
    [InlineData(3001)]
    [InlineData(100_000)]
    public void A_stop_sends_few_clients_away_at_once_and_many_over_three_seconds_at_most(int clients)
    {
        var steps = (clients + DrainPace.PerStep(clients) - 1) / DrainPace.PerStep(clients);
        Assert.True(clients > 50 || steps <= 1);
        Assert.True(clients <= 50 || steps > 1);
        Assert.True((steps - 1) * DrainPace.Step < TimeSpan.FromSeconds(3));
    }
}
