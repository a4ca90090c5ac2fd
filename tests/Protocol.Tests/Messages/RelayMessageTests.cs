using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Tests.Events;

namespace Marmot.Protocol.Tests.Messages;

[Trait("Spec", "NIP-01")]
public sealed class RelayMessageTests
{
    private static readonly byte[] Subscription = RelayMessageWriter.EncodeSubscriptionId("s\"1");

    private static readonly NostrEvent Sample = CreateSample();

    public static TheoryData<RejectPrefix> Prefixes() =>
    [
        RejectPrefix.Duplicate, RejectPrefix.ProofOfWork, RejectPrefix.Blocked, RejectPrefix.RateLimited, RejectPrefix.Invalid,
        RejectPrefix.Restricted, RejectPrefix.Mute, RejectPrefix.Error, RejectPrefix.AuthRequired, RejectPrefix.Unsupported, RejectPrefix.Closed,
    ];

    [Theory]
    [MemberData(nameof(Prefixes))]
    public void Ok_and_closed_carry_each_prefix(RejectPrefix prefix)
    {
        var reason = new RejectReason(prefix, "some \"text\"");
        var ok = Write(output => RelayMessageWriter.WriteOk(output, Sample.Id, accepted: false, reason));
        Assert.Equal($"""["OK","{Sample.Id}",false,"{prefix.Label()}: some \"text\""]""", System.Text.Encoding.UTF8.GetString(ok));
        Assert.True(RelayMessageReader.TryRead(ok, out var message, out _));
        Assert.Equal((RelayMessageKind.Ok, Sample.Id, false), (message.Kind, message.EventId, message.Accepted));
        Assert.Equal(prefix, RejectPrefixes.Read(message.Prefix));

        var closed = Write(output => RelayMessageWriter.WriteClosed(output, Subscription, reason));
        Assert.True(RelayMessageReader.TryRead(closed, out message, out _));
        Assert.Equal((RelayMessageKind.Closed, "s\"1", reason.ToString()), (message.Kind, message.SubscriptionId, message.Text));
    }

    [Fact]
    public void Ok_has_its_fourth_element_even_when_there_is_nothing_to_say()
    {
        var ok = Write(output => RelayMessageWriter.WriteOk(output, Sample.Id));
        Assert.Equal($"""["OK","{Sample.Id}",true,""]""", System.Text.Encoding.UTF8.GetString(ok));
        var duplicate = Write(output => RelayMessageWriter.WriteOk(output, Sample.Id, accepted: true, RejectReason.Duplicate("already stored")));
        Assert.True(RelayMessageReader.TryRead(duplicate, out var message, out _));
        Assert.True(message.Accepted);
        Assert.Equal("duplicate: already stored", message.Text);
    }

    [Fact]
    public void Sends_the_events_bytes_as_they_are()
    {
        var frame = Write(output => RelayMessageWriter.WriteEvent(output, Subscription, Sample.Json.Span));
        Assert.Equal(RelayMessageWriter.EventSize(Subscription.Length, Sample.Json.Length), frame.Length);
        Assert.True(RelayMessageReader.TryRead(frame, out var message, out var reason), reason.ToString());
        Assert.Equal((RelayMessageKind.Event, "s\"1", Sample.Id), (message.Kind, message.SubscriptionId, message.Event.Id));
        Assert.True(message.Event.Json.SequenceEqual(Sample.Json.Span));
    }

