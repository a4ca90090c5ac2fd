using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>The hostile senders of a storm.</summary>
internal interface IFlood
{
    void Start();

    /// <returns>How much they got done.</returns>
    long Stop();
}

/// <summary>Malformed frames, forged signatures, giant filters and churn, each from a thread that never pauses and connects anew when it is cut off.</summary>
/// <param name="relay">The relay.</param>
/// <param name="from">Where they come from.</param>
internal sealed class Flood(IPEndPoint relay, IPAddress from) : IFlood, IDisposable
{
    /// <summary>Where the hostile come from.</summary>
    public static readonly IPAddress Address = IPAddress.Parse("127.0.0.2");

    private readonly CancellationTokenSource _stop = new();
    private List<Thread> _threads = [];
    private long _acts;

    public void Start()
    {
        var forged = Events.GroupEvents(200, 4).Select(Events.Forge).Select(Events.EventFrame).ToArray();
        var giant = WireConnection.Frame(GiantRequest());
        var random = new Random(1);
        var noise = new byte[4096];
        random.NextBytes(noise);
        _threads =
        [
            new(() => Repeat(connection => connection.Send(noise))),
            new(() => Repeat(connection =>
            {
                foreach (var frame in forged)
                {
                    connection.Send(frame);
                }

                Drain(connection, forged.Length);
            })),
            new(() => Repeat(connection =>
            {
                connection.Send(giant);
                Drain(connection, 1);
            })),
            new(() => Repeat(connection =>
            {
                for (var i = 0; i < 100; i++)
                {
                    connection.Send(WireConnection.Frame($"[\"REQ\",\"s{i}\",{{\"limit\":1}}]"));
                    connection.Send(WireConnection.Frame($"[\"CLOSE\",\"s{i}\"]"));
                }

                Drain(connection, 100);
            })),
        ];
        _threads.ForEach(t => t.Start());
    }

    public long Stop()
    {
        _stop.Cancel();
        _threads.ForEach(t => t.Join());
        return Interlocked.Read(ref _acts);
    }

    public void Dispose() => _stop.Dispose();

    // Connects anew whenever it is cut off.
    private void Repeat(Action<WireConnection> act)
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using var connection = new WireConnection(relay, from);
                while (!_stop.IsCancellationRequested)
                {
                    act(connection);
                    Interlocked.Increment(ref _acts);
                }
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                Interlocked.Increment(ref _acts);
            }
        }
    }

    private void Drain(WireConnection connection, int messages)
    {
        for (var i = 0; i < messages && !_stop.IsCancellationRequested; i++)
        {
            connection.Receive();
        }
    }

    private static byte[] GiantRequest()
    {
        var text = new StringBuilder("[\"REQ\",\"giant\"");
        for (var f = 0; f < 7; f++)
        {
            text.Append(",{\"ids\":[").AppendJoin(',', Enumerable.Range(f * 1000, 1000).Select(i => $"\"{i:x64}\"")).Append("]}");
        }

        return Encoding.UTF8.GetBytes(text.Append(']').ToString());
    }
}
