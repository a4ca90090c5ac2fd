using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.TestKit.Servers;

/// <summary>Takes every connection and answers nonsense: what a database or cache becomes whose port belongs to something else, or whose memory is broken.</summary>
public sealed class NonsenseServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly byte[] _nonsense;
    private readonly bool _isPostgres;
    private readonly Task _accepting;
    private int _asked;

    private NonsenseServer(byte[] nonsense, bool isPostgres)
    {
        (_nonsense, _isPostgres) = (nonsense, isPostgres);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>What it can say.</summary>
    public static IEnumerable<string> Kinds { get; } = ["close", "http", "zeros", "bytes", "text", "pg length", "pg row", "pg error", "pg auth"];

    /// <summary>Where it listens on loopback.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>How often it was spoken to.</summary>
    public int Asked => Volatile.Read(ref _asked);

    /// <param name="kind">One of <see cref="Kinds"/>.</param>
    /// <param name="afterPostgresStart">Plays PostgreSQL's opening first, so that nonsense answers the first query.</param>
    public static NonsenseServer Start(string kind, bool afterPostgresStart = false) => new(Say(kind), afterPostgresStart);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _listener.Dispose();
        _stop.Dispose();
    }

    private static byte[] Say(string kind) => kind switch
    {
        "close" => [],
        "http" => Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "zeros" => new byte[5000],
        "bytes" => [.. Enumerable.Range(0, 4096).Select(i => (byte)(i * 73 >> 1))],
        "text" => Encoding.ASCII.GetBytes("220 mail.example ESMTP\r\n"),
        "pg length" => [(byte)'T', 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3],
        "pg row" => [(byte)'D', 0, 0, 0, 12, 0, 9, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2],
        "pg error" => [(byte)'E', 0, 0, 0, 5, 0],
        "pg auth" => [(byte)'R', 0, 0, 0, 8, 0, 0, 0, 99],
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    private async Task AcceptAsync()
    {
        var answers = new List<Task>();
        try
        {
            while (true)
            {
                answers.Add(AnswerAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or InvalidOperationException) // the last when it has stopped
        {
            await Task.WhenAll(answers);
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using (client)
        {
            var stream = client.GetStream();
            var buffer = new byte[8192];
            async ValueTask<int> ReadAsync()
            {
                var read = await stream.ReadAsync(buffer, _stop.Token);
                Interlocked.Increment(ref _asked);
                return read;
            }

            try
            {
                if (_isPostgres)
                {
                    while (await ReadAsync() == 8)
                    {
                        await stream.WriteAsync("N"u8.ToArray(), _stop.Token); // a request for TLS or for GSSAPI; then comes the start
                    }

                    await stream.WriteAsync((byte[])[
                        (byte)'R', 0, 0, 0, 8, 0, 0, 0, 0, // let in
                        (byte)'S', 0, 0, 0, 24, .. "server_version\016.0\0"u8, // its version
                        (byte)'K', 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, // what cancels
                        (byte)'Z', 0, 0, 0, 5, (byte)'I'], _stop.Token);
                }

                while (await ReadAsync() > 0)
                {
                    if (_nonsense.Length == 0)
                    {
                        return;
                    }

                    await stream.WriteAsync(_nonsense, _stop.Token);
                }
            }
            catch (Exception exception) when (exception is OperationCanceledException or IOException)
            {
                // The other side has had enough.
            }
        }
    }
}
