using System.Globalization;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Tests.Events;

namespace Marmot.Protocol.Tests.Messages;

[Trait("Spec", "NIP-01")]
public sealed class ClientMessageReaderTests
{
    private static readonly NostrEvent Sample = CreateSample();

    private static readonly string SampleJson = System.Text.Encoding.UTF8.GetString(Sample.Json.Span);

    [Fact]
    public void Reads_event_and_auth_in_place()
    {
        Assert.True(ClientMessageReader.TryRead(ClientMessageWriter.Event(Sample.Json.Span), out var message, out _));
        Assert.Equal(ClientMessageKind.Event, message.Kind);
        Assert.True(message.HasEventId);
        Assert.Equal(Sample.Id, message.EventId);
        Assert.True(message.Event.Json.SequenceEqual(Sample.Json.Span));
        Assert.True(EventVerifier.TryVerify(message.Event, out _));

        Assert.True(ClientMessageReader.TryRead(ClientMessageWriter.Auth(Sample.Json.Span), out message, out _));
        Assert.Equal(ClientMessageKind.Auth, message.Kind);
    }

    [Fact]
    public void Reading_an_event_allocates_nothing()
    {
        var frame = ClientMessageWriter.Event(Sample.Json.Span);
        ClientMessageReader.TryRead(frame, out _, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            ClientMessageReader.TryRead(frame, out _, out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Reads_each_subscription_verb()
    {
        var one = new Filter { Kinds = [445], Tags = new Dictionary<char, string[]> { ['h'] = ["g\""] } };
        var two = new Filter { Limit = 0 };
        AssertReads(ClientMessageWriter.Req("s\"é", one, two), ClientMessageKind.Req, "s\"é", 2, "");
        AssertReads(ClientMessageWriter.Count("s", one), ClientMessageKind.Count, "s", 1, "");
        AssertReads(ClientMessageWriter.Close("s"), ClientMessageKind.Close, "s", 0, "");
        AssertReads(ClientMessageWriter.NegentropyOpen("s", two, [0x61, 0xFF]), ClientMessageKind.NegOpen, "s", 1, "61ff");
        AssertReads(ClientMessageWriter.NegentropyMessage("s", [0x61]), ClientMessageKind.NegMsg, "s", 0, "61");
        AssertReads(ClientMessageWriter.NegentropyClose("s"), ClientMessageKind.NegClose, "s", 0, "");

        static void AssertReads(byte[] frame, ClientMessageKind kind, string subscription, int filters, string payload)
        {
            Assert.True(ClientMessageReader.TryRead(frame, out var message, out var reason), reason.ToString());
            Assert.Equal((kind, subscription, filters), (message.Kind, message.SubscriptionId, message.Filters.Length));
            Assert.Equal(payload, System.Text.Encoding.UTF8.GetString(message.NegentropyHex));
            using var model = JsonDocument.Parse(frame);
            Assert.Equal(subscription, model.RootElement[1].GetString());
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("[1]")]
    [InlineData("""["HELLO"]""")]
    [InlineData("""["event",{}]""")]
    [InlineData("""["EVENT"]""")]
    [InlineData("""["EVENT",1]""")]
    [InlineData("""["EVENT",{}]""")]
    [InlineData("""["REQ"]""")]
    [InlineData("""["REQ",1,{}]""")]
    [InlineData("""["REQ","",{}]""")]
    [InlineData("""["REQ","s"]""")]
    [InlineData("""["REQ","s",[]]""")]
    [InlineData("""["REQ","s",{"ids":["x"]}]""")]
    [InlineData("""["REQ","s",{},]""")]
    [InlineData("""["REQ","s",{}] x""")]
    [InlineData("""["REQ","s",{"#h":["\ud800"]}]""")]
    [InlineData("""["COUNT","s"]""")]
    [InlineData("""["CLOSE"]""")]
    [InlineData("""["CLOSE","s","t"]""")]
    [InlineData("""["AUTH","challenge"]""")]
    [InlineData("""["NEG-OPEN","s",{}]""")]
    [InlineData("""["NEG-OPEN","s",{},"6"]""")]
    [InlineData("""["NEG-OPEN","s",{},"6x"]""")]
    [InlineData("""["NEG-OPEN","s",{},{},"61"]""")]
    [InlineData("""["NEG-MSG","s",""]""")]
    [InlineData("""["NEG-CLOSE"]""")]
    public void Refuses_what_no_nip_allows(string frame)
    {
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8(frame), out var message, out var reason), frame);
        Assert.Equal(RejectPrefix.Invalid, reason.Prefix);
        Assert.NotNull(message.Filters);
    }

    [Fact]
    public void Names_the_event_or_the_subscription_that_was_refused()
    {
        var badKind = SampleJson.Replace("\"kind\":445", "\"kind\":-1", StringComparison.Ordinal);
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"EVENT\",{badKind}]"), out var message, out _));
        Assert.Equal((ClientMessageKind.Event, true, Sample.Id), (message.Kind, message.HasEventId, message.EventId));

