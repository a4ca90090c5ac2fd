using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Queries;

/// <summary>NIP-77 over a real socket.</summary>
public sealed class SyncsTests
{
    private const long Now = 1_700_000_500;

    // All ids the relay tells a client that has none.
    private static async Task<HashSet<string>> AllIdsAsync(TestClient client, Filter filter, string id = "n")
    {
        var set = new NegentropySet([]);
        List<Bytes32> need = [];
        await client.SendAsync(ClientMessageWriter.NegentropyOpen(id, filter, Reconciliation.Initiate(set)));
        while (true)
        {
            var answer = await client.ReceiveAsync();
            Assert.Equal("NEG-MSG", answer[0].GetString());
            Assert.True(Reconciliation.TryReconcile(set, Convert.FromHexString(answer[2].GetString()!), 60_000, [], need, out var next));
            if (next is null)
            {
                return [.. need.Select(n => n.ToString())];
            }

            await client.SendAsync(ClientMessageWriter.NegentropyMessage(id, next));
        }
    }

    private static async Task<string> ErrorAsync(TestClient client, byte[] message)
    {
        await client.SendAsync(message);
        var answer = await client.ReceiveAsync();
        Assert.Equal("NEG-ERR", answer[0].GetString());
        return answer[2].GetString()!;
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public async Task Tells_the_ids_of_a_filter_in_as_many_messages_as_it_takes()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 3000).Select(i => NostrEvent.Create(key, i % 3 == 0 ? 1 : 7, [], $"{i}", Now - i)).ToList();
        await client.PublishAllAsync(events);
        Assert.Equal([.. events.Select(e => e.Id.ToString())], await AllIdsAsync(client, new Filter()));
        Assert.Equal([.. events.Where(e => e.Kind == 1 && e.CreatedAt >= Now - 1000).Select(e => e.Id.ToString())],
            await AllIdsAsync(client, new Filter { Kinds = [1], Since = Now - 1000 }));
        await client.SendAsync(ClientMessageWriter.NegentropyClose("n"));
        Assert.StartsWith("closed: ", await ErrorAsync(client, ClientMessageWriter.NegentropyMessage("n", [0x61])), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Tells_ids_of_gift_wraps_to_their_recipient_only()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        var wrap = NostrEvent.Create(key, 1059, [["p", bob.PublicKey.ToString()]], "sealed", Now);
        var note = NostrEvent.Create(key, 1, [], "note", Now);
        await client.PublishAsync(wrap);
        await client.PublishAsync(note);
        var first = Reconciliation.Initiate(new NegentropySet([]));
        Assert.StartsWith("auth-required: ", await ErrorAsync(client, ClientMessageWriter.NegentropyOpen("n", new Filter { Kinds = [1059] }, first)),
            StringComparison.Ordinal);
        Assert.Equal([note.Id.ToString()], await AllIdsAsync(client, new Filter()));
        Assert.True((await client.AuthenticateAsync(bob, relay.Clock.GetUtcNow())).Accepted);
        Assert.Equal([note.Id.ToString(), wrap.Id.ToString()], await AllIdsAsync(client, new Filter()));
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public async Task Refuses_what_is_too_wide_malformed_or_not_open()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxSyncEvents=1000");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        await client.PublishAllAsync(Enumerable.Range(0, 1001).Select(i => NostrEvent.Create(key, 1, [], $"{i}", Now - i)));

        var first = Reconciliation.Initiate(new NegentropySet([]));
        Assert.StartsWith("blocked: ", await ErrorAsync(client, ClientMessageWriter.NegentropyOpen("n", new Filter(), first)), StringComparison.Ordinal);
        Assert.StartsWith("closed: ", await ErrorAsync(client, ClientMessageWriter.NegentropyMessage("n", first)), StringComparison.Ordinal);
        Assert.StartsWith("invalid: ", await ErrorAsync(client, ClientMessageWriter.NegentropyOpen("n", new Filter { Since = Now }, [0x61, 0xFF])),
            StringComparison.Ordinal);
        Assert.StartsWith("invalid: ", await ErrorAsync(client, Encoding.UTF8.GetBytes("[\"NEG-OPEN\",\"n\",{},\"xyz\"]")), StringComparison.Ordinal);
        Assert.Equal(1000, (await AllIdsAsync(client, new Filter { Since = Now - 999 })).Count);
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public async Task Gives_up_the_longest_unused_snapshot_when_memory_is_short()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxSyncEvents=1000");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        await client.PublishAllAsync(Enumerable.Range(0, 900).Select(i => NostrEvent.Create(key, 1, [], $"{i}", Now - i)));

        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(900, (await AllIdsAsync(client, new Filter(), $"n{i}")).Count);
        }

        Assert.StartsWith("closed: ", await ErrorAsync(client, ClientMessageWriter.NegentropyMessage("n0", [0x61])), StringComparison.Ordinal);
        await client.SendAsync(ClientMessageWriter.NegentropyMessage("n4", [0x61]));
        Assert.Equal("NEG-MSG", (await client.ReceiveAsync())[0].GetString());
    }
}