    [Fact]
    public void Writes_and_reads_the_other_verbs()
    {
        Check(Write(output => RelayMessageWriter.WriteEose(output, Subscription)), """["EOSE","s\"1"]""", RelayMessageKind.Eose, "");
        byte[] Eose(EoseHint hint) => Write(output => RelayMessageWriter.WriteEose(output, Subscription, hint));
        Check(Eose(EoseHint.Finish), """["EOSE","s\"1",["finish"]]""", RelayMessageKind.Eose, "");
        Check(Eose(EoseHint.More), """["EOSE","s\"1",["more"]]""", RelayMessageKind.Eose, "");
        Check(Write(output => RelayMessageWriter.WriteNotice(output, "a\nb")), """["NOTICE","a\nb"]""", RelayMessageKind.Notice, "a\nb");
        Check(Write(output => RelayMessageWriter.WriteAuth(output, "c")), """["AUTH","c"]""", RelayMessageKind.Auth, "c");
        Check(
            Write(output => RelayMessageWriter.WriteNegentropyError(output, Subscription, RejectReason.Blocked("too many"))),
            """["NEG-ERR","s\"1","blocked: too many"]""", RelayMessageKind.NegErr, "blocked: too many");
        Check(Write(output => RelayMessageWriter.WriteCount(output, Subscription, 7)), """["COUNT","s\"1",{"count":7}]""", RelayMessageKind.Count, "");

        var negentropy = Write(output => RelayMessageWriter.WriteNegentropyMessage(output, Subscription, [0x61, 0xFF]));
        Check(negentropy, """["NEG-MSG","s\"1","61ff"]""", RelayMessageKind.NegMsg, "");
        RelayMessageReader.TryRead(negentropy, out var message, out _);
        Assert.True(message.NegentropyHex.SequenceEqual("61ff"u8));

        var count = Write(output => RelayMessageWriter.WriteCount(output, Subscription, long.MaxValue, isApproximate: true, "00ff"u8));
        Assert.Equal("""["COUNT","s\"1",{"count":9223372036854775807,"approximate":true,"hll":"00ff"}]""", System.Text.Encoding.UTF8.GetString(count));
        RelayMessageReader.TryRead(count, out message, out _);
        Assert.Equal(long.MaxValue, message.Count);

        static void Check(byte[] frame, string expected, RelayMessageKind kind, string text)
        {
            Assert.Equal(expected, System.Text.Encoding.UTF8.GetString(frame));
            Assert.True(RelayMessageReader.TryRead(frame, out var message, out var reason), reason.ToString());
            Assert.Equal((kind, text), (message.Kind, message.Text));
        }
    }

