using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class RolesApartTests : IDisposable
{
    private const string Origin = "--Public:Origin=wss://relay.example.org";
    private readonly TemporaryFolder _relayData = new();
    private readonly TemporaryFolder _notifyData = new();

    public void Dispose()
    {
        _relayData.Dispose();
        _notifyData.Dispose();
    }

    [Fact]
    public async Task A_push_server_of_its_own_reaches_the_relay_by_its_inner_name_and_authenticates_under_its_public_one()
    {
        await using var relay = await MarmotServerProcess.StartAsync("relay", _relayData.Path, Origin);
        // Ready means: authenticated (the relay knows itself only by its origin), subscribed, kind 10050 published.
        await using var notify = await MarmotServerProcess.StartAsync("notify", _notifyData.Path, Origin, $"--Notify:OwnRelay={relay.RelayUrl}");
        using var client = new HttpClient();
        Assert.Contains("live", await client.GetStringAsync(new Uri(notify.AdminUrl, "/readyz")), StringComparison.Ordinal);
        Assert.Equal(0, await notify.StopAsync());
        Assert.Equal(0, await relay.StopAsync());
    }
}
