using System.Text;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Frames;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Connections;

/// <summary>What one client does costs that client, and nobody else.</summary>
public sealed class CostTests
{
    private const long Now = 1_700_000_500;

    private static string Json(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);

    [Fact]
    public async Task A_mass_leave_does_not_hold_up_live_delivery()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var reader = await relay.ConnectAsync();
        Assert.Empty(await reader.QueryAsync("{\"#t\":[\"x\"]}", "live", keep: true));
        var values = string.Join(',', Enumerable.Repeat("\"x\"", 1000));
        var filters = string.Join(',', Enumerable.Repeat($"{{\"#t\":[{values}],\"limit\":0}}", 20));
        await using (var leaver = await relay.ConnectAsync())
        {
            for (var i = 0; i < 200; i++)
            {
                Assert.Empty(await leaver.QueryAsync(filters, $"s{i}", keep: true));
            }
        }

        using var key = SecretKey.Generate();
        await using var writer = await relay.ConnectAsync();
        var evt = NostrEvent.Create(key, 1, [["t", "x"]], "", Now);
        Assert.True((await writer.PublishAsync(evt)).Accepted);
        Assert.Equal(evt.Id.ToString(), (await reader.ReceiveAsync())[2].GetProperty("id").GetString()); // within ten seconds, which was hours
    }

    [Fact]
    public async Task Filters_held_open_are_bounded_and_come_back_with_CLOSE()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxFilterBytes=150000");
        await using var client = await relay.ConnectAsync();
        var filter = $"{{\"kinds\":[445],\"#h\":[{string.Join(',', Enumerable.Range(0, 150).Select(i => $"\"{i:x64}\""))}]}}";
        Assert.Empty(await client.QueryAsync(filter, "a", keep: true));
        await client.SendAsync($"[\"REQ\",\"b\",{filter}]");
        var closed = await client.ReceiveAsync();
        Assert.Equal("CLOSED", closed[0].GetString());
        Assert.StartsWith("rate-limited: ", closed[2].GetString(), StringComparison.Ordinal);
        for (var i = 0; i < 10; i++)
        {
            await client.SendAsync("[\"CLOSE\",\"a\"]");
            Assert.Empty(await client.QueryAsync(filter, "a", keep: true));
        }
    }

    [Fact]
    public async Task Half_frames_of_one_address_are_bounded_together_and_others_are_served()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxInputBytesTogether=16777216", "--Relay:LimitLoopback=true",
            "--Relay:WorkPerAddress=0");
        var half = RawClient.Frame("[\"EVENT\"," + new string(' ', 500_000))[..490_000];
        var clients = new List<RawClient>();
        try
        {
            for (var i = 0; i < 24; i++)
            {
                var client = await RawClient.ConnectAsync(relay.Http);
                clients.Add(client);
                Assert.StartsWith("HTTP/1.1 101", await client.UpgradeAsync(relay.Http.Authority), StringComparison.Ordinal);
                await client.SendAsync(half);
            }

            // A fifth of 16 MiB holds six of them.
            var ended = await Task.WhenAll(clients.Select(client => client.IsEndedWithinAsync(TimeSpan.FromSeconds(3))));
            Assert.InRange(ended.Count(end => !end), 5, 7);

            await using var other = await relay.ConnectAsync();
            using var key = SecretKey.Generate();
            Assert.True((await other.PublishAsync(NostrEvent.Create(key, 1, [], "short", Now))).Accepted);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task Bytes_are_charged_when_they_arrive_not_when_a_frame_is_whole()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=1000", "--Relay:LimitLoopback=true");
        using var client = await RawClient.ConnectAsync(relay.Http);
        Assert.StartsWith("HTTP/1.1 101", await client.UpgradeAsync(relay.Http.Authority), StringComparison.Ordinal);
        await client.SendAsync(RawClient.Frame("[\"EVENT\"," + new string(' ', 300_000)).AsMemory(0, 200_000)); // 10,000 units of 5,000
        var status = "";
        for (var i = 0; i < 100 && !status.StartsWith("HTTP/1.1 429", StringComparison.Ordinal); i++)
        {
            using var next = await RawClient.ConnectAsync(relay.Http);
            status = await next.UpgradeAsync(relay.Http.Authority);
        }

        Assert.StartsWith("HTTP/1.1 429", status, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_message_that_does_not_end_ends_its_connection_whatever_still_arrives(bool fragments)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MessageTimeout=00:00:01");
        using var client = await RawClient.ConnectAsync(relay.Http);
        Assert.StartsWith("HTTP/1.1 101", await client.UpgradeAsync(relay.Http.Authority), StringComparison.Ordinal);
        var frame = RawClient.Frame(new string(' ', 100_000));
        var ended = client.IsEndedWithinAsync(TimeSpan.FromSeconds(20)); // deadlines are looked at every five seconds
        for (var i = 0; i < 200 && !ended.IsCompleted; i++)
        {
            await TrySendAsync(fragments ? RawClient.Frame(" ", isFinal: false, i == 0 ? FrameOpcode.Text : FrameOpcode.Continuation) : frame.AsMemory(i, 1));
            await Task.WhenAny(ended, Task.Delay(100));
        }

        Assert.True(await ended);

        async Task TrySendAsync(ReadOnlyMemory<byte> bytes)
        {
            try
            {
                await client.SendAsync(bytes);
            }
            catch (IOException)
            {
                // It has ended, which is what is waited for.
            }
        }
    }

    [Fact]
    public async Task No_address_has_more_than_its_share_of_connections()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxConnections=50", "--Relay:LimitLoopback=true", "--Relay:WorkPerAddress=0");
        var clients = new List<RawClient>();
        try
        {
            var status = "";
            while (clients.Count < 50 && (status.Length == 0 || status.StartsWith("HTTP/1.1 101", StringComparison.Ordinal)))
            {
                clients.Add(await RawClient.ConnectAsync(relay.Http));
                status = await clients[^1].UpgradeAsync(relay.Http.Authority);
            }

            Assert.StartsWith("HTTP/1.1 429", status, StringComparison.Ordinal);
            Assert.Equal(11, clients.Count); // a fifth, and the refused one

            // Who comes from elsewhere finds a place: the proxy on loopback names another address.
            using var other = await RawClient.ConnectAsync(relay.Http);
            Assert.StartsWith("HTTP/1.1 101", await other.UpgradeAsync(relay.Http.Authority, "X-Forwarded-For: 203.0.113.7\r\n"), StringComparison.Ordinal);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    [Trait("Spec", "NIP-42")]
    public async Task A_connection_that_proved_the_key_of_a_member_leaves_its_address_room_for_another()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:MaxConnections=20", "--Relay:LimitLoopback=true", "--Relay:WorkPerAddress=0");
        using var key = SecretKey.Generate();
        var clients = new List<RawClient>();
        await using var member = await relay.ConnectAsync();
        Assert.True((await member.PublishAsync(NostrEvent.Create(key, 1, [], "I write here", Now))).Accepted);
        try
        {
            for (var i = 0; i < 7; i++)
            {
                clients.Add(await RawClient.ConnectAsync(relay.Http));
                Assert.StartsWith("HTTP/1.1 101", await clients[^1].UpgradeAsync(relay.Http.Authority), StringComparison.Ordinal);
            }

            Assert.False(await MayComeInAsync());
            Assert.True((await member.AuthenticateAsync(key, relay.Clock.GetUtcNow())).Accepted);
            var may = false;
            for (var i = 0; i < 20 && !may; i++) // looked at every five seconds
            {
                await Task.Delay(500);
                may = await MayComeInAsync();
            }

            Assert.True(may);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }

        async Task<bool> MayComeInAsync()
        {
            using var next = await RawClient.ConnectAsync(relay.Http);
            return (await next.UpgradeAsync(relay.Http.Authority)).StartsWith("HTTP/1.1 101", StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(true, "")] // straight from the transport
    [InlineData(true, "Content-Length: 0\r\n")] // one that the shortcut leaves to the HTTP server
    [InlineData(false, "")] // all through the HTTP server
    public async Task Behind_a_proxy_each_client_has_its_own_budget_and_block(bool shortcuts, string odd)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=100", "--Public:Origin=", $"--Public:Shortcuts={shortcuts}");
        var status = "";
        for (var i = 0; i < 20 && !status.StartsWith("HTTP/1.1 429", StringComparison.Ordinal); i++)
        {
            using var client = await RawClient.ConnectAsync(relay.Http);
            status = await client.UpgradeAsync(relay.Http.Authority, odd + "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n");
        }

        Assert.StartsWith("HTTP/1.1 429", status, StringComparison.Ordinal); // the proxy is on loopback, which is not counted itself

        using var other = await RawClient.ConnectAsync(relay.Http);
        Assert.StartsWith("HTTP/1.1 101", await other.UpgradeAsync(relay.Http.Authority, odd + "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n"),
            StringComparison.Ordinal);

        await relay.Services.GetRequiredService<Moderation>()
            .ChangeAsync(state => state with { BlockedAddresses = new() { ["203.0.113.9"] = "" } }, CancellationToken.None);
        using var blocked = await RawClient.ConnectAsync(relay.Http);
        Assert.StartsWith("HTTP/1.1 403", await blocked.UpgradeAsync(relay.Http.Authority, odd + "X-Forwarded-For: 203.0.113.9\r\n"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Live_events_cost_the_address_that_is_sent_them()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=4000");
        using var key = SecretKey.Generate();
        using var greedy = await RawClient.ConnectAsync(relay.Http);
        await greedy.UpgradeAsync(relay.Http.Authority, "X-Forwarded-For: 203.0.113.1\r\n");
        for (var i = 0; i < 100; i++)
        {
            await greedy.SendAsync(RawClient.Frame($"[\"REQ\",\"s{i}\",{{\"kinds\":[1],\"limit\":0}}]")); // about 80 units each, of 20,000
        }

        await using var other = await relay.ConnectAsync();
        Assert.Empty(await other.QueryAsync("{\"kinds\":[1],\"limit\":0}", "live", keep: true));
        await using var writer = await relay.ConnectAsync();
        var ended = greedy.IsEndedWithinAsync(TimeSpan.FromSeconds(30));
        for (var i = 0; i < 200 && !ended.IsCompleted; i++)
        {
            Assert.True((await writer.PublishAsync(NostrEvent.Create(key, 1, [], $"{i}", Now))).Accepted);
            Assert.Equal("EVENT", (await other.ReceiveAsync())[0].GetString());
        }

        Assert.True(await ended); // after about a hundred of them
        using var again = await RawClient.ConnectAsync(relay.Http);
        Assert.StartsWith("HTTP/1.1 429", await again.UpgradeAsync(relay.Http.Authority, "X-Forwarded-For: 203.0.113.1\r\n"), StringComparison.Ordinal);
        Assert.True((await writer.PublishAsync(NostrEvent.Create(key, 1, [], "after", Now))).Accepted);
        Assert.Equal("EVENT", (await other.ReceiveAsync())[0].GetString());
    }

    [Fact]
    public async Task Two_addresses_cannot_spend_the_budget_of_a_group_for_the_others()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerTarget=1000");
        var group = new string('a', 64);
        foreach (var address in new[] { "203.0.113.1", "203.0.113.2" })
        {
            var refused = 0;
            for (var i = 0; i < 200 && refused == 0; i++)
            {
                refused += await PublishFromAsync(address, $"{address} {i}") ? 0 : 1;
            }

            Assert.Equal(1, refused);
        }

        Assert.True(await PublishFromAsync("203.0.113.3", "mine"));

        async Task<bool> PublishFromAsync(string address, string content)
        {
            using var client = await RawClient.ConnectAsync(relay.Http);
            await client.UpgradeAsync(relay.Http.Authority, $"X-Forwarded-For: {address}\r\n");
            using var key = SecretKey.Generate();
            var evt = NostrEvent.Create(key, 445, [["h", group]], content, Now);
            await client.SendAsync(RawClient.Frame($"[\"EVENT\",{Json(evt)}]"));
            var answer = new StringBuilder();
            var buffer = new byte[4096];
            while (!answer.ToString().Contains("[\"OK\"", StringComparison.Ordinal))
            {
                var read = await client.ReadAsync(buffer);
                Assert.True(read > 0);
                answer.Append(Encoding.UTF8.GetString(buffer, 0, read));
            }

            return answer.ToString().Contains("true", StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("[\"REQ\",\"a\",{\"kinds\":[1]}", "CLOSED")]
    [InlineData("[\"COUNT\",\"a\",{\"kinds\":[1]}", "CLOSED")]
    public async Task The_bytes_of_a_request_are_charged_beside_what_it_asks_for(string start, string refusal)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=500", "--Relay:LimitLoopback=true");
        await using var client = await relay.ConnectAsync();
        for (var i = 0; i < 3; i++) // short ones: about 70 units of 2,500 each
        {
            await client.SendAsync($"{start}]");
            Assert.NotEqual(refusal, (await client.ReceiveAsync())[0].GetString());
        }

        await client.SendAsync($"{start}{new string(' ', 36_000)}]"); // 1,800 units by its bytes
        Assert.NotEqual(refusal, (await client.ReceiveAsync())[0].GetString());
        await client.SendAsync($"{start}{new string(' ', 60_000)}]"); // more than a full budget
        var closed = await client.ReceiveAsync();
        Assert.Equal(refusal, closed[0].GetString());
        Assert.StartsWith("rate-limited: ", closed[2].GetString(), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-09")]
    public async Task Each_id_that_a_deletion_names_is_charged_though_nobody_knows_it()
    {
        Assert.True(await IsRefusedAfterAsync("e"));
        Assert.False(await IsRefusedAfterAsync("name")); // of the same bytes, and not to be remembered

        static async Task<bool> IsRefusedAfterAsync(string tag)
        {
            await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=2400", "--Relay:LimitLoopback=true"); // 12,000 at once
            await using var client = await relay.ConnectAsync();
            using var key = SecretKey.Generate();
            var tags = Enumerable.Range(0, 400).Select(i => new[] { tag, $"{i:x64}" }).ToArray();
            Assert.True((await client.PublishAsync(NostrEvent.Create(key, 5, tags, "", Now))).Accepted); // 400 ids of 30 units
            return !(await client.PublishAsync(NostrEvent.Create(key, 1, [], "", Now))).Accepted;
        }
    }

    [Theory]
    [InlineData(1, "t", 4000)] // 40,000 units by its tags and 2,400 by its bytes
    [InlineData(5, "e", 1200)] // 36,000 units: what a deletion names is remembered, there or not
    public async Task An_event_of_many_tags_and_a_deletion_of_many_ids_cost_what_they_cost_the_writer(int kind, string letter, int count)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WorkPerAddress=4500", "--Relay:LimitLoopback=true");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var tags = Enumerable.Range(0, count).Select(i => new[] { letter, letter == "e" ? $"{i:x64}" : $"{i}" }).ToArray();
        Assert.True((await client.PublishAsync(NostrEvent.Create(key, kind, tags, "", Now))).Accepted);
        Assert.StartsWith("rate-limited: ", (await client.PublishAsync(NostrEvent.Create(key, 1, [], "", Now))).Text, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-62")]
    public async Task A_vanish_request_costs_by_what_names_its_key()
    {
        using var folder = new TemporaryFolder();
        using var named = SecretKey.Generate();
        using var sender = SecretKey.Generate();
        await using (var relay = await RelayHost.StartAsync(Now, folder.Path))
        {
            await using var client = await relay.ConnectAsync();
            await client.PublishAllAsync(Enumerable.Range(0, 900)
                .Select(i => NostrEvent.Create(sender, 1059, [["p", named.PublicKey.ToString()]], $"{i}", Now)));
        }

        await using var limited = await RelayHost.StartAsync(Now, folder.Path, "--Relay:WorkPerAddress=400", "--Relay:LimitLoopback=true");
        await using var asker = await limited.ConnectAsync();
        Assert.True((await asker.PublishAsync(NostrEvent.Create(named, 62, [["relay", "ALL_RELAYS"]], "", Now))).Accepted); // 36,000 units of 2,000
        Assert.StartsWith("rate-limited: ", (await asker.PublishAsync(NostrEvent.Create(sender, 1, [], "", Now))).Text, StringComparison.Ordinal);
    }
}
