using Marmot.Client.Relays;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Servers;

namespace Marmot.Scenarios.Client;

/// <summary>A history longer than a page: by what the relay says of its completeness (NIP-67), or by guessing where it says nothing.</summary>
[Trait("Spec", "NIP-67")]
public sealed class HistoryPagesTests
{
    private static readonly string Group = new('a', 64);
    private static readonly Filter Wanted = new() { Kinds = [445], Tags = new Dictionary<char, string[]> { ['h'] = [Group] } };

    private static NostrEvent Message(SecretKey key, string content, long at) => NostrEvent.Create(key, 445, [["h", Group]], content, at);

    [Fact]
    public async Task A_client_reads_the_whole_history_of_a_relay_in_pages_smaller_than_a_second()
    {
        using var folder = new TemporaryFolder();
        await using var relay = await MarmotServerProcess.StartAsync("relay", folder.Path, "--Relay:MaxLimit=20");
        string url = relay.RelayUrl.ToString();
        using var key = SecretKey.Generate();
        await using var network = new RelayNetwork(new RelayNetworkOptions { PageSize = 5 }, TimeProvider.System);
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

        // Twelve a second: more than a page, and less than what the relay gives when asked for more.
        var events = Enumerable.Range(0, 60).Select(i => Message(key, $"{i}", now - (i / 12))).ToArray();
        foreach (var evt in events)
        {
            Assert.Equal(RelayAnswer.Accepted, (await network.PublishAsync(url, evt, CancellationToken.None)).Answer);
        }

        var fetched = await network.FetchAsync(url, Wanted, asAccount: false, CancellationToken.None);
        Assert.True(fetched.Complete, fetched.Message);
        Assert.Equal(events.Select(evt => evt.Id).Order(), fetched.Events.Select(evt => evt.Id).Order());
    }

    [Theory]
    [InlineData("""["finish"]""", 1, 10, true)] // a whole page, and nobody asks again
    [InlineData("""["more"]""", 20, 10, false)] // it holds back for ever what it says it has
    [InlineData("", 2, 10, true)] // says nothing: a second page that brings nothing new is the end
    [InlineData("""["later"]""", 2, 10, true)]
    public async Task A_client_pages_by_what_the_relay_says_and_no_relay_traps_it(string hint, int mostRequests, int events, bool complete)
    {
        using var key = SecretKey.Generate();
        var stored = Enumerable.Range(0, events).Select(i => Message(key, $"{i}", 1_700_000_000)).ToArray();
        await using var relay = await TestRelay.StartAsync();
        relay.Answers = _ => stored;
        relay.Hint = hint;
        await using var network = new RelayNetwork(new RelayNetworkOptions { PageSize = events }, TimeProvider.System);
        var fetched = await network.FetchAsync(relay.Url, Wanted, asAccount: false, CancellationToken.None);
        Assert.Equal(complete, fetched.Complete);
        Assert.Equal(stored.Select(evt => evt.Id).Order(), fetched.Events.Select(evt => evt.Id).Order());
        Assert.InRange(relay.Reqs, 1, mostRequests);
    }

    [Fact]
    public async Task A_relay_that_invents_events_without_end_is_left_at_last()
    {
        using var key = SecretKey.Generate();
        await using var relay = await TestRelay.StartAsync();
        relay.Answers = request => [Message(key, $"{request}", 1_700_000_000)];
        relay.Hint = """["more"]""";
        await using var network = new RelayNetwork(new RelayNetworkOptions(), TimeProvider.System);
        var fetched = await network.FetchAsync(relay.Url, Wanted, asAccount: false, CancellationToken.None);
        Assert.False(fetched.Complete);
        Assert.InRange(fetched.Events.Count, 1, 2000);
    }
}
