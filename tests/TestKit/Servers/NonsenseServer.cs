using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.TestKit.Servers;

/// <summary>Takes every connection and answers nonsense: what a database or cache becomes whose port belongs to something else, or whose memory is
/// broken.</summary>
public sealed class NonsenseServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly byte[] _nonsense;
    private readonly bool _isPostgres;
    private readonly bool _isRedis;
    private readonly Task _accepting;
    private int _asked;

    private NonsenseServer(byte[] nonsense, bool isPostgres, bool isRedis)
    {
        (_nonsense, _isPostgres, _isRedis) = (nonsense, isPostgres, isRedis);
        _listener.Start();
        _accepting = AcceptLoop.RunAsync(_listener, AnswerAsync, _stop.Token);
    }

    /// <summary>What it can say in place of a PostgreSQL.</summary>
    public static IEnumerable<string> Kinds { get; } = ["close", "http", "zeros", "bytes", "text", "pg length", "pg row", "pg error", "pg auth"];

    /// <summary>What it can say in place of a Redis.</summary>
    public static IEnumerable<string> RedisKinds { get; } =
    [
        "close", "http", "zeros", "bytes", "text", "resp length", "resp number", "resp negative", "resp nil", "resp array", "resp type", "resp error",
        "resp ok", "resp short", "resp push",
        "resp nest", "resp nest pushes", "resp nest maps",
    ];

    /// <summary>Where it listens on loopback.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>How often it was spoken to.</summary>
    public int Asked => Volatile.Read(ref _asked);

    /// <param name="kind">One of <see cref="Kinds"/>.</param>
    /// <param name="afterPostgresStart">Plays PostgreSQL's opening first, so that nonsense answers the first query.</param>
    /// <param name="afterRedisStart">Plays Redis until the first command that changes something, so that nonsense answers that one.</param>
    public static NonsenseServer Start(string kind, bool afterPostgresStart = false, bool afterRedisStart = false) =>
        new(Say(kind), afterPostgresStart, afterRedisStart);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _listener.Dispose();
        _stop.Dispose();
    }

    internal static byte[] Say(string kind) => kind switch
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
        "resp length" => Encoding.ASCII.GetBytes("$99999999999\r\nabc\r\n"),
        "resp number" => Encoding.ASCII.GetBytes("$abc\r\n"),
        "resp negative" => Encoding.ASCII.GetBytes("*-5\r\n"),
        "resp nil" => Encoding.ASCII.GetBytes("$-1\r\n"),
        "resp array" => Encoding.ASCII.GetBytes("*2147483647\r\n:1\r\n"),
        "resp type" => Encoding.ASCII.GetBytes("@1\r\n"),
        "resp error" => Encoding.ASCII.GetBytes("-\r\n"),
        "resp ok" => Encoding.ASCII.GetBytes("+OK\r\n"),
        "resp short" => Encoding.ASCII.GetBytes("$5\r\nab"),
        "resp push" => Encoding.ASCII.GetBytes("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n:1\r\n*2\r\n$9\r\nsubscribe\r\n$-1\r\n"),
        "resp nest" => Nest("*1\r\n"),
        "resp nest pushes" => Nest(">1\r\n"),
        "resp nest maps" => Nest("%1\r\n+a\r\n"),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    // Deeper than a stack is: a reader that calls itself for each level ends its process.
    private static byte[] Nest(string level) => Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(level, 300_000)) + ":1\r\n");

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

                var isOpening = _isRedis;
                int read;
                while ((read = await ReadAsync()) > 0)
                {
                    if (isOpening && RedisOpening.Answer(buffer.AsSpan(0, read)) is { } greeting)
                    {
                        await stream.WriteAsync(greeting, _stop.Token);
                        continue;
                    }

                    isOpening = false;
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
