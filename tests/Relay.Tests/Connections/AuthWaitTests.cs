using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Replies;
using Marmot.Relay.Tests.Kit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Connections;

/// <summary>When the challenge comes, and what waits for its answer (NIP-42).</summary>
public sealed class AuthWaitTests : IDisposable
{
    private const long Now = 1_700_000_500;
    private const string Long = "--Relay:AuthWait=00:00:10";
    private const string Short = "--Relay:AuthWait=00:00:00.300";
    private static readonly DateTimeOffset Clock = DateTimeOffset.FromUnixTimeSeconds(Now);
    private readonly SecretKey _bob = SecretKey.Generate();
    private readonly SecretKey _eve = SecretKey.Generate();

    private string Inbox => $"{{\"kinds\":[1059,21059],\"#p\":[\"{_bob.PublicKey}\"]}}";

    public void Dispose()
    {
        _bob.Dispose();
        _eve.Dispose();
    }

    private static NostrEvent Wrap(SecretKey to, string content, int kind = 1059)
    {
        using var oneTime = SecretKey.Generate();
        return NostrEvent.Create(oneTime, kind, [["p", to.PublicKey.ToString()]], content, Now);
    }

    private NostrEvent Protected(string content) => NostrEvent.Create(_bob, 1, [["-"]], content, Now);

    private static string Text(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);

    private string Request(string verb, string id) => verb switch
    {
        "EVENT" => $"[\"EVENT\",{Text(Protected(id))}]",
        "NEG-OPEN" => $"[\"NEG-OPEN\",\"{id}\",{Inbox},\"{Convert.ToHexString(Reconciliation.Initiate(new NegentropySet([])))}\"]",
        _ => $"[\"{verb}\",\"{id}\",{Inbox}]",
    };

    private static string Refusal(JsonElement answer) => answer[0].GetString() switch
    {
        "OK" => answer[3].GetString()!,
        _ => answer[2].GetString()!,
    };

