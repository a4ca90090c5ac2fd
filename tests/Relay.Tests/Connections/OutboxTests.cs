using Marmot.Relay.Connections;

namespace Marmot.Relay.Tests.Connections;

public sealed class OutboxTests
{
    /// <summary>A client that does not read.</summary>
    private sealed class StuckStream : MemoryStream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            new(new TaskCompletionSource().Task);
    }

    [Fact]
    public void Allows_each_slow_reader_less_while_all_together_hold_too_much()
    {
        var memory = new OutboxMemory(1 << 20);
        List<string> dropped = [];
        using var stream = new StuckStream();
        var first = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add("first " + reason));
        var second = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add("second " + reason));
        var frame = new byte[100 * 1024];
        for (var i = 0; i < 11; i++)
        {
            first.Send(frame); // the last one is a little too much for all together
        }

        Assert.Empty(dropped);
        Assert.True(memory.Bytes >= 11 * frame.Length);
        for (var i = 0; i < 4; i++)
        {
            second.Send(frame);
        }

        Assert.Equal(["second reads too slowly"], dropped);
        first.Release();
        second.Release();
        Assert.Equal(0, memory.Bytes);
        var third = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add("third " + reason));
        for (var i = 0; i < 5; i++)
        {
            third.Send(frame);
        }

        Assert.Single(dropped);
        third.Release();
    }
}
