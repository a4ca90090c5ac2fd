using System.Net.Sockets;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>Idle connections, each with one open subscription of its own.</summary>
internal static class IdleLoad
{
    /// <returns>How many were opened, the relay's memory for each, and connects with a subscription a second.</returns>
    public static (int Opened, double BytesEach, double PerSecond) Run(Peer peer, int connections)
    {
        using (var warm = new WireConnection(peer.EndPoint))
        {
            Subscribe(warm, 0);
        }

        var before = peer.ResidentBytes;
        var open = new List<Socket>(connections);
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        try
        {
            for (var i = 0; i < connections; i++)
            {
                var connection = new WireConnection(peer.EndPoint);
                Subscribe(connection, i);
                open.Add(connection.Socket);
            }
        }
        catch (SocketException)
        {
            // the file limit of this process or of the relay
        }

        var elapsed = System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalSeconds;
        Thread.Sleep(500);
        var each = (double)(peer.ResidentBytes - before) / Math.Max(1, open.Count);
        open.ForEach(s => s.Dispose());
        return (open.Count, each, open.Count / elapsed);
    }

    private static void Subscribe(WireConnection connection, int number)
    {
        connection.Send(WireConnection.Frame($"[\"REQ\",\"live\",{{\"kinds\":[445],\"#h\":[\"{number:x64}\"]}}]"));
        connection.SkipTo("[\"EOSE\""u8);
    }
}
