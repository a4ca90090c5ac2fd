using Marmot.Client.Relays;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>The client library at relays that send their challenge (NIP-42) on connect, with the refusal, or when a request needs it.</summary>
public sealed class ChallengeTests
{
    [Theory]
    [InlineData("--Relay:AuthOnConnect=true", "--Relay:AuthWait=0")]
    [InlineData("--Relay:AuthOnConnect=false", "--Relay:AuthWait=0")]
    [InlineData("--Relay:AuthOnConnect=false", "--Relay:AuthWait=00:00:01")]
    [Trait("Spec", "NIP-42")]
    public async Task Stored_and_live_gift_wraps_and_a_protected_event_pass_whenever_the_challenge_comes(string onConnect, string wait)
    {
        using var folder = new TemporaryFolder();
        await using var relay = await MarmotServerProcess.StartAsync("relay", folder.Path, onConnect, wait);
        string url = relay.RelayUrl.ToString();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var account = SecretKey.Generate();
        using var oneTime = SecretKey.Generate();
        NostrEvent Wrap(string content) =>
            NostrEvent.Create(oneTime, 1059, [["p", account.PublicKey.ToString()]], content, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        await using var sender = new RelayNetwork(new RelayNetworkOptions(), TimeProvider.System);
        await using var network = new RelayNetwork(new RelayNetworkOptions { Account = account }, TimeProvider.System);
        await using var listener = new RelayNetwork(new RelayNetworkOptions { Account = account }, TimeProvider.System);
        var inbox = new Filter { Kinds = [1059], Tags = new Dictionary<char, string[]> { ['p'] = [account.PublicKey.ToString()] } };
        var (stored, live) = (Wrap("stored"), Wrap("live"));
        Assert.Equal(RelayAnswer.Accepted, (await sender.PublishAsync(url, stored, patience.Token)).Answer);

        // Stored.
        var fetched = await network.FetchAsync(url, inbox, asAccount: true, patience.Token);
        Assert.True(fetched.Complete, fetched.Message);
        Assert.Equal([stored.Id], fetched.Events.Select(evt => evt.Id));

        // Live, on a connection of its own that has not authenticated yet.
        var seen = new List<string>();
        var gotStored = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var gotLive = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(patience.Token);
        var listening = listener.ListenAsync(url, inbox, asAccount: true, evt =>
        {
            seen.Add(evt.Content);
            (evt.Id == live.Id ? gotLive : gotStored).TrySetResult();
        }, stop.Token);
        await gotStored.Task.WaitAsync(patience.Token);
        Assert.Equal(RelayAnswer.Accepted, (await sender.PublishAsync(url, live, patience.Token)).Answer);
        await gotLive.Task.WaitAsync(patience.Token);
        await stop.CancelAsync();
        await listening;
        Assert.Equal(["stored", "live"], seen);

        // NIP-70: an event that only its author may publish.
        var mine = NostrEvent.Create(account, 1, [["-"]], "mine", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        var reply = await network.PublishAsync(url, mine, patience.Token);
        Assert.True(reply.Answer == RelayAnswer.Accepted, reply.Message);
    }
}
