using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>What honest clients did: each round an event published, acknowledged, delivered to a subscriber and read back by a query; every fifth time by
/// somebody who has just connected.</summary>
internal sealed class HonestRounds
{
    /// <summary>From the publisher's send to the query's EOSE.</summary>
    public Latencies Whole { get; } = new();

    /// <summary>From the send to OK.</summary>
    public Latencies Ok { get; } = new();

    /// <summary>From the send to the subscriber.</summary>
    public Latencies Live { get; } = new();

    /// <summary>From REQ to EOSE.</summary>
    public Latencies Query { get; } = new();

    /// <summary>From a newcomer's connect to its first EOSE.</summary>
    public Latencies Newcomer { get; } = new();

    /// <summary>One flush of the relay's disk between two rounds.</summary>
    public Latencies Disk { get; } = new();

    /// <summary>Events without OK true, deliveries and answers that did not come, newcomers who were sent away.</summary>
    public int Refused { get; set; }
}

/// <summary>Clients that a relay is for: a publisher, a subscriber and a reader on one address, and newcomers from another, fifty rounds a second.</summary>
/// <remarks>A round is timed from when it was due: one that begins late because the one before took long has waited since then.</remarks>
internal sealed class HonestClients : IDisposable
{
    public const int PerSecond = 50;
    private const int Groups = 8;
    private static readonly IPAddress NewcomersAddress = IPAddress.Parse("127.0.0.4");
    private readonly IPEndPoint _relay;
    private readonly DiskProbe _disk;
    private readonly WireConnection _publisher;
    private readonly WireConnection _subscriber;
    private readonly WireConnection _reader;
    private readonly string[] _groups = [.. Enumerable.Range(0, Groups).Select(i => $"{i + 1:x64}")];

    /// <param name="relay">The relay.</param>
    /// <param name="directory">A directory on its disk.</param>
    public HonestClients(IPEndPoint relay, string directory)
    {
        _relay = relay;
        _disk = new DiskProbe(directory);
        _publisher = new WireConnection(relay);
        _subscriber = new WireConnection(relay);
        _reader = new WireConnection(relay);
        var all = string.Join(',', _groups.Select(group => $"\"{group}\""));
        _subscriber.Send(WireConnection.Frame($"[\"REQ\",\"live\",{{\"kinds\":[445],\"#h\":[{all}],\"limit\":0}}]"));
        _subscriber.SkipTo("[\"EOSE\""u8);
    }

    public HonestRounds Run(TimeSpan time)
    {
        var rounds = new HonestRounds();
        var count = (int)(time.TotalSeconds * PerSecond);
        var frames = _groups.Select(group => Events.GroupEvents((count / Groups) + 1, 1, group).Select(Events.EventFrame).ToArray()).ToArray();
        var first = Stopwatch.GetTimestamp();
        for (var i = 0; i < count; i++)
        {
            var due = first + (i * Stopwatch.Frequency / PerSecond);
            SleepUntil(due);
            try
            {
                Round(rounds, due, frames[i % Groups][i / Groups], _groups[i % Groups], isNewcomers: i % 5 == 0);
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                rounds.Refused++;
            }

            if (Stopwatch.GetElapsedTime(due).TotalSeconds < 0.6 / PerSecond)
            {
                SleepUntil(due + (Stopwatch.Frequency * 6 / 10 / PerSecond));
                rounds.Disk.Add(_disk.Flush());
            }
        }

        return rounds;
    }

    public void Dispose()
    {
        _publisher.Dispose();
        _subscriber.Dispose();
        _reader.Dispose();
        _disk.Dispose();
    }

    private void Round(HonestRounds rounds, long sent, byte[] frame, string group, bool isNewcomers)
    {
        // 1. Published and delivered.
        _publisher.Send(frame);
        if (!IsAccepted(_publisher))
        {
            rounds.Refused++;
            return;
        }

        rounds.Ok.Add(Stopwatch.GetTimestamp() - sent);
        _subscriber.SkipTo("[\"EVENT\""u8);
        rounds.Live.Add(Stopwatch.GetTimestamp() - sent);

        // 2. Read back.
        var asked = Stopwatch.GetTimestamp();
        rounds.Refused += Query(_reader, group) > 0 ? 0 : 1;
        rounds.Query.Add(Stopwatch.GetTimestamp() - asked);
        rounds.Whole.Add(Stopwatch.GetTimestamp() - sent);

        // 3. By somebody new.
        if (isNewcomers)
        {
            var came = Stopwatch.GetTimestamp();
            using var newcomer = new WireConnection(_relay, NewcomersAddress);
            rounds.Refused += Query(newcomer, group) > 0 ? 0 : 1;
            rounds.Newcomer.Add(Stopwatch.GetTimestamp() - came);
        }
    }

    private static bool IsAccepted(WireConnection connection)
    {
        while (true)
        {
            var message = connection.Receive();
            if (message.StartsWith("[\"OK\""u8))
            {
                return message[73] == (byte)'t';
            }
        }
    }

    private static int Query(WireConnection connection, string group)
    {
        var request = WireConnection.Frame($"[\"REQ\",\"q\",{{\"kinds\":[445],\"#h\":[\"{group}\"],\"limit\":20}}]");
        connection.Send([.. request, .. WireConnection.Frame("[\"CLOSE\",\"q\"]")]);
        return connection.SkipTo("[\"EOSE\""u8, "[\"CLOSED\""u8);
    }

    private static void SleepUntil(long timestamp)
    {
        var left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), timestamp);
        if (left > TimeSpan.Zero)
        {
            Thread.Sleep(left);
        }
    }
}
