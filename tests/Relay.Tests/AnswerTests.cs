using System.Text;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>Answers that a client can use: under the id it asked with, and with what was wrong.</summary>
public sealed class AnswerTests
{
    private const long Now = 1_700_000_500;

    private static async Task<JsonElement> AskAsync(TestClient client, string message)
    {
        await client.SendAsync(message);
        return await client.ReceiveAsync();
    }

    [Theory]
    [InlineData("[\"REQ\",\"s\",{\"ids\":[\"xyz\"]}]")]
    [InlineData("[\"REQ\",\"s\"]")]
    [InlineData("[\"REQ\",\"s\",5]")]
    [InlineData("[\"REQ\",\"s\",{}")]
    [InlineData("[\"REQ\",\"s\",{}] and more")]
    [InlineData("[\"REQ\",\"s\",{\"search\":\"badgers\"}]")]
    [InlineData("[\"REQ\",\"s\",{\"kinds\":[1059]}]")]
    [Trait("Spec", "NIP-01")]
    public async Task A_refused_REQ_is_closed_under_its_id_and_nothing_of_that_id_is_left_open(string request)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:AuthWait=0");
        await using var client = await relay.ConnectAsync();
        await using var sender = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "s", keep: true));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "other", keep: true));
        var closed = await AskAsync(client, request);
        Assert.Equal("CLOSED", closed[0].GetString());
        Assert.Equal("s", closed[1].GetString());
        Assert.Matches("^[a-z-]+: .", closed[2].GetString());

        var note = NostrEvent.Create(key, 1, [], "x", Now);
        Assert.True((await sender.PublishAsync(note)).Accepted);
        Assert.Equal("other", (await client.ReceiveAsync())[1].GetString());
        Assert.Single(await client.QueryAsync("{\"kinds\":[1]}", "last")); // and nothing under the first id stands before it
    }

    [Theory]
    [InlineData("[\"NEG-MSG\",\"s\",\"zz\"]")]
    [InlineData("[\"NEG-MSG\",\"s\"]")]
    [InlineData("[\"NEG-MSG\",\"s\",\"00\"]")]
    [InlineData("[\"NEG-OPEN\",\"s\",{\"ids\":[\"xyz\"]},\"61\"]")]
    [InlineData("[\"NEG-OPEN\",\"s\",{}]")]
    [InlineData("[\"NEG-OPEN\",\"s\",{},\"6\"]")]
    [InlineData("[\"NEG-OPEN\",\"s\",{\"kinds\":[1059]},\"61\"]")]
    [Trait("Spec", "NIP-77")]
    public async Task A_refused_reconciliation_ends_under_its_id(string request)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:AuthWait=0");
        await using var client = await relay.ConnectAsync();
        var initial = Convert.ToHexString(Reconciliation.Initiate(new NegentropySet([])));
        Assert.Equal("NEG-MSG", (await AskAsync(client, $"[\"NEG-OPEN\",\"s\",{{}},\"{initial}\"]"))[0].GetString());
        var refused = await AskAsync(client, request);
        Assert.Equal("NEG-ERR", refused[0].GetString());
        Assert.Equal("s", refused[1].GetString());
        var after = await AskAsync(client, $"[\"NEG-MSG\",\"s\",\"{initial}\"]");
        Assert.Equal("NEG-ERR", after[0].GetString());
        Assert.StartsWith("closed: ", after[2].GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("COUNT", "CLOSED")]
    [InlineData("REQ", "CLOSED")]
    [InlineData("NEG-OPEN", "NEG-ERR")]
    [Trait("Spec", "NIP-01")]
    public async Task An_id_has_64_characters_at_most_and_one_that_is_longer_is_told_so_under_itself(string verb, string answer)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        var payload = verb == "NEG-OPEN" ? ",\"" + Convert.ToHexString(Reconciliation.Initiate(new NegentropySet([]))) + "\"" : "";
        var longest = string.Concat(Enumerable.Repeat("🦫", 64));
        Assert.NotEqual(answer, (await AskAsync(client, $"[\"{verb}\",\"{longest}\",{{}}{payload}]"))[0].GetString());
        var refused = await AskAsync(client, $"[\"{verb}\",\"{longest}x\",{{}}{payload}]");
        Assert.Equal(answer, refused[0].GetString());
        Assert.Equal(longest + "x", refused[1].GetString());
        Assert.Contains("64 characters, this one has 65", refused[2].GetString(), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task An_ephemeral_event_that_nobody_heard_is_muted()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var sender = await relay.ConnectAsync();
        await using var reader = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        NostrEvent Typing(string content) => NostrEvent.Create(key, 20001, [], content, Now);
        var (accepted, text) = await sender.PublishAsync(Typing("to nobody"));
        Assert.False(accepted);
        Assert.StartsWith("mute: ", text, StringComparison.Ordinal);

        Assert.Empty(await reader.QueryAsync("{\"kinds\":[20001]}", "live", keep: true));
        Assert.True((await sender.PublishAsync(Typing("to one"))).Accepted);
        Assert.Equal("EVENT", (await reader.ReceiveAsync())[0].GetString());

        // A gift wrap for somebody who is not there, though others ask for that kind.
        Assert.Empty(await reader.QueryAsync("{}", "all", keep: true));
        (accepted, text) = await sender.PublishAsync(NostrEvent.Create(key, 21059, [["p", key.PublicKey.ToString()]], "sealed", Now));
        Assert.False(accepted);
        Assert.StartsWith("mute: ", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[\"REQ\",\"s\",{\"#t\":[\"?\"]}]")]
    [InlineData("[\"CLOSE\",\"?\"]")]
    [InlineData("?")]
    [InlineData("[\"EVENT\",{\"id\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"content\":\"?\"}]")]
    [Trait("Spec", "RFC 6455")]
    public async Task Text_that_is_not_UTF_8_ends_the_connection_with_1007(string message)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var client = await RawWebSocket.ConnectAsync(relay, null);
        var bytes = Encoding.UTF8.GetBytes(message);
        bytes[Array.IndexOf(bytes, (byte)'?')] = 0xFF;
        await client.SendAsync(0x81, bytes);
        Assert.Equal(1007, await client.ReceiveCloseAsync());
    }

    [Fact]
    [Trait("Spec", "NIP-11")]
    public async Task The_document_and_the_page_are_told_apart_by_caches()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var http = new HttpClient();
        foreach (var accept in new[] { "application/nostr+json", "text/html" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, relay.Http);
            request.Headers.TryAddWithoutValidation("Accept", accept);
            using var response = await http.SendAsync(request);
            Assert.Equal(accept, response.Content.Headers.ContentType!.MediaType);
            Assert.Equal(["Accept"], response.Headers.Vary);
        }
    }
}
