using System.Net;
using System.Net.Sockets;
using Marmot.Relay.Replies;

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
        List<(string, ConnectionEnd)> dropped = [];
        using var stream = new StuckStream();
        var first = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add(("first", reason)));
        var second = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add(("second", reason)));
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

        Assert.Equal([("second", ConnectionEnd.ReadsTooSlowly)], dropped);
        first.Release();
        second.Release();
        Assert.Equal(0, memory.Bytes);
        var third = new Outbox(stream, memory, 8 << 20, TimeSpan.FromMinutes(1), reason => dropped.Add(("third", reason)));
        for (var i = 0; i < 5; i++)
        {
            third.Send(frame);
        }

        Assert.Single(dropped);
        third.Release();
    }

    [Fact]
    public void A_frame_larger_than_the_limit_is_taken_while_a_small_one_is_under_way_and_the_next_one_is_not()
    {
        List<(string, ConnectionEnd)> dropped = [];
        using var stream = new StuckStream();
        var outbox = new Outbox(stream, new OutboxMemory(1 << 20), maxBytes: 1000, TimeSpan.FromMinutes(1), reason => dropped.Add(("only", reason)));
        outbox.Send(new byte[100]);
        outbox.Flush();
        outbox.Send(new byte[5000]);
        Assert.Empty(dropped);
        outbox.Send(new byte[1]);
        Assert.Equal([("only", ConnectionEnd.ReadsTooSlowly)], dropped);
        outbox.Release();
    }

    [Fact]
    public void A_flush_has_written_what_the_socket_takes_when_it_returns()
    {
        var (server, client) = Connect();
        using (server)
        using (client)
        {
            var outbox = new Outbox(Stream.Null, new OutboxMemory(1 << 20), 1 << 20, TimeSpan.FromMinutes(1), _ => { }, server);
            outbox.Send("one"u8);
            Assert.Equal(0, client.Available);
            outbox.Send("two"u8);
            outbox.Flush();
            Assert.Equal(0, outbox.PendingBytes);
            var buffer = new byte[64];
            Assert.Equal("\u0081\u0003one\u0081\u0003two", System.Text.Encoding.Latin1.GetString(buffer, 0, client.Receive(buffer)));
        }
    }

    [Fact]
    public async Task Everything_arrives_once_and_in_order_at_a_reader_that_begins_late()
    {
        const int Frames = 3000, FrameSize = 4096 - 4; // with their headers 12 MB: more than sockets hold
        var (server, client) = Connect();
        using (server)
        using (client)
        {
            var outbox = new Outbox(Stream.Null, new OutboxMemory(1 << 30), 1 << 30, TimeSpan.FromMinutes(1), reason => Assert.Fail(reason.Label()), server);
            var frame = new byte[FrameSize];
            for (var i = 0; i < Frames; i++)
            {
                BitConverter.TryWriteBytes(frame, i);
                outbox.Send(frame);
            }

            outbox.Flush();
            Assert.True(outbox.PendingBytes > 0);
            var buffer = new byte[4096];
            for (var i = 0; i < Frames; i++)
            {
                for (var got = 0; got < buffer.Length;)
                {
                    got += await client.ReceiveAsync(buffer.AsMemory(got));
                }

                Assert.Equal(i, BitConverter.ToInt32(buffer, 4));
            }

            await outbox.WaitAsync(0, CancellationToken.None);
            Assert.Equal(0, outbox.PendingBytes);
        }
    }

    private static (Socket Server, Socket Client) Connect()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect((IPEndPoint)listener.LocalEndpoint);
        var server = listener.AcceptSocket();
        server.Blocking = false;
        return (server, client);
    }
}
