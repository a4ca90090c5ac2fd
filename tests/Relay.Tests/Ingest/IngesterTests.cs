using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Ingest;

public sealed class IngesterTests
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
            var (accepted, text) = await client.PublishAsync(Text(note).Replace(note.Id.ToString(), stored.Id.ToString(), StringComparison.Ordinal).Replace("\"note\"", "\"else\"", StringComparison.Ordinal));
            Assert.False(accepted);
            Assert.StartsWith("invalid: ", text, StringComparison.Ordinal);
        }

        Assert.StartsWith("invalid: ", (await client.PublishAsync(Forge(wrap))).Text, StringComparison.Ordinal);

        // Whoever has it whole hears that it is a duplicate; public events are not even verified again.
        Assert.StartsWith("duplicate: ", (await client.PublishAsync(wrap)).Text, StringComparison.Ordinal);
        Assert.StartsWith("duplicate: ", (await client.PublishAsync(Forge(note))).Text, StringComparison.Ordinal);
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
