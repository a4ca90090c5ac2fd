using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests;

public sealed class RelayEndToEndTests
{
    private const long Now = 1_700_000_500;
    private const string Group = "abababababababababababababababababababababababababababababababab";

    private static NostrEvent Make(SecretKey key, int kind, string[][] tags, string content = "x", long at = Now) =>
        NostrEvent.Create(key, kind, tags, content, at);

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Answers_stored_events_newest_first_then_eose_then_live_ones()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var writer = await relay.ConnectAsync();
        await using var reader = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var old = Make(key, 445, [["h", Group]], "old", Now - 10);
        var newer = Make(key, 445, [["h", Group]], "newer", Now - 5);
        Assert.True((await writer.PublishAsync(old)).Accepted);
        Assert.True((await writer.PublishAsync(newer)).Accepted);

        var stored = await reader.QueryAsync($"{{\"kinds\":[445],\"#h\":[\"{Group}\"]}}", "live", keep: true);
        Assert.Equal([newer.Id.ToString(), old.Id.ToString()], stored);

        var live = Make(key, 445, [["h", Group]], "live");
        Assert.True((await writer.PublishAsync(live)).Accepted);
        var message = await reader.ReceiveAsync();
        Assert.Equal("EVENT", message[0].GetString());
        Assert.Equal("live", message[1].GetString());
        Assert.Equal(live.Id.ToString(), message[2].GetProperty("id").GetString());
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Sends_an_event_once_to_a_subscription_with_several_matching_filters()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var writer = await relay.ConnectAsync();
        await using var reader = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var both = $"{{\"kinds\":[1]}},{{\"authors\":[\"{key.PublicKey}\"]}}";
        Assert.Empty(await reader.QueryAsync(both, "s", keep: true));
        var first = Make(key, 1, [], "first");
        var second = Make(key, 1, [], "second", Now + 1);
        await writer.PublishAsync(first);
        await writer.PublishAsync(second);
        Assert.Equal(first.Id.ToString(), (await reader.ReceiveAsync())[2].GetProperty("id").GetString());
        Assert.Equal(second.Id.ToString(), (await reader.ReceiveAsync())[2].GetProperty("id").GetString());
        Assert.Equal([second.Id.ToString(), first.Id.ToString()], await reader.QueryAsync(both, "again"));
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Limit_zero_gives_live_events_only()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        await client.PublishAsync(Make(key, 1, [], "stored"));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1],\"limit\":0}", "l", keep: true));
        var live = Make(key, 1, [], "live");
        await client.SendAsync($"[\"EVENT\",{Encoding.UTF8.GetString(live.Json.Span)}]");
        var verbs = new[] { await client.ReceiveAsync(), await client.ReceiveAsync() };
        Assert.Contains(verbs, m => m[0].GetString() == "EVENT" && m[2].GetProperty("id").GetString() == live.Id.ToString());
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Refuses_bad_ids_and_signatures_and_answers_duplicates()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var good = Make(key, 1, [], "good");
        var json = Encoding.UTF8.GetString(good.Json.Span);
        var (accepted, text) = await client.PublishAsync(json.Replace("\"good\"", "\"evil\"", StringComparison.Ordinal));
        Assert.False(accepted);
        Assert.StartsWith("invalid: ", text, StringComparison.Ordinal);
        var signature = Convert.ToHexStringLower(good.Signature.Span);
        var forged = (signature[0] == '0' ? "1" : "0") + signature[1..];
        (accepted, text) = await client.PublishAsync(json.Replace(signature, forged, StringComparison.Ordinal));
        Assert.False(accepted);
        Assert.StartsWith("invalid: ", text, StringComparison.Ordinal);
        Assert.True((await client.PublishAsync(good)).Accepted);
        (accepted, text) = await client.PublishAsync(good);
        Assert.True(accepted);
        Assert.StartsWith("duplicate: ", text, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Verifies_a_pipelined_batch_and_answers_every_event()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 300).Select(i => Make(key, 445, [["h", Group]], $"m{i}")).ToList();
        foreach (var evt in events)
        {
            await client.SendAsync($"[\"EVENT\",{Encoding.UTF8.GetString(evt.Json.Span)}]");
        }

        var answered = new HashSet<string>();
        for (var i = 0; i < events.Count; i++)
        {
            var ok = await client.ReceiveAsync();
            Assert.True(ok[2].GetBoolean(), ok[3].GetString());
            answered.Add(ok[1].GetString()!);
        }

        Assert.Equal(events.Count, answered.Count);
        var stored = await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}");
        Assert.Equal(events.Select(e => e.Id.ToString()).Order(StringComparer.Ordinal), stored); // one second: ties by lowest id
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Serves_gift_wraps_to_their_recipient_only()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var stranger = await relay.ConnectAsync();
        await using var recipient = await relay.ConnectAsync();
        using var oneTime = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        using var eve = SecretKey.Generate();
        var filter = $"{{\"kinds\":[1059],\"#p\":[\"{bob.PublicKey}\"]}}";
        var wrap = Make(oneTime, 1059, [["p", bob.PublicKey.ToString()]], "sealed");
        Assert.True((await stranger.PublishAsync(wrap)).Accepted);

        // Unauthenticated: refused when it asks for wraps, silent when it asks for more.
        await stranger.SendAsync($"[\"REQ\",\"a\",{filter}]");
        var closed = await stranger.ReceiveAsync();
        Assert.Equal("CLOSED", closed[0].GetString());
        Assert.StartsWith("auth-required: ", closed[2].GetString(), StringComparison.Ordinal);
        await stranger.SendAsync($"[\"COUNT\",\"a\",{filter}]");
        Assert.Equal("CLOSED", (await stranger.ReceiveAsync())[0].GetString());
        Assert.Empty(await stranger.QueryAsync($"{{\"ids\":[\"{wrap.Id}\"]}}", "ids", keep: true));
        Assert.Empty(await stranger.QueryAsync("{}", "all", keep: true));
        await stranger.SendAsync("[\"COUNT\",\"c\",{}]");
        Assert.Equal(0, (await stranger.ReceiveAsync())[2].GetProperty("count").GetInt32());

        // As somebody else: restricted.
        Assert.True((await stranger.AuthenticateAsync(eve, relay.Clock.GetUtcNow())).Accepted);
        await stranger.SendAsync($"[\"REQ\",\"a\",{filter}]");
        Assert.StartsWith("restricted: ", (await stranger.ReceiveAsync())[2].GetString(), StringComparison.Ordinal);

        // As the recipient: stored, counted and live.
        Assert.True((await recipient.AuthenticateAsync(bob, relay.Clock.GetUtcNow())).Accepted);
        Assert.Equal([wrap.Id.ToString()], await recipient.QueryAsync(filter, "mine", keep: true));
        await recipient.SendAsync($"[\"COUNT\",\"c\",{filter}]");
        Assert.Equal(1, (await recipient.ReceiveAsync())[2].GetProperty("count").GetInt32());
        var next = Make(oneTime, 1059, [["p", bob.PublicKey.ToString()]], "sealed again");
        var marker = Make(oneTime, 1, [], "seen by all");
        await using var sender = await relay.ConnectAsync();
        await sender.PublishAsync(next);
        await sender.PublishAsync(marker);
        Assert.Equal(next.Id.ToString(), (await recipient.ReceiveAsync())[2].GetProperty("id").GetString());
        Assert.Equal(marker.Id.ToString(), (await stranger.ReceiveAsync())[2].GetProperty("id").GetString());
    }

    [Theory]
    [InlineData(13)]
    [InlineData(444)]
    [InlineData(446)]
    [InlineData(451)]
    public async Task Refuses_kinds_that_exist_only_inside_encryption(int kind)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var (accepted, text) = await client.PublishAsync(Make(key, kind, []));
        Assert.False(accepted);
        Assert.StartsWith("blocked: ", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-3600, false)]
    [InlineData(-60, true)]
    [InlineData(60, true)]
    [InlineData(3600, false)]
    [Trait("Spec", "MIP-03")]
    [Trait("Clock", "Date")]
    public async Task Takes_group_events_near_its_own_clock_only_when_told_so(int offset, bool taken)
    {
        using var key = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:GroupEventClockSkew=00:10:00", "--Relay:Admins:0=" + key.PublicKey);
        await using var client = await relay.ConnectAsync();
        var message = Make(key, 445, [["h", Group]], at: Now + offset);
        Assert.Equal(taken, (await client.PublishAsync(message)).Accepted);

        // The operator's key brings what another relay took in its time.
        Assert.True((await client.AuthenticateAsync(key, relay.Clock.GetUtcNow())).Accepted);
        Assert.Equal(offset <= 900, (await client.PublishAsync(message)).Accepted);
    }

    [Theory]
    [InlineData(-365 * 86400, true)]
    [InlineData(-86400, true)]
    [InlineData(-660, true)]
    [InlineData(660, true)]
    [InlineData(960, false)]
    [Trait("Spec", "MIP-03")]
    [Trait("Clock", "Date")]
    public async Task Takes_group_events_of_any_age_and_bounds_the_future_as_for_all_kinds(int offset, bool taken)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Equal(taken, (await client.PublishAsync(Make(key, 445, [["h", Group]], at: Now + offset))).Accepted);
        Assert.Equal(taken, (await client.PublishAsync(Make(key, 1, [], at: Now + offset))).Accepted);
    }

    [Fact]
    public async Task Takes_only_marmot_kinds_when_told_so()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:Kinds=Marmot");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.False((await client.PublishAsync(Make(key, 1, []))).Accepted);
        Assert.True((await client.PublishAsync(Make(key, 30443, [["d", "a"]]))).Accepted);
    }

    [Fact]
    [Trait("Spec", "NIP-13")]
    public async Task Asks_for_proof_of_work_when_told_so()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MinProofOfWork=40");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var (accepted, text) = await client.PublishAsync(Make(key, 1, []));
        Assert.False(accepted);
        Assert.StartsWith("pow: ", text, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-11")]
    public async Task Describes_itself_with_its_real_limits()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxFuture=00:15:00"); // the default
        using var http = new HttpClient();
        http.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/nostr+json"));
        using var response = await http.GetAsync(relay.Http);
        Assert.Equal("application/nostr+json", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
        var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Contains(document.GetProperty("supported_nips").EnumerateArray(), nip => nip.GetInt32() == 59);
        var longest = document.GetProperty("limitation").GetProperty("max_message_length").GetInt32();
        Assert.True(longest >= 256 * 1024);
        Assert.Equal(900, document.GetProperty("limitation").GetProperty("created_at_upper_limit").GetInt32());
        Assert.Equal(0, document.GetProperty("limitation").GetProperty("marmot_group_event_clock_skew").GetInt32());
        Assert.False(document.GetProperty("limitation").TryGetProperty("created_at_lower_limit", out _));

        http.DefaultRequestHeaders.Accept.Clear();
        Assert.Contains("Nostr relay", await http.GetStringAsync(relay.Http), StringComparison.Ordinal);

        // The limit that it names is the one it keeps.
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        using var held = relay.HoldDate();
        Assert.True((await client.PublishAsync(Make(key, 1, [], new string('a', longest - 400)))).Accepted);
        await client.SendAsync("[\"EVENT\"," + new string(' ', longest) + "]");
        Assert.Equal("NOTICE", (await client.ReceiveAsync())[0].GetString());
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Says_notice_to_garbage_and_keeps_the_connection()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        foreach (var garbage in new[] { "", "{}", "[]", "[1]", "[\"FOO\"]", "[\"REQ\"]", "[\"EVENT\",{}]", "[\"AUTH\"]" })
        {
            await client.SendAsync(garbage);
            Assert.Equal("NOTICE", (await client.ReceiveAsync())[0].GetString());
        }

        await client.SendAsync("[\"REQ\",\"s\",{\"ids\":[\"xyz\"]}]");
        Assert.Equal("CLOSED", (await client.ReceiveAsync())[0].GetString());
        Assert.Empty(await client.QueryAsync("{}"));
    }

    [Fact]
    [Trait("Spec", "NIP-50")]
    public async Task Refuses_a_search_instead_of_answering_something_else()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        foreach (var verb in new[] { "REQ", "COUNT" })
        {
            await client.SendAsync($"[\"{verb}\",\"s\",{{\"kinds\":[1],\"search\":\"badgers\"}}]");
            var closed = await client.ReceiveAsync();
            Assert.Equal("CLOSED", closed[0].GetString());
            Assert.StartsWith("unsupported: ", closed[2].GetString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    [Trait("Spec", "NIP-09")]
    public async Task Overwrites_deleted_bytes_on_disk_while_running()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var marker = "MARK-" + Guid.NewGuid();
        var evt = Make(key, 30443, [["d", "slot"]], marker);
        Assert.True((await client.PublishAsync(evt)).Accepted);
        var log = Path.Combine(relay.Directory, "relay", "log", "events-000000.log");
        Assert.True(await LogHoldsAsync(log, marker));
        Assert.True((await client.PublishAsync(Make(key, 5, [["e", evt.Id.ToString()]], "", Now + 1))).Accepted);
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        while (await LogHoldsAsync(log, marker))
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(5), "still on disk after 5 s");
        }
    }

    private static async Task<bool> LogHoldsAsync(string path, string marker)
    {
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var head = new byte[1 << 20];
        await file.ReadExactlyAsync(head);
        return head.AsSpan().IndexOf(Encoding.UTF8.GetBytes(marker)) >= 0;
    }

    [Fact]
    public async Task Drops_a_reader_that_does_not_read_and_serves_the_others()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxOutboxBytes=65536", "--Relay:WriteTimeout=00:00:10");
        await using var slow = await relay.ConnectAsync();
        await using var writer = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.Empty(await slow.QueryAsync("{\"kinds\":[1]}", "s", keep: true));
        var metrics = relay.Services.GetRequiredService<RelayMetrics>();
        var big = new string('x', 200_000);
        for (var i = 0; metrics.Connections == 2; i++)
        {
            Assert.True(i < 500, "the slow reader is still there");
            Assert.True((await writer.PublishAsync(Make(key, 1, [], big + i))).Accepted);
        }

        Assert.Single(await writer.QueryAsync("{\"limit\":1}"));
    }

    [Fact]
    public async Task Removes_events_past_their_retention()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:RetentionDays:1=2");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var fresh = Make(key, 1, [], "fresh", Now - 86_400);
        Assert.True((await client.PublishAsync(Make(key, 1, [], "stale", Now - (3 * 86_400)))).Accepted);
        Assert.True((await client.PublishAsync(fresh)).Accepted);
        // Or the first round of its own, which may be late.
        await relay.Services.GetRequiredService<Marmot.Relay.Maintenance.RetentionLoop>().RunOnceAsync(CancellationToken.None);
        Assert.Equal([fresh.Id.ToString()], await client.QueryAsync("{}"));
    }
}
