using System.Buffers;
using System.IO.Compression;
using System.Text;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Tests.Connections;

[Trait("Spec", "RFC 7692")]
public sealed class PerMessageDeflateTests
{
    private const string Agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    [Theory]
    [InlineData("permessage-deflate", Agreed)]
    [InlineData("permessage-deflate; client_max_window_bits", Agreed)]
    [InlineData("x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=15; server_no_context_takeover", Agreed)]
    [InlineData("permessage-deflate;client_no_context_takeover ; server_max_window_bits = \"10\"", Agreed + "; server_max_window_bits=10")]
    [InlineData("permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=8", Agreed + "; server_max_window_bits=8")]
    [InlineData("", null)]
    [InlineData("deflate-frame", null)]
    [InlineData("permessage-deflate; unknown", null)]
    [InlineData("permessage-deflate; server_no_context_takeover=1", null)]
    [InlineData("permessage-deflate; client_no_context_takeover; client_no_context_takeover", null)]
    [InlineData("permessage-deflate; server_max_window_bits", null)]
    [InlineData("permessage-deflate; server_max_window_bits=08", null)]
    [InlineData("permessage-deflate; server_max_window_bits=16", null)]
    [InlineData("permessage-deflate; client_max_window_bits=", null)]
    public void Agrees_to_the_first_acceptable_offer_without_context_takeover(string offers, string? answer) =>
        Assert.Equal(answer, PerMessageDeflate.Negotiate(offers));

    // "Hello" as RFC 7692, 7.2.3.1 to 7.2.3.5 has it: one block, no compression, BFINAL, two blocks.
    [Theory]
    [InlineData("f248cdc9c90700")]
    [InlineData("000500faff48656c6c6f00")]
    [InlineData("f348cdc9c9070000")]
    [InlineData("f248050000 00ffffcac9c90700")]
    public void Reads_the_examples_of_the_rfc(string hex)
    {
        var compressed = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal((FrameResult.Complete, "Hello"), Receive(compressed, compressed.Length, maxBytes: 100));
    }

    [Fact]
    public void Restores_a_message_cut_into_fragments_at_every_byte()
    {
        var text = string.Concat(Enumerable.Range(0, 60).Select(i => $"[\"EVENT\",\"id{i % 7}\"]"));
        var compressed = Compress(Encoding.UTF8.GetBytes(text));
        for (var cut = 0; cut <= compressed.Length; cut++)
        {
            Assert.Equal((FrameResult.Complete, text), Receive(compressed, cut, maxBytes: text.Length));
        }
    }

