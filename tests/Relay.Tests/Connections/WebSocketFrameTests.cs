using System.Buffers;
using System.Text;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Tests.Connections;

public sealed class WebSocketFrameTests
{
    private static byte[] ClientFrame(FrameOpcode opcode, byte[] payload, bool final = true)
    {
        var header = new byte[WebSocketFrame.MaxServerHeaderSize];
        var size = WebSocketFrame.WriteHeader(header, opcode, payload.Length);
        header[1] |= 0x80;
        if (!final)
        {
            header[0] &= 0x7F;
        }

        byte[] mask = [1, 2, 3, 4];
        return [.. header[..size], .. mask, .. payload.Select((b, i) => (byte)(b ^ mask[i % 4]))];
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(125)]
    [InlineData(126)]
    [InlineData(65535)]
    [InlineData(65536)]
    public void Reads_every_length_form(int length)
    {
        var payload = Enumerable.Range(0, length).Select(i => (byte)i).ToArray();
        var source = new ReadOnlySequence<byte>(ClientFrame(FrameOpcode.Text, payload));
        Assert.Equal(FrameResult.Complete, WebSocketFrame.TryRead(ref source, 1 << 20, out var frame));
        var copy = new byte[length];
        frame.CopyTo(copy);
        Assert.Equal(payload, copy);
        Assert.True(source.IsEmpty);
    }

    [Fact]
    public void Waits_at_every_cut_point()
    {
        var bytes = ClientFrame(FrameOpcode.Text, Encoding.UTF8.GetBytes(new string('a', 200)));
        for (var cut = 0; cut < bytes.Length; cut++)
        {
            var source = new ReadOnlySequence<byte>(bytes, 0, cut);
            Assert.Equal(FrameResult.Incomplete, WebSocketFrame.TryRead(ref source, 1 << 20, out _));
            Assert.Equal(cut, source.Length);
        }
    }

    [Theory]
    [InlineData(0x81, 0x05, FrameResult.Violation)] // no mask
    [InlineData(0xC1, 0x85, FrameResult.Violation)] // reserved bit
    [InlineData(0x83, 0x85, FrameResult.Violation)] // unknown opcode
    [InlineData(0x09, 0x80, FrameResult.Violation)] // fragmented ping
    [InlineData(0x89, 0xFE, FrameResult.Violation)] // long ping
    public void Refuses_what_the_rfc_forbids(byte first, byte second, object expected)
    {
        var source = new ReadOnlySequence<byte>([first, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Assert.Equal((FrameResult)expected, WebSocketFrame.TryRead(ref source, 100, out _));
    }

    [Fact]
    public void Refuses_a_frame_longer_than_allowed_before_its_payload_is_there()
    {
        var source = new ReadOnlySequence<byte>(ClientFrame(FrameOpcode.Text, new byte[200]), 0, 10);
        Assert.Equal(FrameResult.TooLarge, WebSocketFrame.TryRead(ref source, 100, out _));
    }

    [Fact]
    public void Joins_fragments_into_one_message()
    {
        using var batch = new MessageBatch();
        foreach (var (opcode, text, final) in new[] { (FrameOpcode.Text, "[\"CL", false), (FrameOpcode.Continuation, "OSE\",", false),
            (FrameOpcode.Continuation, "\"x\"]", true) })
        {
            var source = new ReadOnlySequence<byte>(ClientFrame(opcode, Encoding.UTF8.GetBytes(text), final));
            Assert.Equal(FrameResult.Complete, WebSocketFrame.TryRead(ref source, 100, out var frame));
            batch.Append(frame);
            Assert.Equal(!final, batch.IsInMessage);
            if (!final)
            {
                batch.Clear(); // as between two reads
            }
        }

        Assert.Equal("[\"CLOSE\",\"x\"]", Encoding.UTF8.GetString(batch[0].Span));
    }
}
