using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.OperatorTools;

public sealed class RelaySyncTests
{
    private const long Now = 1_700_000_500;

    private static async Task WriteAsync(EmbeddedEventStore store, IEnumerable<NostrEvent> events) =>
        await store.WriteAsync([.. events.Select(e => new EventWrite(EventStoreContract.Record(e)))], CancellationToken.None);

    private static async Task<HashSet<string>> IdsAsync(EmbeddedEventStore store) =>
        [
            .. (await store.QueryAsync(new Filter(), ReadScope.Everything(Now), ulong.MaxValue, int.MaxValue, CancellationToken.None))
                .Select(k => k.Id.ToString())
        ];

    [Fact]
    [Trait("Spec", "NIP-77")]
    public async Task Brings_both_sides_together_by_direction_and_filter()
    {
        using var folder = new TemporaryFolder();
        await using var relay = await RelayHost.StartAsync(Now);
        await using var store = EmbeddedEventStore.Open(folder.File("store"));
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 400).Select(i => NostrEvent.Create(key, i % 2 == 0 ? 1 : 7, [], $"{i}", Now - i)).ToList();
        var here = events.Where((_, i) => i % 5 != 0).ToList();
        var there = events.Where((_, i) => i % 7 != 0).ToList();
        await WriteAsync(store, here);
        await client.PublishAllAsync(there);

        async Task<HashSet<string>> RemoteAsync() => [.. await client.QueryAsync("{}")];
        var sync = new RelaySync(store, relay.WebSocket, null, relay.Clock);

        // 1. Pull of one kind: only that kind comes, nothing goes.
        var result = await sync.RunAsync(new Filter { Kinds = [1] }, SyncDirection.Pull, CancellationToken.None);
        Assert.Null(result.Failure);
        Assert.Equal(there.Except(here).Count(e => e.Kind == 1), result.Pulled);
        Assert.Equal([.. here.Union(there.Where(e => e.Kind == 1)).Select(e => e.Id.ToString())], await IdsAsync(store));
        Assert.Equal([.. there.Select(e => e.Id.ToString())], await RemoteAsync());

        // 2. Push.
        result = await sync.RunAsync(new Filter { Kinds = [1] }, SyncDirection.Push, CancellationToken.None);
        Assert.Equal(here.Except(there).Count(e => e.Kind == 1), result.Pushed);

        // 3. Both, all kinds; after that there is nothing left to do.
        result = await sync.RunAsync(new Filter(), SyncDirection.Both, CancellationToken.None);
        Assert.Equal(0, result.Refused);
        Assert.Equal(await RemoteAsync(), await IdsAsync(store));
        Assert.Equal(here.Union(there).Count(), (await IdsAsync(store)).Count);
        Assert.Equal(new RelaySync.Result(0, 0, 0, null), await sync.RunAsync(new Filter(), SyncDirection.Both, CancellationToken.None));
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public async Task Asks_by_shorter_times_when_the_relay_finds_the_filter_too_wide()
    {
        using var folder = new TemporaryFolder();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxSyncEvents=1000");
        await using var client = await relay.ConnectAsync();
        await using var store = EmbeddedEventStore.Open(folder.File("store"));
        using var key = SecretKey.Generate();
        await client.PublishAllAsync(Enumerable.Range(0, 1500).Select(i => NostrEvent.Create(key, 1, [], $"{i}", Now - (i * 100))));

        var result = await new RelaySync(store, relay.WebSocket, null, relay.Clock).RunAsync(new Filter(), SyncDirection.Both, CancellationToken.None);
        Assert.Equal(new RelaySync.Result(1500, 0, 0, null), result);
    }

    [Theory]
    [InlineData("--Relay:AuthOnConnect=true", "--Relay:AuthWait=0")] // the challenge comes on connect
    [InlineData("--Relay:AuthOnConnect=false", "--Relay:AuthWait=0")] // with the refusal
    [InlineData("--Relay:AuthOnConnect=false", "--Relay:AuthWait=00:00:01")] // when needed, and the request waits
    public async Task Fetches_wraps_with_the_key_they_are_for(string onConnect, string wait)
    {
        using var folder = new TemporaryFolder();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Public:Origin=", onConnect, wait);
        using var held = relay.HoldDate(); // it authenticates
        await using var client = await relay.ConnectAsync();
        await using var store = EmbeddedEventStore.Open(folder.File("store"));
        using var key = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        await client.PublishAsync(NostrEvent.Create(key, 1059, [["p", bob.PublicKey.ToString()]], "sealed", Now));
        var filter = new Filter { Kinds = [1059] };
        Assert.Equal("the relay ended the reconciliation: auth-required",
            (await new RelaySync(store, relay.WebSocket, null, relay.Clock).RunAsync(filter, SyncDirection.Pull, CancellationToken.None)).Failure);
        Assert.Equal(1, (await new RelaySync(store, relay.WebSocket, bob, relay.Clock).RunAsync(filter, SyncDirection.Pull, CancellationToken.None)).Pulled);

        // A filter that asks for more than wraps is no reason for a challenge, and yet brings those for the key.
        await client.PublishAsync(NostrEvent.Create(key, 1059, [["p", bob.PublicKey.ToString()]], "sealed too", Now));
        Assert.Equal(1,
            (await new RelaySync(store, relay.WebSocket, bob, relay.Clock).RunAsync(new Filter(), SyncDirection.Pull, CancellationToken.None)).Pulled);
    }

    [Fact]
    public async Task A_key_for_a_relay_that_asks_nobody_is_no_hindrance_and_a_refused_one_is_named()
    {
        using var folder = new TemporaryFolder();
        await using var store = EmbeddedEventStore.Open(folder.File("store"));
        using var bob = SecretKey.Generate();
        await using (var open = await RelayHost.StartAsync(Now, null, "--Relay:GiftWraps=Open"))
        {
            Assert.Null((await new RelaySync(store, open.WebSocket, bob, open.Clock)
                .RunAsync(new Filter(), SyncDirection.Both, CancellationToken.None)).Failure);
        }

        await using var relay = await RelayHost.StartAsync(Now); // known by another name, so it refuses what we sign
        Assert.Equal("the relay does not take the authentication",
            (await new RelaySync(store, relay.WebSocket, bob, relay.Clock).RunAsync(new Filter(), SyncDirection.Both, CancellationToken.None)).Failure);
    }
}
