using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>200 REQs of 20 filters of 1,000 values, then a hang-up: all that was entered is to be taken out again, while events are delivered.</summary>
internal sealed class MassLeave(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private const int Requests = 200;
    private const int Filters = 20;
    private const int Values = 1000;

    protected override IEnumerable<Action> Roles()
    {
        // Equal values as well as distinct ones.
        var equal = string.Join(',', Enumerable.Repeat("\"x\"", Values));
        var distinct = string.Join(',', Enumerable.Range(0, Values).Select(i => $"\"{i}\""));
        var frames = Enumerable.Range(0, Requests).Select(i => WireConnection.Frame(
            $"[\"REQ\",\"s{i}\",{string.Join(',', Enumerable.Repeat($"{{\"#t\":[{(i % 2 == 0 ? equal : distinct)}],\"limit\":0}}", Filters))}]")).ToArray();
        return Enumerable.Repeat<Action>(() => ComeAndLeave(frames), 2);
    }

    private void ComeAndLeave(byte[][] frames)
    {
        using var connection = Connect();
        foreach (var frame in frames.TakeWhile(_ => !IsStopping))
        {
            connection.Send(frame);
        }
    }
}

/// <summary>2,500 connections, each with half a message of half a megabyte that never becomes whole.</summary>
internal sealed class HalfFrames(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private const int Connections = 2500;
    private const int Threads = 4;
    private const int FrameBytes = 500_000;

    protected override IEnumerable<Action> Roles()
    {
        var half = WireConnection.Frame("[\"EVENT\"," + new string(' ', FrameBytes)).AsMemory(0, FrameBytes - 1000);
        return Enumerable.Repeat<Action>(() => Hold(half), Threads);
    }

    private void Hold(ReadOnlyMemory<byte> half)
    {
        var open = new List<(Socket Socket, int Sent)>();
        try
        {
            while (!IsStopping)
            {
                if (open.Count < Connections / Threads)
                {
                    open.AddRange(TryOpen());
                }

                for (var i = open.Count - 1; i >= 0; i--)
                {
                    if (!TrySend(half.Span, open[i], out var sent))
                    {
                        open[i].Socket.Dispose();
                        open.RemoveAt(i);
                        Count();
                        continue;
                    }

                    open[i] = (open[i].Socket, sent);
                }

                Thread.Sleep(1);
            }
        }
        finally
        {
            open.ForEach(half => half.Socket.Dispose());
        }
    }

    private IEnumerable<(Socket Socket, int Sent)> TryOpen()
    {
        try
        {
            var socket = Connect().Socket;
            socket.Blocking = false;
            return [(socket, 0)];
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            Count();
            return [];
        }
    }

    // What the socket takes now; the last byte stays here for ever.
    private static bool TrySend(ReadOnlySpan<byte> half, (Socket Socket, int Sent) to, out int sent)
    {
        sent = to.Sent;
        if (sent < half.Length)
        {
            sent += to.Socket.Send(half[sent..], SocketFlags.None, out var error) is var taken and > 0 ? taken : 0;
            return error is SocketError.Success or SocketError.WouldBlock;
        }

        return !(to.Socket.Poll(0, SelectMode.SelectRead) && to.Socket.Available == 0);
    }
}

/// <summary>As many connections as the relay gives, held open without a word.</summary>
internal sealed class AllConnections(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private readonly Stack<Socket> _open = [];

    public override void Dispose()
    {
        base.Dispose();
        foreach (var socket in _open)
        {
            socket.Dispose();
        }
    }

    protected override IEnumerable<Action> Roles() => Enumerable.Repeat(Take, 8);

    private void Take()
    {
        var socket = Connect().Socket;
        lock (_open)
        {
            _open.Push(socket);
        }
    }
}

