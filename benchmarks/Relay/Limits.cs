using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Marmot.Protocol.Events;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>What the machine could do at best: signature checks of all cores, flushes of the disk, messages over loopback.</summary>
internal static class Limits
{
    /// <summary>libsecp256k1 verifications a second, every core busy with distinct events.</summary>
    public static double VerifiesPerSecond(byte[][] events)
    {
        var count = Math.Min(events.Length, 8000);
        VerifyAll(events, Math.Min(count, 500));
        var started = Stopwatch.GetTimestamp();
        VerifyAll(events, count);
        return count / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    /// <summary>Median time to append 4 KB to a file and wait for the disk.</summary>
    public static TimeSpan Fsync(string directory, int writes = 200)
    {
        using var probe = new DiskProbe(directory);
        var times = Enumerable.Range(0, writes).Select(_ => Stopwatch.GetElapsedTime(0, probe.Flush())).Order().ToList();
        return times[times.Count / 2];
    }

    /// <summary>Messages of 1 KB a second from one socket to another on this machine, each written by a call of its own, as a reader that counts them sees
    /// it.</summary>
    public static double LoopbackMessagesPerSecond(int messageBytes = 1100, int messages = 100_000)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.Connect((IPEndPoint)listener.LocalEndpoint);
        using var server = listener.AcceptSocket();
        var sender = new Thread(() =>
        {
            var block = new byte[messageBytes];
            for (var i = 0; i < messages; i++)
            {
                client.Send(block);
            }
        });
        var buffer = new byte[256 * 1024];
        var started = Stopwatch.GetTimestamp();
        sender.Start();
        for (var left = (long)messages * messageBytes; left > 0;)
        {
            left -= server.Receive(buffer);
        }

        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        sender.Join();
        return messages / elapsed;
    }

    private static void VerifyAll(byte[][] events, int count) => Parallel.For(0, count, i =>
    {
        if (!NostrEventReader.TryRead(events[i], out var view, out _) || !EventVerifier.IsSignatureCorrect(view))
        {
            throw new InvalidOperationException("an event of the benchmark does not verify");
        }
    });
}
