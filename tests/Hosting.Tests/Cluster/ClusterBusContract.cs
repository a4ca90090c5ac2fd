using System.Text;
using Marmot.Hosting.Cluster;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>What every bus does; each implementation derives.</summary>
public abstract class ClusterBusContract
{
    /// <summary>One more member of the same cluster, connected.</summary>
    private protected abstract Task<IClusterBus> JoinAsync();

    private protected async Task<(IClusterBus Bus, Ear Ear)> JoinAndListenAsync(string channel)
    {
        var bus = await JoinAsync();
        var ear = new Ear();
        bus.Subscribe(channel, ear);
        await Eventually.TrueAsync(() => bus.IsConnected && ear.Gaps > 0, "the gap that starts a subscription");
        return (bus, ear);
    }

    [Fact]
    public async Task Is_heard_by_all_others_and_not_by_itself()
    {
        var (a, earA) = await JoinAndListenAsync("x");
        var (b, earB) = await JoinAndListenAsync("x");
        var (c, earC) = await JoinAndListenAsync("x");
        await using (a)
        await using (b)
        await using (c)
        {
            a.Publish("x", "from a"u8.ToArray());
            b.Publish("x", "from b"u8.ToArray());
            await earA.HearsAsync("from b");
            await earB.HearsAsync("from a");
            await earC.HearsAsync("from a", "from b");
        }
    }

    [Fact]
    public async Task Keeps_the_order_of_each_sender()
    {
        var (a, _) = await JoinAndListenAsync("x");
        var (b, _) = await JoinAndListenAsync("x");
        var (c, ear) = await JoinAndListenAsync("x");
        await using (a)
        await using (b)
        await using (c)
        {
            for (var i = 0; i < 2000; i++)
            {
                a.Publish("x", Encoding.ASCII.GetBytes($"a{i}"));
                b.Publish("x", Encoding.ASCII.GetBytes($"b{i}"));
            }

            await Eventually.TrueAsync(() => ear.Count == 4000, "all messages");
            var heard = ear.Heard;
            Assert.Equal(Enumerable.Range(0, 2000).Select(i => $"a{i}"), heard.Where(m => m[0] == 'a'));
            Assert.Equal(Enumerable.Range(0, 2000).Select(i => $"b{i}"), heard.Where(m => m[0] == 'b'));
            Assert.Equal(1, ear.Gaps);
        }
    }

    [Fact]
    public async Task Keeps_channels_apart_and_carries_several()
    {
        var (a, _) = await JoinAndListenAsync("x");
        var (b, earX) = await JoinAndListenAsync("x");
        var earY = new Ear();
        await using (a)
        await using (b)
        {
            var leaving = b.Subscribe("y", earY);
            await Eventually.TrueAsync(() => earY.Gaps > 0 && b.IsConnected, "the second subscription");
            a.Publish("x", "for x"u8.ToArray());
            a.Publish("y", "for y"u8.ToArray());
            a.Publish("z", "for nobody"u8.ToArray());
            a.Publish("x", "last"u8.ToArray());
            await earX.HearsAsync("for x", "last");
            await earY.HearsAsync("for y");
            leaving.Dispose();
            a.Publish("y", "after"u8.ToArray());
            a.Publish("x", "end"u8.ToArray());
            await earX.HearsAsync("for x", "last", "end");
            Assert.Equal(1, earY.Count);
        }
    }

    [Fact]
    public async Task Carries_large_messages_and_empty_ones_and_any_bytes()
    {
        var (a, _) = await JoinAndListenAsync("x");
        var (b, ear) = await JoinAndListenAsync("x");
        await using (a)
        await using (b)
        {
            var large = new byte[300_000];
            new Random(1).NextBytes(large);
            byte[] odd = [0, 13, 10, 255, 0];
            a.Publish("x", large);
            a.Publish("x", odd);
            await Eventually.TrueAsync(() => ear.Count == 2, "both");
            Assert.Equal(large, ear.Bytes[0]);
            Assert.Equal(odd, ear.Bytes[1]);
        }
    }

    internal sealed class Ear : IClusterListener
    {
        private readonly Lock _lock = new();
        private readonly List<byte[]> _messages = [];
        private int _gaps;

        public int Gaps => Volatile.Read(ref _gaps);

        public int Count
        {
            get
            {
                lock (_lock)
                {
                    return _messages.Count;
                }
            }
        }

        public List<byte[]> Bytes
        {
            get
            {
                lock (_lock)
                {
                    return [.. _messages];
                }
            }
        }

        public List<string> Heard => [.. Bytes.Select(m => Encoding.ASCII.GetString(m))];

        public void OnMessage(ReadOnlyMemory<byte> message)
        {
            lock (_lock)
            {
                _messages.Add(message.ToArray());
            }
        }

        public void OnGap() => Interlocked.Increment(ref _gaps);

        public async Task HearsAsync(params string[] expected)
        {
            await Eventually.TrueAsync(() => Count >= expected.Length, string.Join(", ", expected));
            Assert.Equal(expected.Order(), Heard.Order());
        }
    }
}

public sealed class InProcessBusTests : ClusterBusContract
{
    private readonly InProcessHub _hub = new();

    private protected override Task<IClusterBus> JoinAsync() => Task.FromResult<IClusterBus>(new InProcessBus(_hub));
}
