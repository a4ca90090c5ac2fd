using System.Diagnostics;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>EVENTs published over several connections with a bounded number in flight on each.</summary>
internal static class PublishLoad
{
    public readonly record struct Result(double PerSecond, double CpuMicroseconds, int Accepted, Latencies Latencies);

    /// <param name="peer">The relay.</param>
    /// <param name="frames">EVENT frames; each is sent once.</param>
    /// <param name="connections">Connections; each takes its share.</param>
    /// <param name="inFlight">Unanswered events of one connection.</param>
    public static Result Run(Peer peer, byte[][] frames, int connections, int inFlight)
    {
        var clients = Enumerable.Range(0, connections).Select(_ => new WireConnection(peer.EndPoint)).ToArray();
        var latencies = Enumerable.Range(0, connections).Select(_ => new Latencies()).ToArray();
        var accepted = new int[connections];
        var cpu = peer.Cpu;
        var started = Stopwatch.GetTimestamp();
        var threads = Enumerable.Range(0, connections).Select(c => new Thread(() =>
            accepted[c] = RunOne(clients[c], [.. frames.Where((_, i) => i % connections == c)], inFlight, latencies[c]))).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        cpu = peer.Cpu - cpu;
        Array.ForEach(clients, c => c.Dispose());
        var all = new Latencies();
        Array.ForEach(latencies, all.AddAll);
        return new Result(frames.Length / elapsed, cpu.TotalMicroseconds / frames.Length, accepted.Sum(), all);
    }

    private static int RunOne(WireConnection client, byte[][] frames, int inFlight, Latencies latencies)
    {
        var sentAt = new Queue<long>();
        var block = new byte[1 << 20];
        var next = 0;
        var accepted = 0;
        for (var answered = 0; answered < frames.Length;)
        {
            // 1. Fill the window with one call.
            var size = 0;
            while (next < frames.Length && next - answered < inFlight && size + frames[next].Length <= block.Length)
            {
                frames[next].CopyTo(block, size);
                size += frames[next++].Length;
                sentAt.Enqueue(Stopwatch.GetTimestamp());
            }

            client.SendAll(block.AsSpan(0, size));

            // 2. Take what is answered; half a window at least, so that calls stay few.
            var wanted = Math.Min(frames.Length, answered + Math.Max(1, (next - answered) / 2));
            while (answered < wanted || client.HasMessage)
            {
                var message = client.Receive();
                if (message.StartsWith("[\"OK\""u8))
                {
                    answered++;
                    accepted += message[73] == (byte)'t' ? 1 : 0;
                    latencies.Add(Stopwatch.GetTimestamp() - sentAt.Dequeue());
                }
            }
        }

        return accepted;
    }
}
