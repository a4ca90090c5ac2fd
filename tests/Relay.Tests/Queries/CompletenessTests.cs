using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Queries;

/// <summary>What an EOSE says about what was not sent (NIP-67), over a real connection.</summary>
[Trait("Spec", "NIP-67")]
public sealed class CompletenessTests
{
    private const long Now = 1_700_000_500;

    private static async Task<(int Events, string Hint)> AskAsync(TestClient client, string filters)
    {
        await client.SendAsync($"[\"REQ\",\"q\",{filters}]");
        for (var events = 0; ; events++)
        {
            var message = await client.ReceiveAsync();
            if (message[0].GetString() == "EOSE")
            {
                await client.SendAsync("[\"CLOSE\",\"q\"]");
                return (events, message.GetArrayLength() == 2 ? "" : string.Join(',', message[2].EnumerateArray().Select(hint => hint.GetString())));
            }

            Assert.Equal("EVENT", message[0].GetString());
        }
    }

    [Fact]
    public async Task An_EOSE_says_finish_when_all_was_sent_and_more_when_a_limit_kept_something_back()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxLimit=4");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Equal((0, "finish"), await AskAsync(client, "{\"kinds\":[1]}"));
        for (var i = 0; i < 6; i++)
        {
            Assert.True((await client.PublishAsync(NostrEvent.Create(key, 1, [], $"{i}", Now - i))).Accepted);
        }

        for (var i = 0; i < 6; i++)
        {
            Assert.True((await client.PublishAsync(NostrEvent.Create(key, 7, [], $"{i}", Now - (i / 3)))).Accepted);
        }

        Assert.Equal((4, "more"), await AskAsync(client, "{\"kinds\":[1]}"));
        Assert.Equal((4, "more"), await AskAsync(client, "{\"kinds\":[1],\"limit\":4}"));
        Assert.Equal((2, "finish"), await AskAsync(client, $"{{\"kinds\":[1],\"until\":{Now - 4}}}"));
        Assert.Equal((4, "finish"), await AskAsync(client, $"{{\"kinds\":[1],\"until\":{Now - 2}}}"));
        Assert.Equal((6, "more"), await AskAsync(client, $"{{\"kinds\":[1],\"since\":{Now - 1}}},{{\"kinds\":[1]}},{{\"kinds\":[7],\"limit\":2}}"));
        Assert.Equal((0, ""), await AskAsync(client, "{\"kinds\":[1],\"limit\":0}"));

        // The relay's own limit takes in the whole of its oldest second; the client's is kept to the letter.
        Assert.Equal((6, "finish"), await AskAsync(client, "{\"kinds\":[7]}"));
        Assert.Equal((4, "more"), await AskAsync(client, "{\"kinds\":[7],\"limit\":4}"));
    }

    [Fact]
    public async Task Gift_wraps_for_others_are_as_if_they_did_not_exist()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        await using var sender = await relay.ConnectAsync();
        using var me = SecretKey.Generate();
        using var other = SecretKey.Generate();
        Assert.True((await sender.PublishAsync(NostrEvent.Create(other, 1059, [["p", other.PublicKey.ToString()]], "for the other", Now))).Accepted);
        Assert.True((await sender.PublishAsync(NostrEvent.Create(other, 1059, [["p", me.PublicKey.ToString()]], "for me", Now))).Accepted);
        await client.AuthenticateAsync(me, DateTimeOffset.FromUnixTimeSeconds(Now));
        Assert.Equal((1, "finish"), await AskAsync(client, $"{{\"kinds\":[1059],\"#p\":[\"{me.PublicKey}\"],\"limit\":1}}"));
    }

    [Fact]
    public async Task The_relay_says_that_it_gives_hints()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var http = new HttpClient();
        http.DefaultRequestHeaders.Accept.ParseAdd("application/nostr+json");
        using var document = JsonDocument.Parse(await http.GetStringAsync(relay.Http));
        Assert.Contains(67, document.RootElement.GetProperty("supported_nips").EnumerateArray().Select(nip => nip.GetInt32()));
    }
}
