using System.Buffers;
using System.Net.WebSockets;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Frames;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Connections;

[Trait("Spec", "RFC 7692")]
public sealed class CompressedConnectionTests
{
    private const long Now = 1_700_000_500;
    private const string Offer = "permessage-deflate; client_max_window_bits";
    private const byte Text = 0x81;
    private const byte DeflatedText = 0xC1;

    private static NostrEvent Note(SecretKey key, string content = "") =>
        NostrEvent.Create(key, 1, [], content + Convert.ToBase64String(new byte[900]), Now);

    [Fact]
    public async Task A_live_event_is_compressed_once_for_all_who_agreed_and_plain_for_the_others()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var first = await RawWebSocket.ConnectAsync(relay, Offer);
        using var second = await RawWebSocket.ConnectAsync(relay, Offer);
        using var plain = await RawWebSocket.ConnectAsync(relay, offers: null);
        Assert.StartsWith("permessage-deflate", first.Extensions, StringComparison.Ordinal);
        Assert.Null(plain.Extensions);
        foreach (var (client, id) in new[] { (first, "a"), (second, "the second"), (plain, "c") })
        {
            await client.SendTextAsync($"[\"REQ\",\"{id}\",{{\"kinds\":[1]}}]");
            Assert.Equal((Text, $"[\"EOSE\",\"{id}\",[\"finish\"]]"), Read(await client.ReceiveAsync()));
        }

        using var key = SecretKey.Generate();
        var note = Note(key);
        await using var writer = await relay.ConnectAsync();
        Assert.True((await writer.PublishAsync(note)).Accepted);
        var json = Encoding.UTF8.GetString(note.Json.Span);
        var one = await first.ReceiveAsync();
        var two = await second.ReceiveAsync();
        Assert.Equal((DeflatedText, $"[\"EVENT\",\"a\",{json}]"), Read(one));
        Assert.Equal((DeflatedText, $"[\"EVENT\",\"the second\",{json}]"), Read(two));
        Assert.Equal((Text, $"[\"EVENT\",\"c\",{json}]"), Read(await plain.ReceiveAsync()));
        Assert.True(one.Payload.Length < json.Length * 4 / 5);
        var shared = one.Payload.Length - PerMessageDeflate.ToStoredBlock("[\"EVENT\",\"a\","u8).Length;
        Assert.Equal(one.Payload[^shared..], two.Payload[^shared..]);
    }

    [Theory]
    [InlineData("Live", Text)]
    [InlineData("All", DeflatedText)]
    public async Task Stored_events_and_those_for_one_subscriber_are_compressed_where_the_operator_wants_all(string compression, byte expected)
    {
        await using var relay = await RelayHost.StartAsync(Now, settings: ["--Relay:Compression=" + compression]);
        using var key = SecretKey.Generate();
        await using var writer = await relay.ConnectAsync();
        var note = Note(key);
        Assert.True((await writer.PublishAsync(note)).Accepted);
        using var client = await RawWebSocket.ConnectAsync(relay, Offer);
        await client.SendTextAsync("[\"REQ\",\"s\",{\"kinds\":[1]}]");
        Assert.Equal((expected, $"[\"EVENT\",\"s\",{Encoding.UTF8.GetString(note.Json.Span)}]"), Read(await client.ReceiveAsync()));
        Assert.Equal((Text, "[\"EOSE\",\"s\",[\"finish\"]]"), Read(await client.ReceiveAsync()));
        var live = Note(key, "live");
        Assert.True((await writer.PublishAsync(live)).Accepted);
        Assert.Equal((expected, $"[\"EVENT\",\"s\",{Encoding.UTF8.GetString(live.Json.Span)}]"), Read(await client.ReceiveAsync()));
    }

    [Fact]
    public async Task Takes_compressed_messages_with_control_frames_between_their_fragments()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var client = await RawWebSocket.ConnectAsync(relay, Offer);
        using var key = SecretKey.Generate();
        var note = Note(key);
        var message = PerMessageDeflateTests.Compress(Encoding.UTF8.GetBytes($"[\"EVENT\",{Encoding.UTF8.GetString(note.Json.Span)}]"));
        await client.SendAsync(0x41, message[..10]);
        await client.SendAsync(0x89, [1, 2]);
        await client.SendAsync(0x00, message[10..20]);
        await client.SendAsync(0x80, message[20..]);
        Assert.Equal((byte)0x8A, (await client.ReceiveAsync()).First);
        Assert.Equal((Text, $"[\"OK\",\"{note.Id}\",true,\"\"]"), Read(await client.ReceiveAsync()));
    }

    [Theory]
    [InlineData(0xC1, "broken", 1007)]
    [InlineData(0xC9, "", 1002)]
    public async Task Ends_a_connection_that_misuses_compression_and_says_why(byte first, string what, int code)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        using var client = await RawWebSocket.ConnectAsync(relay, Offer);
        await client.SendAsync(first, what == "broken" ? [0x07] : []);
        Assert.Equal(code, await client.ReceiveCloseAsync());
    }

    [Theory]
    [InlineData("Off", Offer)]
    [InlineData("Live", null)]
    public async Task A_compressed_message_without_agreement_breaks_the_protocol(string compression, string? offers)
    {
        await using var relay = await RelayHost.StartAsync(Now, settings: ["--Relay:Compression=" + compression]);
        using var client = await RawWebSocket.ConnectAsync(relay, offers);
        Assert.Null(client.Extensions);
        await client.SendAsync(DeflatedText, PerMessageDeflateTests.Compress("[\"CLOSE\",\"a\"]"u8.ToArray()));
        Assert.Equal(1002, await client.ReceiveCloseAsync());
    }

    [Fact]
    public async Task The_frameworks_client_reads_and_writes_compressed_messages()
    {
        await using var relay = await RelayHost.StartAsync(Now, settings: ["--Relay:Compression=All"]);
        await using var client = new TestClient(new WebSocketDeflateOptions
        {
            ServerMaxWindowBits = 9,
            ClientContextTakeover = false,
            ServerContextTakeover = false,
        });
        await client.ConnectAsync(relay.WebSocket);
        using var key = SecretKey.Generate();
        var notes = Enumerable.Range(0, 40).Select(i => Note(key, i.ToString(System.Globalization.CultureInfo.InvariantCulture))).ToList();
        await client.PublishAllAsync(notes);
        Assert.Equal(notes.Select(note => note.Id.ToString()).Order(StringComparer.Ordinal), await client.QueryAsync("{\"kinds\":[1]}"));
    }

    private static (byte First, string Text) Read((byte First, byte[] Payload) frame)
    {
        if (frame.First != DeflatedText)
        {
            return (frame.First, Encoding.UTF8.GetString(frame.Payload));
        }

        var buffer = ArrayPool<byte>.Shared.Rent(frame.Payload.Length);
        frame.Payload.CopyTo(buffer, 0);
        Assert.Equal(FrameResult.Complete, MessageInflater.Inflate(ref buffer, 0, frame.Payload.Length, 1 << 20, out var length));
        return (frame.First, Encoding.UTF8.GetString(buffer, 0, length));
    }
}