    private static void IsEvent(NostrEvent evt, JsonElement message)
    {
        Assert.Equal("EVENT", message[0].GetString());
        Assert.Equal(evt.Id.ToString(), message[2].GetProperty("id").GetString());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "NIP-42")]
    public async Task The_challenge_comes_when_a_request_needs_it_and_on_connect_only_where_the_operator_wants_that(bool onConnect)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long, $"--Relay:AuthOnConnect={onConnect}");
        await using var client = await relay.ConnectAsync();
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1,445]}"));
        using var oneTime = SecretKey.Generate();
        Assert.True((await client.PublishAsync(NostrEvent.Create(oneTime, 445, [["h", new string('0', 64)]], "x", Now))).Accepted);
        Assert.Equal(onConnect ? 1 : 0, client.Challenges);

        await client.SendAsync(Request("REQ", "inbox"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "NIP-42")]
    public async Task A_request_waits_for_the_answer_and_is_served_with_what_is_stored_and_what_came_meanwhile(bool onConnect)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long, $"--Relay:AuthOnConnect={onConnect}");
        await using var sender = await relay.ConnectAsync();
        await using var client = await relay.ConnectAsync();
        var stored = Wrap(_bob, "stored");
        Assert.True((await sender.PublishAsync(stored)).Accepted);
        await client.SendAsync(Request("REQ", "inbox"));
        await client.SendAsync($"[\"REQ\",\"new\",{Inbox[..^1]},\"limit\":0}}]");
        await client.SendAsync("[\"REQ\",\"fence\",{\"kinds\":[7]}]");
        Assert.Equal("fence", (await client.ReceiveAsync())[1].GetString()); // both wait now

        // What is sent while they wait: to him, passing by, and to somebody else.
        var meanwhile = new[] { Wrap(_bob, "first"), Wrap(_bob, "passing", 21059), Wrap(_eve, "foreign"), Wrap(_bob, "last") };
        foreach (var wrap in meanwhile)
        {
            Assert.True((await sender.PublishAsync(wrap)).Accepted);
        }

        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        var own = meanwhile.Where(wrap => wrap.TagValue("p") == _bob.PublicKey.ToString()).ToList();
        var live = Wrap(_bob, "live");
        Assert.True((await sender.PublishAsync(live)).Accepted);
        List<string> since = ["EOSE", .. own.Append(live).Select(wrap => wrap.Id.ToString())];
        var expected = new Dictionary<string, List<string>> { ["inbox"] = [stored.Id.ToString(), .. since], ["new"] = since };
        var seen = new Dictionary<string, List<string>> { ["inbox"] = [], ["new"] = [] };
        for (var i = 0; i < expected.Sum(answer => answer.Value.Count); i++)
        {
            var message = await client.ReceiveAsync();
            var verb = message[0].GetString()!;
            seen[message[1].GetString()!].Add(verb == "EVENT" ? message[2].GetProperty("id").GetString()! : verb);
        }

        Assert.Equal(expected, seen);
    }

    [Theory]
    [InlineData("COUNT", "COUNT")]
    [InlineData("NEG-OPEN", "NEG-MSG")]
    [InlineData("EVENT", "OK")]
    [Trait("Spec", "NIP-42")]
    public async Task So_do_counts_reconciliations_and_protected_events(string verb, string answer)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        await using var client = await relay.ConnectAsync();
        Assert.True((await client.PublishAsync(Wrap(_bob, "stored"))).Accepted);
        await client.SendAsync(Request(verb, "x"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        var served = await client.ReceiveAsync();
        Assert.Equal(answer, served[0].GetString());
        switch (verb)
        {
            case "COUNT":
                Assert.Equal(1, served[2].GetProperty("count").GetInt32());
                break;
            case "EVENT":
                Assert.True(served[2].GetBoolean(), served[3].GetString());
                Assert.Equal([Protected("x").Id.ToString()], await client.QueryAsync("{\"kinds\":[1]}"));
                break;
        }
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task Events_of_an_allow_list_wait_in_a_burst_and_are_taken_once_their_sender_is_known()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long, $"--Relay:WriteAllowList:0={_bob.PublicKey}");
        await using var client = await relay.ConnectAsync();
        var events = Enumerable.Range(0, 20).Select(i => NostrEvent.Create(_eve, 1, [], $"{i}", Now)).ToList();
        await client.SendAsync($"[\"EVENT\",{Text(events[0])}]");
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        foreach (var evt in events.Skip(1))
        {
            await client.SendAsync($"[\"EVENT\",{Text(evt)}]");
        }

        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        for (var i = 0; i < events.Count; i++)
        {
            var (accepted, text) = await client.ReceiveOkAsync();
            Assert.True(accepted, text);
        }

        Assert.Equal(events.Count, (await client.QueryAsync("{\"kinds\":[1]}")).Count);
    }

    [Theory]
    [InlineData("REQ", "CLOSED")]
    [InlineData("COUNT", "CLOSED")]
    [InlineData("NEG-OPEN", "NEG-ERR")]
    [InlineData("EVENT", "OK")]
    [Trait("Spec", "NIP-42")]
    public async Task Without_an_answer_it_is_refused_after_the_wait_and_each_refusal_brings_the_challenge_again(string verb, string answer)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Short);
        await using var client = await relay.ConnectAsync();
        for (var round = 0; round < 2; round++)
        {
            await client.SendAsync(Request(verb, $"{round}"));
            Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
            Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
            var refused = await client.ReceiveAnyAsync();
            Assert.Equal(answer, refused[0].GetString());
            Assert.StartsWith("auth-required: ", Refusal(refused), StringComparison.Ordinal);
        }

        Assert.Equal(0, relay.Services.GetRequiredService<AuthWaitMemory>().Bytes);
    }

    [Theory]
    [InlineData("REQ", "CLOSED")]
    [InlineData("COUNT", "CLOSED")]
    [InlineData("NEG-OPEN", "NEG-ERR")]
    [InlineData("EVENT", "OK")]
    [Trait("Spec", "NIP-42")]
    public async Task Where_nothing_waits_the_refusal_comes_at_once_after_the_challenge(string verb, string answer)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:AuthWait=0");
        await using var client = await relay.ConnectAsync();
        await client.SendAsync(Request(verb, "x"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        var refused = await client.ReceiveAnyAsync();
        Assert.Equal(answer, refused[0].GetString());
        Assert.StartsWith("auth-required: ", Refusal(refused), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task A_failed_authentication_answers_what_waits_at_once()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        await using var client = await relay.ConnectAsync();
        await client.SendAsync(Request("REQ", "inbox"));
        await client.SendAsync(Request("EVENT", "note"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        var wrong = RelayAuth.Create(_bob, RelayHost.Origin, "another challenge", Clock);
        await client.SendAsync($"[\"AUTH\",{Text(wrong)}]");
        Assert.False((await client.ReceiveOkAsync()).Accepted);
        Assert.StartsWith("auth-required: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);
        Assert.StartsWith("auth-required: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);

        // An AUTH that is no event fails too.
        await client.SendAsync(Request("COUNT", "count"));
        await client.SendAsync("[\"AUTH\",{}]");
        Assert.Equal("NOTICE", (await client.ReceiveAsync())[0].GetString());
        Assert.StartsWith("auth-required: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task Close_and_a_new_request_of_the_same_id_end_the_waiting()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Short);
        await using var client = await relay.ConnectAsync();
        var memory = relay.Services.GetRequiredService<AuthWaitMemory>();
        foreach (var (verb, close) in new[] { ("REQ", "CLOSE"), ("COUNT", "CLOSE"), ("NEG-OPEN", "NEG-CLOSE") })
        {
            await client.SendAsync(Request(verb, "x"));
            Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
            Assert.NotEqual(0, memory.Bytes);
            await client.SendAsync($"[\"{close}\",\"x\"]");
            Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}"));
            Assert.Equal(0, memory.Bytes);
        }

        // The second is served at once; the first is never answered.
        await client.SendAsync(Request("REQ", "y"));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "y", keep: true));
        await client.SendAsync(Request("COUNT", "z"));
        await client.SendAsync("[\"COUNT\",\"z\",{\"kinds\":[1]}]");
        Assert.Equal("COUNT", (await client.ReceiveAsync())[0].GetString());

        // Of two that wait under one id the last is answered, once.
        await client.SendAsync(Request("REQ", "w"));
        await client.SendAsync(Request("REQ", "w"));
        await client.SendAsync(Request("REQ", "v"));
        Assert.Equal("w", (await client.ReceiveAsync())[1].GetString());
        Assert.Equal("v", (await client.ReceiveAsync())[1].GetString());
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "end"));
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task What_waits_is_bounded_in_number_and_bytes_and_gone_with_its_connection()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        var memory = relay.Services.GetRequiredService<AuthWaitMemory>();
        await using (var client = await relay.ConnectAsync())
        {
            for (var i = 0; i <= AuthWaits.MaxRequests; i++)
            {
                await client.SendAsync(Request("COUNT", $"{i}"));
            }

            var refused = await client.ReceiveAsync();
            Assert.Equal($"{AuthWaits.MaxRequests}", refused[1].GetString());
            Assert.StartsWith("auth-required: ", refused[2].GetString(), StringComparison.Ordinal);
            Assert.Equal(2, client.Challenges); // one with the first that waits, one with the refusal
            Assert.NotEqual(0, memory.Bytes);
        }

        await UntilAsync(() => memory.Bytes == 0);
        await using (var client = await relay.ConnectAsync())
        {
            var large = Protected(new string('x', 300 * 1024));
            await client.SendAsync($"[\"EVENT\",{Text(large)}]");
            await client.SendAsync($"[\"EVENT\",{Text(Protected(new string('y', 300 * 1024)))}]");
            Assert.StartsWith("auth-required: ", (await client.ReceiveOkAsync()).Text, StringComparison.Ordinal);
            Assert.InRange(memory.Bytes, large.Json.Length, 512 * 1024);
        }

        await UntilAsync(() => memory.Bytes == 0);
        Assert.True(memory.TryAdd((int)AuthWaitMemory.MaxBytes));
        await using (var client = await relay.ConnectAsync())
        {
            await client.SendAsync(Request("REQ", "x")); // no room in all
            Assert.StartsWith("auth-required: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);
        }

        memory.Remove(AuthWaitMemory.MaxBytes);
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task Events_held_for_a_waiting_request_are_bounded_and_counted()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        var memory = relay.Services.GetRequiredService<AuthWaitMemory>();
        await using var sender = await relay.ConnectAsync();
        await using var client = await relay.ConnectAsync();
        await client.SendAsync(Request("REQ", "inbox"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        await sender.PublishAllAsync(Enumerable.Range(0, 1100).Select(i => Wrap(_bob, $"{i}")));
        await UntilAsync(() => memory.Bytes > 1000 * 300);
        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        Assert.StartsWith("rate-limited: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);
        await UntilAsync(() => memory.Bytes == 0);
        Assert.Equal(1100, (await client.QueryAsync(Inbox)).Count);
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task With_two_accounts_each_request_waits_for_its_own()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        await using var client = await relay.ConnectAsync();
        var (toBob, toEve) = (Wrap(_bob, "to bob"), Wrap(_eve, "to eve"));
        await client.PublishAllAsync([toBob, toEve]);
        await client.SendAsync($"[\"REQ\",\"eve\",{{\"kinds\":[1059],\"#p\":[\"{_eve.PublicKey}\"]}}]");
        await client.SendAsync(Request("REQ", "bob"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        foreach (var (key, wrap) in new[] { (_bob, toBob), (_eve, toEve) })
        {
            await client.AnswerChallengeAsync(key, Clock);
            Assert.True((await client.ReceiveOkAsync()).Accepted);
            IsEvent(wrap, await client.ReceiveAsync());
            Assert.Equal("EOSE", (await client.ReceiveAsync())[0].GetString());
        }
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task A_relay_that_stops_answers_what_waits()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Long);
        await using var client = await relay.ConnectAsync();
        await client.SendAsync(Request("REQ", "x"));
        await client.SendAsync(Request("EVENT", "x"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}"));
        var stopping = relay.StopAsync();

        // Up to the NOTICE that ends every stop; the query's own CLOSE may be under way still, then the relay closes that one too.
        var answers = new List<JsonElement>();
        for (var next = await client.ReceiveAsync(); next[0].GetString() != "NOTICE"; next = await client.ReceiveAsync())
        {
            answers.Add(next);
        }

        Assert.Single(answers, answer => answer[0].GetString() == "CLOSED" && answer[1].GetString() == "x"
            && Refusal(answer).StartsWith("error: ", StringComparison.Ordinal));
        Assert.Single(answers, answer => answer[0].GetString() == "OK" && Refusal(answer).StartsWith("error: ", StringComparison.Ordinal));
        await client.DisposeAsync();
        await stopping;
    }

    // White Noise 0.9.14 opens its subscription connection before it has a signer: the first challenge finds nobody to answer it. It answers one that comes
    // later, and asks again once that is accepted.
    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task A_client_without_a_signer_at_first_reads_its_inbox_once_the_challenge_comes_again()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Short);
        await using var client = await relay.ConnectAsync();
        var stored = Wrap(_bob, "stored");
        Assert.True((await client.PublishAsync(stored)).Accepted);
        await client.SendAsync(Request("REQ", "inbox"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString()); // lost

        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.StartsWith("auth-required: ", Refusal(await client.ReceiveAsync()), StringComparison.Ordinal);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        Assert.Equal([stored.Id.ToString()], await client.QueryAsync(Inbox, "again", keep: true));
    }

    // transponder 0.2.0 authenticates when it sees a challenge and never repeats a request: the one it made has to be served.
    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task A_client_that_asks_once_and_then_authenticates_gets_stored_and_live_wraps()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        await using var sender = await relay.ConnectAsync();
        var (stored, live) = (Wrap(_bob, "stored"), Wrap(_bob, "live"));
        Assert.True((await sender.PublishAsync(stored)).Accepted);
        await client.SendAsync(Request("REQ", "inbox"));
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        await client.AnswerChallengeAsync(_bob, Clock);
        Assert.True((await client.ReceiveOkAsync()).Accepted);
        IsEvent(stored, await client.ReceiveAsync());
        Assert.Equal("EOSE", (await client.ReceiveAsync())[0].GetString());
        Assert.True((await sender.PublishAsync(live)).Accepted);
        IsEvent(live, await client.ReceiveAsync());
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!condition())
        {
            await Task.Delay(10, patience.Token);
        }
    }
}
