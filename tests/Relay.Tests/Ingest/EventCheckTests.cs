using System.Collections.Concurrent;
using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Ingest;

public sealed class EventCheckTests
{
    private const long Now = 1_700_000_500;

    private static string Text(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);

    private static string Forge(NostrEvent evt)
    {
        var signature = Convert.ToHexStringLower(evt.Signature.Span);
        return Text(evt).Replace(signature, (signature[0] == '0' ? "1" : "0") + signature[1..], StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Tells_nobody_who_lacks_the_whole_event_whether_it_is_stored()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var wrap = NostrEvent.Create(key, 1059, [["p", key.PublicKey.ToString()]], "sealed", Now);
        var note = NostrEvent.Create(key, 1, [], "note", Now);
        Assert.True((await client.PublishAsync(wrap)).Accepted);
        Assert.True((await client.PublishAsync(note)).Accepted);

        // An id under other content, and a wrap without its signature, are invalid whether stored or not.
        foreach (var stored in new[] { wrap, note })
        {
            var (accepted, text) = await client.PublishAsync(Text(note).Replace(note.Id.ToString(), stored.Id.ToString(), StringComparison.Ordinal)
                .Replace("\"note\"", "\"else\"", StringComparison.Ordinal));
            Assert.False(accepted);
            Assert.StartsWith("invalid: ", text, StringComparison.Ordinal);
        }

        Assert.StartsWith("invalid: ", (await client.PublishAsync(Forge(wrap))).Text, StringComparison.Ordinal);

        // Whoever has it whole hears that it is a duplicate; public events are not even verified again.
        Assert.StartsWith("duplicate: ", (await client.PublishAsync(wrap)).Text, StringComparison.Ordinal);
        Assert.StartsWith("duplicate: ", (await client.PublishAsync(Forge(note))).Text, StringComparison.Ordinal);
    }

    [Theory]
    [Trait("Spec", "NIP-01")]
    [InlineData(1)] // written first, checked while the disk is at work
    [InlineData(12)] // checked first where another is just being written
    public async Task A_connection_that_proved_itself_gets_no_forgery_through_and_is_served_on(int together)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var reader = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Empty(await reader.QueryAsync("{\"kinds\":[1,445]}", "live", keep: true));
        var expected = new ConcurrentBag<string>();
        for (var round = 0; round < 10; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, together).Select(i => TryToForgeAsync($"{round} {i}", i % 2 == 0 ? 445 : 1)));
        }

        var live = new List<string>();
        while (live.Count < expected.Count)
        {
            live.Add((await reader.ReceiveAsync())[2].GetProperty("id").GetString()!);
        }

        Assert.Equal(expected.Order(StringComparer.Ordinal), live.Order(StringComparer.Ordinal));
        Assert.Equal(expected.Order(StringComparer.Ordinal), await reader.QueryAsync("{\"kinds\":[1,445]}"));

        async Task TryToForgeAsync(string name, int kind)
        {
            await using var client = await relay.ConnectAsync();
            NostrEvent[] events = [.. Enumerable.Range(0, 3).Select(i => NostrEvent.Create(key, kind, [["h", new string('a', 64)]], $"{name} {i}", Now))];
            Assert.Equal((true, ""), await client.PublishAsync(events[0])); // trusted from here on
            Assert.Equal((false, "invalid: the signature does not verify"), await client.PublishAsync(Forge(events[1])));
            Assert.Equal((false, "invalid: the signature does not verify"), await client.PublishAsync(Forge(events[1])));
            Assert.Equal((true, ""), await client.PublishAsync(events[2]));
            expected.Add($"{events[0].Id}");
            expected.Add($"{events[2].Id}");
        }
    }

    [Fact]
    [Trait("Spec", "NIP-13")]
    public async Task Luck_beyond_the_committed_target_does_not_count()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MinProofOfWork=8");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        NostrEvent Mine(params string[] target)
        {
            for (var nonce = 0; ; nonce++)
            {
                var evt = NostrEvent.Create(key, 1, [["nonce", $"{nonce}", .. target]], "x", Now);
                if (evt.Id.Span[0] == 0)
                {
                    return evt;
                }
            }
        }

        Assert.StartsWith("pow: ", (await client.PublishAsync(Mine("4"))).Text, StringComparison.Ordinal);
        Assert.StartsWith("pow: ", (await client.PublishAsync(Mine("many"))).Text, StringComparison.Ordinal);
        Assert.True((await client.PublishAsync(Mine("8"))).Accepted);
        Assert.True((await client.PublishAsync(Mine())).Accepted);
    }

    [Fact]
    public async Task Group_events_of_one_second_are_all_kept_and_delivered_as_they_arrived()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var writer = await relay.ConnectAsync();
        await using var reader = await relay.ConnectAsync();
        var group = new string('c', 64);
        Assert.Empty(await reader.QueryAsync($"{{\"kinds\":[445],\"#h\":[\"{group}\"]}}", "live", keep: true));
        var events = Enumerable.Range(0, 400).Select(i =>
        {
            using var key = SecretKey.Generate();
            return NostrEvent.Create(key, 445, [["h", group]], $"{i}", Now);
        }).ToList();
        foreach (var evt in events)
        {
            await writer.SendAsync($"[\"EVENT\",{Text(evt)}]");
        }

        foreach (var evt in events)
        {
            Assert.Equal(evt.Id.ToString(), (await reader.ReceiveAsync())[2].GetProperty("id").GetString());
        }

        Assert.Equal(400, (await reader.QueryAsync($"{{\"#h\":[\"{group}\"]}}")).Count);
    }

    [Fact]
    public async Task Events_that_come_one_at_a_time_from_many_connections_are_all_stored_and_delivered_as_they_arrived()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var reader = await relay.ConnectAsync();
        var group = new string('d', 64);
        Assert.Empty(await reader.QueryAsync($"{{\"kinds\":[445],\"#h\":[\"{group}\"]}}", "live", keep: true));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async c =>
        {
            using var key = SecretKey.Generate();
            await using var writer = await relay.ConnectAsync();
            for (var i = 0; i < 50; i++)
            {
                Assert.True((await writer.PublishAsync(NostrEvent.Create(key, 445, [["h", group]], $"{c}/{i}", Now))).Accepted);
            }
        }));

        var delivered = new List<string>();
        var ofWriter = new int[8];
        while (delivered.Count < 400)
        {
            var evt = (await reader.ReceiveAsync())[2];
            var content = evt.GetProperty("content").GetString()!.Split('/');
            Assert.Equal(ofWriter[int.Parse(content[0], CultureInfo.InvariantCulture)]++, int.Parse(content[1], CultureInfo.InvariantCulture));
            delivered.Add(evt.GetProperty("id").GetString()!);
        }

        Assert.Equal(delivered, (await ReadStoreAsync(relay)).OrderBy(k => k.Arrival).Select(k => k.Id.ToString()));
    }

    private static ValueTask<IReadOnlyList<StoredKey>> ReadStoreAsync(RelayHost relay) => relay.Services.GetRequiredService<IEventStore>()
        .QueryAsync(new Filter(), ReadScope.Everything(Now), ulong.MaxValue, int.MaxValue, CancellationToken.None);

    [Fact]
    public async Task An_event_acknowledged_while_the_relay_stops_is_stored()
    {
        using var folder = new TemporaryFolder();
        var acknowledged = new ConcurrentBag<string>();
        await using (var relay = await RelayHost.StartAsync(Now, folder.Path))
        {
            var writers = Enumerable.Range(0, 4).Select(async _ =>
            {
                using var key = SecretKey.Generate();
                await using var writer = await relay.ConnectAsync();
                try
                {
                    for (var i = 0; ; i++)
                    {
                        var evt = NostrEvent.Create(key, 1, [], $"{i}", Now);
                        await writer.SendAsync($"[\"EVENT\",{Text(evt)}]");
                        var answer = await writer.ReceiveAsync();
                        if (answer[0].GetString() == "OK" && answer[2].GetBoolean())
                        {
                            acknowledged.Add(evt.Id.ToString());
                        }
                    }
                }
                catch (Exception e) when (e is WebSocketException or InvalidOperationException)
                {
                    // the relay has gone
                }
            }).ToList();
            while (acknowledged.Count < 100)
            {
                await Task.Yield();
            }

            await relay.StopAsync();
            await Task.WhenAll(writers);
        }

        await using var again = await RelayHost.StartAsync(Now, folder.Path);
        Assert.Superset(acknowledged.ToHashSet(), (await ReadStoreAsync(again)).Select(k => k.Id.ToString()).ToHashSet());
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Ends_every_subscription_with_closed_when_it_stops()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "one", keep: true));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[2]}", "two", keep: true));
        var stopping = relay.StopAsync();
        var closed = new List<string>();
        for (var i = 0; i < 2; i++)
        {
            var message = await client.ReceiveAsync();
            Assert.Equal("CLOSED", message[0].GetString());
            Assert.StartsWith("error: ", message[2].GetString(), StringComparison.Ordinal);
            closed.Add(message[1].GetString()!);
        }

        Assert.Equal(["one", "two"], closed.Order(StringComparer.Ordinal));
        Assert.Equal("NOTICE", (await client.ReceiveAsync())[0].GetString());
        var end = await Assert.ThrowsAsync<InvalidOperationException>(client.ReceiveAsync);
        Assert.Contains("EndpointUnavailable", end.Message, StringComparison.Ordinal); // 1001
        await stopping;
    }

    [Fact]
    public async Task Answers_what_it_has_admitted_before_it_stops()
    {
        using var folder = new TemporaryFolder();
        var relay = await RelayHost.StartAsync(Now, folder.Path);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var sent = 0;
        for (; sent < 200; sent++)
        {
            await client.SendAsync($"[\"EVENT\",{Text(NostrEvent.Create(key, 1, [], $"{sent}", Now))}]");
        }

        await client.ReceiveOkAsync();
        var stopping = relay.StopAsync();
        var answered = 1;
        for (var message = await client.ReceiveAsync(); message[0].GetString() == "OK"; message = await client.ReceiveAsync())
        {
            answered++;
        }

        await stopping;
        await relay.DisposeAsync();
        await using var again = await RelayHost.StartAsync(Now, folder.Path);
        await using var reader = await again.ConnectAsync();
        Assert.Equal(answered, (await reader.QueryAsync("{\"kinds\":[1]}")).Count);
    }
}
