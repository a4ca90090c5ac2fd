using System.Diagnostics;
using System.Net.Sockets;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>Many subscribers of one group on one thread's worth of asynchronous reads, and one who publishes.</summary>
/// <remarks>
/// For latencies only every twentieth reads meanwhile: a thousand readers in this process would make each other and the relay wait for the
/// same cores, which readers on their own machines do not. The relay writes to all of them; their sockets hold what nobody reads yet.
/// </remarks>
internal sealed class FanOutLoad : IDisposable
{
    private readonly Peer _peer;
    private readonly List<Subscriber> _subscribers = [];
    private readonly List<Socket> _silent = [];
    private readonly string _group;

    /// <param name="peer">The relay.</param>
    /// <param name="subscribers">How many.</param>
    /// <param name="group">What they subscribe to.</param>
    /// <param name="readEvery">1: all read; 20: every twentieth.</param>
    public FanOutLoad(Peer peer, int subscribers, string group, int readEvery = 1)
    {
        _peer = peer;
        _group = group;
        for (var i = 0; i < subscribers; i++)
        {
            var connection = new WireConnection(peer.EndPoint);
            connection.Send(WireConnection.Frame($"[\"REQ\",\"live\",{{\"kinds\":[445],\"#h\":[\"{group}\"],\"limit\":0}}]"));
            connection.SkipTo("[\"EOSE\""u8);
            if (i % readEvery == 0)
            {
                _subscribers.Add(new Subscriber(connection.Socket));
            }
            else
            {
                _silent.Add(connection.Socket);
            }
        }

        _subscribers.ForEach(s => s.Start());
    }

    /// <summary>Publishes as fast as OKs come and waits for the last delivery; deliveries a second and CPU of the relay for each.</summary>
    public (double PerSecond, double CpuMicroseconds) Saturate(int events)
    {
        var frames = Events.GroupEvents(events, 1, _group).Select(Events.EventFrame).ToArray();
        var before = _subscribers.Sum(s => s.Received);
        var cpu = _peer.Cpu;
        var started = Stopwatch.GetTimestamp();
        PublishLoad.Run(_peer, frames, 1, 64);
        var wanted = before + ((long)events * _subscribers.Count);
        while (_subscribers.Sum(s => s.Received) < wanted)
        {
            if (Stopwatch.GetElapsedTime(started).TotalSeconds > 120 || _subscribers.Exists(s => s.Ended))
            {
                return (double.NaN, double.NaN);
            }

            Thread.Sleep(1);
        }

        return ((wanted - before) / Stopwatch.GetElapsedTime(started).TotalSeconds, (_peer.Cpu - cpu).TotalMicroseconds / (wanted - before));
    }

    /// <summary>Publishes at a calm rate; the time from each send to each delivery.</summary>
    public Latencies Calm(int events, TimeSpan pause)
    {
        var frames = Events.GroupEvents(events, 1, _group).Select(Events.EventFrame).ToArray();
        var latencies = new Latencies();
        using var publisher = new WireConnection(_peer.EndPoint);
        foreach (var frame in frames)
        {
            var before = _subscribers.Sum(s => s.Received);
            var sent = Stopwatch.GetTimestamp();
            publisher.Send(frame);
            publisher.SkipTo("[\"OK\""u8);
            Thread.Sleep(pause);
            while (_subscribers.Sum(s => s.Received) < before + _subscribers.Count && Stopwatch.GetElapsedTime(sent).TotalSeconds < 10)
            {
                Thread.Sleep(1);
            }

            _subscribers.ForEach(s => latencies.Add(Volatile.Read(ref s.LastAt) - sent));
        }

        return latencies;
    }

    public void Dispose()
    {
        _subscribers.ForEach(s => s.Dispose());
        _silent.ForEach(s => s.Dispose());
    }

    private sealed class Subscriber(Socket socket) : IDisposable
    {
        private readonly byte[] _buffer = new byte[16 * 1024];
        private int _kept;
        private long _received;

        public long LastAt;

        public long Received => Volatile.Read(ref _received);

        public volatile bool Ended;

        public void Start() => _ = ReadAsync();

        public void Dispose() => socket.Dispose();

        private async Task ReadAsync()
        {
            try
            {
                while (true)
                {
                    var read = await socket.ReceiveAsync(_buffer.AsMemory(_kept));
                    if (read == 0)
                    {
                        Ended = true;
                        return;
                    }

                    Count(_kept + read);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                Ended = true;
            }
        }

        private void Count(int end)
        {
            var at = 0;
            var events = 0;
            while (WireConnection.TryTake(_buffer.AsSpan(at, end - at), out var size, out var payload))
            {
                events += _buffer.AsSpan(at + size - payload).StartsWith("[\"EVENT\""u8) ? 1 : 0;
                at += size;
            }

            Buffer.BlockCopy(_buffer, at, _buffer, 0, end - at);
            _kept = end - at;
            Volatile.Write(ref LastAt, Stopwatch.GetTimestamp());
            Volatile.Write(ref _received, _received + events);
        }
    }
}
