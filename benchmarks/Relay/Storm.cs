using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>How much of everything a storm has.</summary>
internal sealed record StormSize(int Idle, int SlowReaders, int HalfOpen, double Seconds)
{
    public static readonly StormSize Full = new(10_000, 200, 500, 10);
}

/// <summary>What a storm did to the honest.</summary>
/// <param name="IdleOpen">Idle subscribers that could be opened; the file limit may end it.</param>
/// <param name="QuietP99">Milliseconds to an honest OK before.</param>
/// <param name="StormP99">Milliseconds to an honest OK meanwhile.</param>
/// <param name="Unanswered">Honest events without OK true, in both runs.</param>
/// <param name="IdleLost">Idle subscribers that were cut off or do not answer any more.</param>
/// <param name="HostileActs">How much the hostile side got done.</param>
internal readonly record struct StormResult(int IdleOpen, double QuietP99, double StormP99, int Unanswered, int IdleLost, long HostileActs);

/// <summary>Honest publishers and subscribers, first alone, then among slow readers, floods of malformed frames, bad signatures and giant filters, churn and half-open sockets.</summary>
/// <remarks>The hostile come from 127.0.0.2, so that budgets by address tell them from the honest on 127.0.0.1; the relay must count loopback.</remarks>
internal sealed class Storm(IPEndPoint relay, StormSize size, IFlood flood) : IDisposable
{
    private readonly List<Socket> _open = [];

    public StormResult Run()
    {
        // 1. Many who only listen.
        var idle = OpenIdle();

        // 2. The honest alone, then among the hostile.
        var quiet = PublishHonestly(out var missing);
        StartHostile();
        var storm = PublishHonestly(out var missingInStorm);
        var acts = flood.Stop();

        // 3. Those who only listened are still served.
        var lost = idle.Count(i => !IsServed(i));
        return new StormResult(idle.Count, quiet.At(0.99), storm.At(0.99), missing + missingInStorm, lost, acts);
    }

    public void Dispose() => _open.ForEach(s => s.Dispose());

    private List<Socket> OpenIdle()
    {
        var idle = new List<Socket>();
        try
        {
            for (var i = 0; i < size.Idle; i++)
            {
                var connection = new WireConnection(relay);
                connection.Send(WireConnection.Frame($"[\"REQ\",\"live\",{{\"kinds\":[445],\"#h\":[\"{i:x64}\"]}}]"));
                connection.SkipTo("[\"EOSE\""u8);
                idle.Add(connection.Socket);
                _open.Add(connection.Socket);
            }
        }
        catch (SocketException)
        {
            // the file limit
        }

        return idle;
    }

    // A CLOSE that needs no answer, then a COUNT that does.
    private static bool IsServed(Socket socket)
    {
        try
        {
            socket.Send(WireConnection.Frame("[\"COUNT\",\"c\",{\"ids\":[]}]"));
            var buffer = new byte[4096];
            var read = socket.Receive(buffer);
            return read > 0 && buffer.AsSpan(0, read).IndexOf("\"COUNT\""u8) >= 0;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private Latencies PublishHonestly(out int missing)
    {
        var latencies = new Latencies();
        var frames = Events.GroupEvents((int)(size.Seconds * 50), 8).Select(Events.EventFrame).ToArray();
        using var publisher = new WireConnection(relay);
        missing = 0;
        foreach (var frame in frames)
        {
            var sent = Stopwatch.GetTimestamp();
            publisher.Send(frame);
            while (true)
            {
                var message = publisher.Receive();
                if (message.StartsWith("[\"OK\""u8))
                {
                    missing += message[73] == (byte)'t' ? 0 : 1;
                    break;
                }
            }

            var taken = Stopwatch.GetTimestamp() - sent;
            latencies.Add(taken);
            var left = TimeSpan.FromMilliseconds(20) - Stopwatch.GetElapsedTime(sent);
            if (left > TimeSpan.Zero)
            {
                Thread.Sleep(left);
            }
        }

        return latencies;
    }

    private void StartHostile()
    {
        OpenSlowReaders();
        for (var i = 0; i < size.HalfOpen; i++)
        {
            if (TryConnect(out var socket))
            {
                _open.Add(socket);
                TrySend(socket, "GET / HTTP/1.1\r\nHost: x\r\nUpgr"u8);
            }
        }

        flood.Start();
    }

    private void OpenSlowReaders()
    {
        for (var i = 0; i < size.SlowReaders; i++)
        {
            if (TryConnect(out var socket))
            {
                _open.Add(socket); // and never reads
                socket.ReceiveBufferSize = 4096;
                TrySend(socket, WireConnection.Handshake(relay));
                for (var k = 0; k < 20; k++)
                {
                    TrySend(socket, WireConnection.Frame($"[\"REQ\",\"s{k}\",{{\"limit\":5000}}]"));
                }
            }
        }
    }

    private static void TrySend(Socket socket, ReadOnlySpan<byte> bytes)
    {
        try
        {
            socket.Send(bytes);
        }
        catch (SocketException)
        {
            // the relay has cut it off already
        }
    }

    private bool TryConnect(out Socket socket)
    {
        socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(Flood.Address, 0));
            socket.Connect(relay);
            return true;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return false;
        }
    }
}