    [Theory]
    [InlineData("""["FUTURE",1]""", RelayMessageKind.None)]
    [InlineData("""["EOSE","s",{"later":true}]""", RelayMessageKind.Eose)]
    [InlineData("""["EOSE","s",["finish"],["more"]]""", RelayMessageKind.Eose)]
    [InlineData("""["EOSE","s",[1]]""", RelayMessageKind.Eose)]
    [InlineData("""["CLOSED","s"]""", RelayMessageKind.Closed)]
    [InlineData("""["COUNT","s",{"hll":"","count":3}]""", RelayMessageKind.Count)]
    public void Tolerates_what_a_later_relay_may_add_and_an_old_one_leave_out(string frame, RelayMessageKind kind)
    {
        Assert.True(RelayMessageReader.TryRead(NostrJson.Utf8(frame), out var message, out var reason), reason.ToString());
        Assert.Equal(kind, message.Kind);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"EVENT":1}""")]
    [InlineData("""["EVENT","s"]""")]
    [InlineData("""["EVENT","s",{}]""")]
    [InlineData("""["OK","abc",true,""]""")]
    [InlineData("""["OK"]""")]
    [InlineData("""["EOSE"]""")]
    [InlineData("""["EOSE",1]""")]
    [InlineData("""["NOTICE"]""")]
    [InlineData("""["NOTICE",1]""")]
    [InlineData("""["AUTH",null]""")]
    [InlineData("""["COUNT","s",{}]""")]
    [InlineData("""["COUNT","s",{"count":"1"}]""")]
    [InlineData("""["COUNT","s",{"count":-1}]""")]
    [InlineData("""["NEG-MSG","s","x"]""")]
    [InlineData("""["EOSE","s"] x""")]
    public void Refuses_what_no_nip_allows(string frame) =>
        Assert.False(RelayMessageReader.TryRead(NostrJson.Utf8(frame), out _, out _), frame);

    [Fact]
    public void Refuses_a_text_longer_than_its_bound()
    {
        Assert.True(RelayMessageReader.TryRead(Write(o => RelayMessageWriter.WriteNotice(o, new string('x', RelayMessageReader.MaxTextBytes))), out _, out _));
        Assert.False(
            RelayMessageReader.TryRead(Write(o => RelayMessageWriter.WriteNotice(o, new string('x', RelayMessageReader.MaxTextBytes + 1))), out _, out _));
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        byte[][] frames =
        [
            Write(output => RelayMessageWriter.WriteEvent(output, Subscription, Sample.Json.Span)),
            Write(output => RelayMessageWriter.WriteOk(output, Sample.Id, accepted: false, RejectReason.Error("é"))),
            Write(output => RelayMessageWriter.WriteCount(output, Subscription, 7)),
            Write(output => RelayMessageWriter.WriteAuth(output, "c")),
        ];
        foreach (var frame in frames)
        {
            for (var length = 0; length < frame.Length; length++)
            {
                var read = RelayMessageReader.TryRead(frame.AsSpan(0, length), out _, out _);
                Assert.False(read, length.ToString(CultureInfo.InvariantCulture));
            }
        }
    }

    [Fact]
    public void Each_frame_is_json_to_a_json_library()
    {
        var frame = Write(output => RelayMessageWriter.WriteNotice(output, "\u0000\u001f\u007f\u2028😀\"\\/"));
        using var model = JsonDocument.Parse(frame);
        Assert.Equal("\u0000\u001f\u007f\u2028😀\"\\/", model.RootElement[1].GetString());
    }

    private static byte[] Write(Action<IBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(output);
        return output.WrittenSpan.ToArray();
    }

    private static NostrEvent CreateSample()
    {
        using var key = SecretKey.Generate();
        return NostrEvent.Create(key, 445, [["h", new string('a', 64)]], "con\ntent", 1700000000);
    }

    [Theory]
    [Trait("Spec", "NIP-67")]
    [InlineData("""["EOSE","s"]""", EoseHint.None)]
    [InlineData("""["EOSE","s",[]]""", EoseHint.None)]
    [InlineData("""["EOSE","s",["finish"]]""", EoseHint.Finish)]
    [InlineData("""["EOSE","s",["more"]]""", EoseHint.More)]
    [InlineData("""[ "EOSE" , "s" , [ "later" , "finish" ] ]""", EoseHint.Finish)]
    [InlineData("""["EOSE","s",["finish","more"]]""", EoseHint.More)]
    [InlineData("""["EOSE","s",["more","finish"]]""", EoseHint.More)]
    [InlineData("""["EOSE","s",["Finish"]]""", EoseHint.None)]
    [InlineData("""["EOSE","s",["finish",1]]""", EoseHint.None)]
    [InlineData("""["EOSE","s","finish"]""", EoseHint.None)]
    [InlineData("""["EOSE","s",{"finish":true}]""", EoseHint.None)]
    public void Reads_what_an_EOSE_says_about_completeness_and_ignores_what_it_does_not_know(string frame, EoseHint hint)
    {
        Assert.True(RelayMessageReader.TryRead(System.Text.Encoding.UTF8.GetBytes(frame), out var message, out var reason), reason.ToString());
        Assert.Equal(hint, message.Hint);
    }

    [Theory]
    [Trait("Spec", "NIP-67")]
    [InlineData("""["EOSE","s",["finish" "more"]]""")]
    [InlineData("""["EOSE","s",["finish"]""")]
    [InlineData("""["EOSE","s",["finish",]]""")]
    public void An_EOSE_that_is_no_JSON_is_refused(string frame) =>
        Assert.False(RelayMessageReader.TryRead(System.Text.Encoding.UTF8.GetBytes(frame), out _, out _));
}
