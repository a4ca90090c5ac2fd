using System.Diagnostics;
using Marmot.Protocol.Keys;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>REQs to EOSE in a closed loop: the next is asked when the last is answered.</summary>
internal static class QueryLoad
{
    public readonly record struct Result(double PerSecond, double EventsPerAnswer, double CpuMicroseconds, Latencies Latencies, bool Refused);

    /// <param name="peer">The relay.</param>
    /// <param name="connections">Connections, each with a thread.</param>
    /// <param name="seconds">How long.</param>
    /// <param name="filter">Makes the filter of one query; called with a running number.</param>
    /// <param name="key">Authenticates the connections (NIP-42) where the query needs it.</param>
    public static Result Run(Peer peer, int connections, double seconds, Func<int, string> filter, SecretKey? key = null)
    {
        var latencies = Enumerable.Range(0, connections).Select(_ => new Latencies()).ToArray();
        var events = new long[connections];
        var refused = false;
        var clients = Enumerable.Range(0, connections).Select(_ => new WireConnection(peer.EndPoint)).ToArray();
        if (key is not null)
        {
            foreach (var client in clients)
            {
                Authenticate(client, peer, key);
            }
        }

        var cpu = peer.Cpu;
        var started = Stopwatch.GetTimestamp();
        var threads = Enumerable.Range(0, connections).Select(c => new Thread(() =>
        {
            byte[] close = [];
            for (var i = c; Stopwatch.GetElapsedTime(started).TotalSeconds < seconds; i += connections)
            {
                // The CLOSE of the last one goes out with the next REQ, so that the client costs one call a query.
                byte[] frames = [.. close, .. WireConnection.Frame($"[\"REQ\",\"q\",{filter(i)}]")];
                close = CloseFrame;
                var asked = Stopwatch.GetTimestamp();
                clients[c].Send(frames);
                while (true)
                {
                    var message = clients[c].Receive();
                    if (message.StartsWith("[\"EVENT\""u8))
                    {
                        events[c]++;
                    }
                    else if (message.StartsWith("[\"EOSE\""u8))
                    {
                        break;
                    }
                    else if (message.StartsWith("[\"CLOSED\""u8))
                    {
                        refused = true;
                        return;
                    }
                }

                latencies[c].Add(Stopwatch.GetTimestamp() - asked);
            }
        })).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        cpu = peer.Cpu - cpu;
        Array.ForEach(clients, c => c.Dispose());
        var all = new Latencies();
        Array.ForEach(latencies, all.AddAll);
        return new Result(all.Count / elapsed, (double)events.Sum() / Math.Max(1, all.Count), cpu.TotalMicroseconds / Math.Max(1, all.Count), all, refused);
    }

    private static readonly byte[] CloseFrame = WireConnection.Frame("[\"CLOSE\",\"q\"]");

    private static void Authenticate(WireConnection client, Peer peer, SecretKey key)
    {
        // strfry challenges a client that asks for what is not everybody's, not before.
        client.Send(WireConnection.Frame("[\"REQ\",\"auth\",{\"kinds\":[1059],\"limit\":1}]"));
        byte[] challenge;
        do
        {
            challenge = client.Receive().ToArray();
        }
        while (!challenge.AsSpan().StartsWith("[\"AUTH\""u8));
        client.Send(Events.AuthFrame(key, challenge.AsSpan(9, challenge.Length - 11), $"ws://{peer.EndPoint}/"));
        client.SkipTo("[\"OK\""u8);

        // Ours lets the request wait for the answer and serves it then, strfry has closed it: what is measured begins after either.
        client.Send([.. WireConnection.Frame("[\"CLOSE\",\"auth\"]"), .. WireConnection.Frame("[\"REQ\",\"ready\",{\"kinds\":[65000],\"limit\":1}]")]);
        client.SkipTo("[\"EOSE\",\"ready\""u8);
        client.Send(WireConnection.Frame("[\"CLOSE\",\"ready\"]"));
    }
}
