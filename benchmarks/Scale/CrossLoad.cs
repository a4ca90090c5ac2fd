using System.Diagnostics;
using Marmot.Benchmarks.RelayLoad;

namespace Marmot.Benchmarks.Scale;

/// <summary>Subscribers of one group on one replica, a thread each, and one who publishes on another.</summary>
internal sealed class CrossLoad : IDisposable
{
    private readonly Peer _publishOn;
    private readonly string _group;
    private readonly List<WireConnection> _subscribers = [];
    private readonly List<Thread> _threads = [];
    private long _received;

    public CrossLoad(Peer listenOn, Peer publishOn, int subscribers, string group)
    {
        (_publishOn, _group) = (publishOn, group);
        for (var i = 0; i < subscribers; i++)
        {
            var connection = new WireConnection(listenOn.EndPoint);
            connection.Send(WireConnection.Frame($"[\"REQ\",\"live\",{{\"kinds\":[445],\"#h\":[\"{group}\"],\"limit\":0}}]"));
            connection.SkipTo("[\"EOSE\""u8);
            _subscribers.Add(connection);
            var thread = new Thread(() => Count(connection), maxStackSize: 256 * 1024) { IsBackground = true };
            thread.Start();
            _threads.Add(thread);
        }
    }

    /// <summary>Publishes as fast as OKs come and waits for the last delivery; deliveries a second.</summary>
    public double Saturate(int events)
    {
        var frames = Events.GroupEvents(events, 1, _group).Select(Events.EventFrame).ToArray();
        var wanted = Volatile.Read(ref _received) + ((long)events * _subscribers.Count);
        var started = Stopwatch.GetTimestamp();
        PublishLoad.Run(_publishOn, frames, 1, 64);
        Wait(wanted);
        return (double)events * _subscribers.Count / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    /// <summary>One event after the other; the time from the send to the last subscriber's delivery.</summary>
    public Latencies Calm(int events)
    {
        var latencies = new Latencies();
        using var publisher = new WireConnection(_publishOn.EndPoint);
        foreach (var frame in Events.GroupEvents(events, 1, _group).Select(Events.EventFrame))
        {
            var wanted = Volatile.Read(ref _received) + _subscribers.Count;
            var sent = Stopwatch.GetTimestamp();
            publisher.Send(frame);
            Wait(wanted);
            latencies.Add(Stopwatch.GetTimestamp() - sent);
            publisher.SkipTo("[\"OK\""u8);
        }

        return latencies;
    }

    public void Dispose()
    {
        _subscribers.ForEach(s => s.Dispose());
        _threads.ForEach(t => t.Join());
    }

    private void Wait(long wanted)
    {
        var started = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref _received) < wanted)
        {
            if (Stopwatch.GetElapsedTime(started).TotalSeconds > 120)
            {
                throw new TimeoutException("deliveries are missing");
            }

            Thread.Sleep(0);
        }
    }

    private void Count(WireConnection connection)
    {
        try
        {
            while (true)
            {
                if (connection.Receive().StartsWith("[\"EVENT\""u8))
                {
                    Interlocked.Increment(ref _received);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // the load is over
        }
    }
}