        // The id may stand behind the fault.
        var start = SampleJson.IndexOf("\"pubkey\"", StringComparison.Ordinal);
        var idLast = $"{{{badKind[start..^1]},\"id\":\"{Sample.Id}\"}}";
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"EVENT\",{idLast}]"), out message, out _));
        Assert.Equal((true, Sample.Id), (message.HasEventId, message.EventId));

        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8("""["EVENT",{"id":"short"}]"""), out message, out _));
        Assert.False(message.HasEventId);

        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8("""["REQ","s",{"ids":["x"]}]"""), out message, out _));
        Assert.Equal((ClientMessageKind.Req, "s"), (message.Kind, message.SubscriptionId));
    }

    [Fact]
    public void A_subscription_id_has_1_to_64_characters_after_unescaping()
    {
        var longest = string.Concat(Enumerable.Repeat("\\u00e9", 64));
        Assert.True(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"CLOSE\",\"{longest}\"]"), out var message, out _));
        Assert.Equal(new string('é', 64), message.SubscriptionId);
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"CLOSE\",\"{longest}x\"]"), out message, out var reason));
        Assert.Equal(new string('é', 64) + "x", message.SubscriptionId); // the answer goes under it
        Assert.Equal("a subscription id has 1 to 64 characters, this one has 65", reason.Text);

        var emoji = string.Concat(Enumerable.Repeat("🦫", 64)); // 128 units of a string, 256 bytes
        Assert.True(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"CLOSE\",\"{emoji}\"]"), out _, out _));
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8($"[\"CLOSE\",\"{emoji}x\"]"), out _, out _));
        Assert.False(ClientMessageReader.TryRead(NostrJson.Utf8("[\"CLOSE\",\"\"]"), out _, out _));
    }

    [Fact]
    public void Takes_as_many_filters_as_the_limit_says()
    {
        var limits = new FilterLimits { MaxFilters = 1 };
        Assert.True(ClientMessageReader.TryRead("""["REQ","s",{}]"""u8, limits, out _, out _));
        Assert.False(ClientMessageReader.TryRead("""["REQ","s",{},{}]"""u8, limits, out var message, out var reason));
        Assert.Equal("a message has at most 1 filters", reason.Text);
        Assert.Equal("s", message.SubscriptionId);
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        byte[][] frames =
        [
            ClientMessageWriter.Event(Sample.Json.Span),
            ClientMessageWriter.Req("s\u0001", new Filter { Kinds = [1, 2], Since = 5, Search = "é" }, new Filter()),
            ClientMessageWriter.NegentropyOpen("s", new Filter(), [1, 2]),
            ClientMessageWriter.Close("s"),
        ];
        foreach (var frame in frames)
        {
            Assert.True(ClientMessageReader.TryRead(frame, out _, out var reason), reason.ToString());
            for (var length = 0; length < frame.Length; length++)
            {
                Assert.False(ClientMessageReader.TryRead(frame.AsSpan(0, length), out _, out _), length.ToString(CultureInfo.InvariantCulture));
            }
        }
    }

    [Fact]
    public void Survives_30_000_mutated_frames_and_accepts_only_json()
    {
        var random = new Random(11);
        byte[][] frames =
        [
            ClientMessageWriter.Event(Sample.Json.Span),
            ClientMessageWriter.Req("s", new Filter { Kinds = [1, 2], Since = 5, Tags = new Dictionary<char, string[]> { ['h'] = ["a", "\n"] } }),
            ClientMessageWriter.NegentropyOpen("s", new Filter { Limit = 3 }, [1, 2]),
        ];
        var accepted = 0;
        for (var i = 0; i < 30_000; i++)
        {
            var frame = frames[random.Next(frames.Length)].ToArray();
            for (var changes = random.Next(1, 4); changes > 0; changes--)
            {
                frame[random.Next(frame.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : "\"\\[]{},:0123456789 abcu"u8[random.Next(23)];
            }

            if (ClientMessageReader.TryRead(frame, out _, out _))
            {
                accepted++;
                using var model = JsonDocument.Parse(frame);
                Assert.Equal(JsonValueKind.Array, model.RootElement.ValueKind);
            }
        }

        Assert.InRange(accepted, 100, 29_000);
    }

    private static NostrEvent CreateSample()
    {
        using var key = SecretKey.Generate();
        return NostrEvent.Create(key, 445, [["h", new string('a', 64)]], "con\ntent", 1700000000);
    }
}
