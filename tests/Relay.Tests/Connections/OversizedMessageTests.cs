using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Negentropy;
using Marmot.Relay.Frames;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Connections;

/// <summary>A message over the size limit costs itself: it is answered, and the connection with its subscriptions lives.</summary>
public sealed class OversizedMessageTests
{
    private const long Now = 1_700_000_500;
    private const int Max = 16 * 1024;
    private static readonly string Limit = $"--Relay:MaxMessageBytes={Max}";
    private static readonly string Id = new('a', 64);

    [Theory]
    [InlineData("""["EVENT",{"id":"ID","content":"x"}]""", true)]
    [InlineData("""[ "EVENT" , { "kind":1, "tags":[["e","id"],["id","ff"]], "content":"\"id\":\"ff\" \\", "id" : "ID" } ]""", true)]
    [InlineData("""["EVENT",{"other":{"id":"ff"},"list":[{"id":"ff"}],"id":"ID"}]""", true)]
    [InlineData("""["EVENT",{"content":"id","kind":1}]""", false)]
    [InlineData("""["EVENT",{"id":"IDff"}]""", false)]
    [InlineData("""["EVENT",{"id":"xyz"}]""", false)]
    [InlineData("""["EVENT",["id","ID"]]""", false)]
    [InlineData("""["id","ID"]""", false)]
    public void Finds_the_id_of_an_event_however_it_is_cut(string message, bool found)
    {
        var bytes = Encoding.UTF8.GetBytes(message.Replace("ID", Id, StringComparison.Ordinal));
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var passed = new OversizedMessage();
            passed.Read(bytes.AsSpan(0, cut), isReadable: true);
            passed.Read(bytes.AsSpan(cut), isReadable: true);
            Assert.Equal(found ? Bytes32.ParseHex(Id) : null, passed.EventId);
            Assert.Equal(bytes.Length, passed.Length);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(200)]
    [Trait("Spec", "NIP-01")]
    public async Task An_event_that_is_too_large_gets_OK_false_with_its_id_and_the_connection_goes_on(int frames)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Limit);
        using var client = await RawWebSocket.ConnectAsync(relay, null);
        await using var sender = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var (before, after) = (NostrEvent.Create(key, 1, [], "before", Now), NostrEvent.Create(key, 1, [], "after", Now));
        await client.SendTextAsync("[\"REQ\",\"live\",{\"kinds\":[1]}]");
        Assert.Equal("[\"EOSE\",\"live\",[\"finish\"]]", Text(await client.ReceiveAsync()));

        // In one burst with what comes before and after it. The id stands at the end, as most clients write it.
        var content = string.Concat(Enumerable.Repeat("\\\"id\\\":é🦫", Max));
        var message = Encoding.UTF8.GetBytes($"[\"EVENT\",{{\"content\":\"{content}\",\"kind\":1,\"tags\":[],\"id\":\"{Id}\"}}]");
        await client.SendTextAsync($"[\"EVENT\",{Encoding.UTF8.GetString(before.Json.Span)}]");
        foreach (var (piece, i) in message.Chunk((message.Length / frames) + 1).Select((piece, i) => (piece, i)))
        {
            var isLast = (i + 1) * ((message.Length / frames) + 1) >= message.Length;
            await client.SendAsync((byte)((isLast ? 0x80 : 0) | (i == 0 ? 1 : 0)), piece);
            if (!isLast)
            {
                await client.SendAsync(0x89, [7]); // control frames may stand between fragments
            }
        }

        await client.SendTextAsync($"[\"EVENT\",{Encoding.UTF8.GetString(after.Json.Span)}]");
        var answers = new List<string>();
        while (answers.Count < 5)
        {
            var frame = await client.ReceiveAsync();
            if (frame.First == 0x81)
            {
                answers.Add(Text(frame));
            }
        }

        Assert.Contains($"[\"OK\",\"{before.Id}\",true,\"\"]", answers);
        Assert.Contains($"[\"OK\",\"{Id}\",false,\"invalid: a message has at most {Max} bytes, this one has {message.Length}\"]", answers);
        Assert.Contains($"[\"OK\",\"{after.Id}\",true,\"\"]", answers);
        Assert.Equal(2, answers.Count(answer => answer.StartsWith("[\"EVENT\",\"live\"", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("REQ", "CLOSED")]
    [InlineData("COUNT", "CLOSED")]
    [InlineData("NEG-OPEN", "NEG-ERR")]
    [InlineData("NEG-MSG", "NEG-ERR")]
    [Trait("Spec", "NIP-01")]
    public async Task A_request_that_is_too_large_is_refused_under_its_id_and_what_was_open_there_is_not(string verb, string answer)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Limit);
        await using var client = await relay.ConnectAsync();
        await using var sender = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var initial = Convert.ToHexString(Reconciliation.Initiate(new NegentropySet([])));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}", "é", keep: true));
        await client.SendAsync($"[\"NEG-OPEN\",\"é\",{{}},\"{initial}\"]");
        Assert.Equal("NEG-MSG", (await client.ReceiveAsync())[0].GetString());
        await client.SendAsync($"[\"{verb}\",\"\\u00e9\",{{\"#t\":[\"{new string('x', Max)}\"]}}]");
        var refused = await client.ReceiveAsync();
        Assert.Equal(answer, refused[0].GetString());
        Assert.Equal("é", refused[1].GetString());
        Assert.Contains($"at most {Max} bytes, this one has", refused[2].GetString(), StringComparison.Ordinal);

        var note = NostrEvent.Create(key, 1, [], "x", Now);
        Assert.True((await sender.PublishAsync(note)).Accepted);
        if (verb is "COUNT" or "NEG-OPEN" or "NEG-MSG")
        {
            Assert.Equal("EVENT", (await client.ReceiveAsync())[0].GetString()); // the subscription is another thing
        }

        await client.SendAsync($"[\"NEG-MSG\",\"é\",\"{initial}\"]");
        Assert.Equal(verb.StartsWith("NEG", StringComparison.Ordinal) ? "NEG-ERR" : "NEG-MSG", (await client.ReceiveAsync())[0].GetString());
    }

    [Fact]
    [Trait("Spec", "RFC 7692")]
    public async Task A_compressed_one_is_not_inflated_beyond_the_limit_and_answered_as_far_as_it_can_be_read()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Limit);
        using var client = await RawWebSocket.ConnectAsync(relay, "permessage-deflate; client_no_context_takeover; server_no_context_takeover");
        Assert.NotNull(client.Extensions);
        await client.SendAsync(0xC1,
            PerMessageDeflateTests.Compress(Encoding.UTF8.GetBytes($"[\"EVENT\",{{\"id\":\"{Id}\",\"content\":\"{new string('x', Max)}\"}}]")));
        Assert.Equal($"[\"OK\",\"{Id}\",false,\"invalid: a message has at most {Max} bytes, this one has more\"]", Text(await client.ReceiveAsync()));

        await client.SendAsync(0xC1, PerMessageDeflateTests.Compress(new byte[50_000_000])); // a bomb
        Assert.StartsWith("[\"NOTICE\"", Text(await client.ReceiveAsync()), StringComparison.Ordinal);

        var noise = new byte[Max * 2];
        Random.Shared.NextBytes(noise);
        await client.SendAsync(0xC1, noise); // too large before it is inflated
        Assert.StartsWith("[\"NOTICE\"", Text(await client.ReceiveAsync()), StringComparison.Ordinal);

        await client.SendTextAsync("[\"REQ\",\"s\",{\"kinds\":[1]}]");
        Assert.Equal("[\"EOSE\",\"s\",[\"finish\"]]", Text(await client.ReceiveAsync()));
    }

    [Fact]
    [Trait("Spec", "RFC 6455")]
    public async Task One_that_would_take_minutes_to_pass_ends_the_connection_with_1009()
    {
        await using var relay = await RelayHost.StartAsync(Now, null, Limit);
        using var client = await RawWebSocket.ConnectAsync(relay, null);
        await client.SendHeaderAsync(0x81, OversizedMessage.MaxBytes + 1);
        Assert.Equal(1009, await client.ReceiveCloseAsync());
    }

    private static string Text((byte First, byte[] Payload) frame) => Encoding.UTF8.GetString(frame.Payload);
}