/// <summary>Events of 4,000 tags, each an entry of the index, and deletions of as many events that are not there.</summary>
internal sealed class ManyTags(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private const int Tags = 4000;
    private const int Events = 200;
    private const int InFlight = 24; // as many as a full budget pays for, were each paid for by its tags alone

    protected override IEnumerable<Action> Roles()
    {
        var frames = new byte[Events][];
        Parallel.For(0, Events, i => frames[i] = Create(i));
        var next = 0;
        return Enumerable.Repeat<Action>(() => Publish(() => frames[(uint)Interlocked.Increment(ref next) % Events]), 2);
    }

    private static byte[] Create(int i)
    {
        using var key = SecretKey.Generate();
        var isDeletion = i % 4 == 0;
        var tags = Enumerable.Range(0, Tags).Select(k => isDeletion ? new[] { "e", $"{i * Tags + k:x64}" } : ["t", $"{i * Tags + k}"]).ToArray();
        return RelayLoad.Events.EventFrame(NostrEvent.Create(key, isDeletion ? 5 : 1, tags, "", DateTimeOffset.UtcNow.ToUnixTimeSeconds()).Json.ToArray());
    }

    private void Publish(Func<byte[]> next)
    {
        using var connection = Connect();
        while (!IsStopping)
        {
            for (var i = 0; i < InFlight; i++)
            {
                connection.Send(next());
            }

            var refused = 0;
            for (var i = 0; i < InFlight; i++)
            {
                refused += IsAccepted(connection) ? 0 : 1;
                Count();
            }

            // Never in debt for long, so that it is never read from slowly: as much as the budget gives, for ever.
            Thread.Sleep(refused > 0 ? 1000 : 0);
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
}

/// <summary>Requests to vanish (NIP-62) of keys that many stored events name: one small message removes ten thousand of them.</summary>
internal sealed class MassVanish(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private const int Keys = 10;
    private const int WrapsEach = 10_000;
    private readonly bool _isWarmUp = !from.Equals(Flood.Address);

    /// <summary>What the relay has to hold: gift wraps to each of the keys.</summary>
    public static void WriteCorpus(string file)
    {
        var wraps = new byte[Keys * WrapsEach][];
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        using var sender = SecretKey.Generate();
        var keys = Enumerable.Range(0, Keys).Select(KeyOf).ToArray();
        Parallel.For(0, wraps.Length, i =>
            wraps[i] = NostrEvent.Create(sender, 1059, [["p", keys[i % Keys].PublicKey.ToString()]], $"{i}", now - 1000 - i).Json.ToArray());
        using var output = new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        foreach (var wrap in wraps)
        {
            output.Write(wrap);
            output.WriteByte((byte)'\n');
        }

        Array.ForEach(keys, key => key.Dispose());
    }

    protected override IEnumerable<Action> Roles()
    {
        var next = _isWarmUp ? Keys - 1 : 0; // the last key is for warming up
        return [() => Vanish(_isWarmUp ? next : next++ % (Keys - 1))];
    }

    private void Vanish(int number)
    {
        using var key = KeyOf(number);
        using var connection = Connect();
        connection.Socket.ReceiveTimeout = 10_000;
        var request = NostrEvent.Create(key, 62, [["relay", "ALL_RELAYS"]], $"{Guid.NewGuid()}", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        connection.Send(Events.EventFrame(request.Json.ToArray()));
        connection.SkipTo("[\"OK\""u8);
    }

    // The same in the process that floods as in the one that fills the relay.
    private static SecretKey KeyOf(int number) =>
        SecretKey.TryCreate(SHA256.HashData(Encoding.ASCII.GetBytes($"vanishes {number}")), out var key) ? key : throw new InvalidOperationException("no key");
}

/// <summary>Filters held open: wide ones for their memory, and narrow ones that every event of a group has to be compared with.</summary>
internal sealed class HeldFilters(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private readonly List<WireConnection> _open = [];

    public override void Dispose()
    {
        base.Dispose();
        _open.ForEach(connection => connection.Dispose());
    }

    protected override IEnumerable<Action> Roles()
    {
        var wide = string.Join(',', Enumerable.Range(0, 1000).Select(i => $"\"{i}\""));
        return
        [
            () => Hold($"{{\"#t\":[{wide}]}}", filters: 2),
            () => Hold("{\"kinds\":[445],\"until\":1}", filters: 20),
        ];
    }

    // Until one is refused: the connection, its address or all have what they may have.
    private void Hold(string filter, int filters)
    {
        var connection = Connect();
        lock (_open)
        {
            _open.Add(connection);
        }

        var list = string.Join(',', Enumerable.Repeat(filter, filters));
        for (var i = 0; !IsStopping; i++)
        {
            connection.Send(WireConnection.Frame($"[\"REQ\",\"s{i}\",{list}]"));
            if (!IsOpened(connection))
            {
                Thread.Sleep(10);
                return;
            }

            Count();
        }
    }

    private static bool IsOpened(WireConnection connection)
    {
        while (true)
        {
            var message = connection.Receive();
            if (message.StartsWith("[\"EOSE\""u8))
            {
                return true;
            }

            if (message.StartsWith("[\"CLOSED\""u8))
            {
                return false;
            }
        }
    }
}

/// <summary>As many subscriptions as one address may hold that each want every group event, and a reader quick enough to be sent them all.</summary>
internal sealed class ManyListeners(IPEndPoint relay, IPAddress from) : Shape(relay, from)
{
    private const int Each = 300; // subscriptions of a connection
    private readonly List<Socket> _open = [];
    private readonly byte[] _read = new byte[1 << 20];

    public override void Dispose()
    {
        base.Dispose();
        _open.ForEach(socket => socket.Dispose());
    }

    protected override IEnumerable<Action> Roles()
    {
        byte[] requests = [.. Enumerable.Range(0, Each).SelectMany(i => WireConnection.Frame($"[\"REQ\",\"s{i}\",{{\"kinds\":[445],\"limit\":0}}]"))];
        return [() => Listen(requests), Read];
    }

    private void Listen(byte[] requests)
    {
        var connection = Connect();
        connection.Send(requests);
        connection.Socket.Blocking = false;
        lock (_open)
        {
            _open.Add(connection.Socket);
        }
    }

    private void Read()
    {
        lock (_open)
        {
            foreach (var socket in _open)
            {
                while (socket.Receive(_read, SocketFlags.None, out _) > 0)
                {
                }
            }

            foreach (var ended in _open.Where(socket => socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0).ToList())
            {
                ended.Dispose();
                _open.Remove(ended);
            }
        }

        Thread.Sleep(1);
    }
}