    [Fact]
    public void Stops_at_the_limit_however_much_a_message_would_become()
    {
        var bomb = Compress(new byte[100_000_000]);
        Assert.True(bomb.Length < 600_000);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(FrameResult.TooLarge, Receive(bomb, bomb.Length, maxBytes: 600_000).Result);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8_000_000);
        Assert.Equal(FrameResult.Complete, Receive(Compress(new byte[5000]), 0, maxBytes: 5000).Result);
        Assert.Equal(FrameResult.TooLarge, Receive(Compress(new byte[5001]), 0, maxBytes: 5000).Result);
    }

    [Theory]
    [InlineData("07")] // the reserved block type
    [InlineData("000500ffff48656c6c6f00")] // LEN and NLEN disagree
    [InlineData("4a040400")] // a back-reference to before the message: nothing of another one is there
    public void Refuses_broken_deflate_data(string hex)
    {
        var compressed = Convert.FromHexString(hex);
        Assert.Equal(FrameResult.Violation, Receive(compressed, compressed.Length, maxBytes: 100).Result);
    }

    [Fact]
    public void A_message_after_a_compressed_one_stands_for_itself()
    {
        using var batch = new MessageBatch();
        foreach (var (first, payload) in new[] { (0xC1, Compress("one"u8.ToArray())), (0x81, "two"u8.ToArray()), (0xC1, Compress(new byte[9000])),
            (0x81, "four"u8.ToArray()) })
        {
            Append(batch, (byte)first, payload);
            Assert.Equal(first == 0xC1, batch.IsLastDeflated);
            if (batch.IsLastDeflated)
            {
                Assert.Equal(FrameResult.Complete, batch.InflateLast(10_000));
                Assert.False(batch.IsLastDeflated);
            }
        }

        Assert.Equal(["one", "two", new string('\0', 9000), "four"], Enumerable.Range(0, batch.Count).Select(i => Encoding.UTF8.GetString(batch[i].Span)));
        Assert.Equal(9003, batch.TakeInflatedBytes());
        Assert.Equal(0, batch.TakeInflatedBytes());
    }

    [Theory]
    [InlineData(0xC1, true, FrameResult.Complete)]
    [InlineData(0x41, true, FrameResult.Complete)]
    [InlineData(0xC1, false, FrameResult.Violation)] // not agreed on
    [InlineData(0xC0, true, FrameResult.Violation)] // a fragment that is not the first
    [InlineData(0xC8, true, FrameResult.Violation)]
    [InlineData(0xC9, true, FrameResult.Violation)]
    [InlineData(0xCA, true, FrameResult.Violation)]
    [InlineData(0xA1, true, FrameResult.Violation)] // RSV2
    [InlineData(0x91, true, FrameResult.Violation)] // RSV3
    public void The_mark_of_compression_stands_on_the_first_frame_of_a_message_only(byte first, bool agreed, object expected)
    {
        var source = new ReadOnlySequence<byte>([first, 0x80, 0, 0, 0, 0]);
        Assert.Equal((FrameResult)expected, WebSocketFrame.TryRead(ref source, 100, out var frame, agreed));
        Assert.Equal((FrameResult)expected == FrameResult.Complete, frame.IsDeflated);
    }

    [Theory]
    [InlineData(MessageDeflater.MinSize)]
    [InlineData(2000)]
    [InlineData(200_000)]
    public void One_compressed_event_follows_the_head_of_every_subscription(int size)
    {
        var random = new Random(size);
        foreach (var head in new[] { "[\"EVENT\",\"a\",", "[\"EVENT\",\"" + new string('b', 64) + "\"," })
        {
            var json = Encoding.UTF8.GetBytes(new string([.. Enumerable.Range(0, size).Select(_ => "0123456789abcdef"[random.Next(16)])]));
            var deflated = MessageDeflater.TryDeflate(json, "]"u8);
            Assert.NotNull(deflated);
            Assert.InRange(deflated.Length, 0, size * 3 / 4);
            byte[] message = [.. PerMessageDeflate.ToStoredBlock(Encoding.UTF8.GetBytes(head)), .. deflated];
            Assert.Equal((FrameResult.Complete, head + Encoding.UTF8.GetString(json) + "]"), Receive(message, message.Length, maxBytes: size + 100));
        }
    }

    [Fact]
    public void Leaves_alone_what_compression_does_not_shorten()
    {
        var random = new byte[4000];
        new Random(1).NextBytes(random);
        Assert.Null(MessageDeflater.TryDeflate(random, default));
        Assert.Null(MessageDeflater.TryDeflate(new byte[MessageDeflater.MinSize - 1], default));
    }

    /// <summary>As a client's library does: all of DEFLATE, the tail cut.</summary>
    internal static byte[] Compress(byte[] message)
    {
        using var output = new MemoryStream();
        using var deflate = new DeflateStream(output, CompressionLevel.Optimal);
        deflate.Write(message);
        deflate.Flush();
        return output.ToArray()[..^4];
    }

    private static (FrameResult Result, string Text) Receive(byte[] compressed, int cut, int maxBytes)
    {
        using var batch = new MessageBatch();
        Append(batch, 0x41, compressed[..cut]);
        batch.Clear(); // as between two reads
        Append(batch, 0x80, compressed[cut..]);
        Assert.True(batch.IsLastDeflated);
        var result = batch.InflateLast(maxBytes);
        return (result, result == FrameResult.Complete ? Encoding.UTF8.GetString(batch[0].Span) : "");
    }

    private static void Append(MessageBatch batch, byte first, byte[] payload)
    {
        var header = new byte[WebSocketFrame.MaxServerHeaderSize];
        var size = WebSocketFrame.WriteHeader(header, default, payload.Length);
        (header[0], header[1]) = (first, (byte)(header[1] | 0x80));
        var source = new ReadOnlySequence<byte>([.. header[..size], 0, 0, 0, 0, .. payload]);
        Assert.Equal(FrameResult.Complete, WebSocketFrame.TryRead(ref source, 1 << 20, out var frame, deflates: true));
        batch.Append(frame);
    }
}
