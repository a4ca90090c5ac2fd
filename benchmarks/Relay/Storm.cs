using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>How much of everything a storm has.</summary>
internal sealed record StormSize(int Idle, int SlowReaders, int HalfOpen, int Seconds)
{
    public static readonly StormSize Full = new(10_000, 200, 500, 30);
}

/// <summary>What a storm did to the honest.</summary>
/// <param name="IdleOpen">Idle subscribers that could be opened; the file limit may end it.</param>
/// <param name="Quiet">Times to an honest OK before.</param>
/// <param name="Storm">Times to an honest OK meanwhile.</param>
/// <param name="Onset">The same in the first second, while the hostile still have their burst.</param>
/// <param name="QuietDisk">Times of one flush of the same disk between two honest events, before.</param>
/// <param name="StormDisk">The same meanwhile: what the storm costs anybody who waits for this disk on these cores.</param>
/// <param name="Unanswered">Honest events without OK true, in both runs.</param>
/// <param name="IdleLost">Idle subscribers that were cut off or do not answer any more.</param>
/// <param name="HostileActs">How much the hostile side got done.</param>
internal sealed record StormResult(
    int IdleOpen, Latencies Quiet, Latencies Storm, Latencies Onset, Latencies QuietDisk, Latencies StormDisk, int Unanswered, int IdleLost, long HostileActs);

/// <summary>Honest publishers and subscribers, first alone, then among slow readers, floods of malformed frames, bad signatures and giant filters, churn and
/// half-open sockets.</summary>
/// <param name="relay">The relay.</param>
/// <param name="size">How much of everything.</param>
/// <param name="flood">The hostile.</param>
/// <param name="directory">A directory on the relay's disk.</param>
/// <remarks>
/// The hostile come from 127.0.0.2, so that budgets by address tell them from the honest on 127.0.0.1 and the idle on 127.0.1.x; the relay
/// must count loopback. A relay that is attacked has been running for a while: it has seen each kind of message before anything is measured,
/// from an address of its own.
/// </remarks>
internal sealed class Storm(IPEndPoint relay, StormSize size, IFlood flood, string directory) : IDisposable
{
    private const int PerSecond = 50;
    private const int IdleAddresses = 16;
    private static readonly IPAddress WarmUpAddress = IPAddress.Parse("127.0.0.3");
    private readonly List<Socket> _open = [];

    public StormResult Run()
    {
        // 1. Many who only listen.
        var idle = OpenIdle();

        // 2. Some seconds of everything.
        using (var first = new Flood(relay, WarmUpAddress))
        {
            first.Start();
            PublishHonestly(Math.Min(3, size.Seconds) * PerSecond, out _, out _);
            first.Stop();
        }

        // 3. The honest alone, then among the hostile.
        var events = size.Seconds * PerSecond;
        var quiet = PublishHonestly(events, out var quietDisk, out var missing);
        StartHostile();
        var onset = PublishHonestly(PerSecond, out var stormDisk, out var missingInStorm);
        var storm = PublishHonestly(events - PerSecond, out var laterDisk, out var missingLater);
        storm.AddAll(onset);
        stormDisk.AddAll(laterDisk);
        var acts = flood.Stop();

        // 4. Those who only listened are still served.
        var lost = idle.Count(i => !IsServed(i));
        return new StormResult(idle.Count, quiet, storm, onset, quietDisk, stormDisk, missing + missingInStorm + missingLater, lost, acts);
    }

    public void Dispose() => _open.ForEach(s => s.Dispose());

    private List<Socket> OpenIdle()
    {
        var idle = new List<Socket>();
        try
        {
            for (var i = 0; i < size.Idle; i++)
            {
                var connection = new WireConnection(relay, new IPAddress([127, 0, 1, (byte)(i % IdleAddresses)]));
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

    // Every 20 ms an event, so fifty a second, and 10 ms after it a flush of a file beside the relay's.
    private Latencies PublishHonestly(int events, out Latencies disk, out int missing)
    {
        var latencies = new Latencies();
        disk = new Latencies();
        using var probe = new DiskProbe(directory);
        var frames = Events.GroupEvents(events, 8).Select(Events.EventFrame).ToArray();
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
            SleepUntil(sent, TimeSpan.FromMilliseconds(10));
            disk.Add(probe.Flush());
            SleepUntil(sent, TimeSpan.FromMilliseconds(20));
        }

        return latencies;
    }

    private static void SleepUntil(long since, TimeSpan time)
    {
        var left = time - Stopwatch.GetElapsedTime(since);
        if (left > TimeSpan.Zero)
        {
            Thread.Sleep(left);
        }
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
