using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Redis;

/// <summary>The command could not be sent: no connection. It was surely not done.</summary>
public sealed class RedisUnavailableException() : IOException("Redis is not connected");

/// <summary>A connection for commands that comes back by itself, with growing and random pauses; and one for a subscriber's messages, the same way.</summary>
/// <remarks>Thread-safe. Commands are never repeated here: only the caller knows whether a repeat is harmless.</remarks>
public sealed class RedisClient : IAsyncDisposable
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan PingInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ReplyTimeout = TimeSpan.FromSeconds(3);

    private readonly RedisEndpoint _endpoint;
    private readonly ILogger _log;
    private readonly Action<RespValue>? _onPush;
    private readonly Action<RedisClient>? _onConnected;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private volatile RedisConnection? _connection;
    private int _isDisposed;

    /// <summary>Starts connecting at once.</summary>
    /// <param name="endpoint">The server.</param>
    /// <param name="log">Told when the connection comes and goes.</param>
    /// <param name="onPush">For a subscriber: takes its messages, in order, on the reading thread.</param>
    /// <param name="onConnected">Called after each (re)connection; for a subscriber to subscribe again.</param>
    public RedisClient(RedisEndpoint endpoint, ILogger log, Action<RespValue>? onPush = null, Action<RedisClient>? onConnected = null)
    {
        _endpoint = endpoint;
        _log = log;
        _onPush = onPush;
        _onConnected = onConnected;
        _loop = Task.Run(RunAsync);
    }

    /// <summary>True while there is a connection.</summary>
    public bool IsConnected => _connection is not null;

    /// <summary>Sends one command and waits for its reply; an error reply is a reply.</summary>
    /// <exception cref="RedisUnavailableException">Not sent, surely not done.</exception>
    /// <exception cref="RedisReplyLostException">Sent, perhaps done.</exception>
    public async Task<RespValue> SendAsync(params ReadOnlyMemory<byte>[] words)
    {
        var connection = _connection ?? throw new RedisUnavailableException();
        try
        {
            return await connection.SendAsync(words).WaitAsync(ReplyTimeout);
        }
        catch (TimeoutException exception)
        {
            throw new RedisReplyLostException(exception);
        }
    }

    /// <summary>Sends a command whose reply comes as pushes; false when there is no connection.</summary>
    internal bool SendForPush(params ReadOnlySpan<ReadOnlyMemory<byte>> words) => _connection?.SendForPush(words) ?? false;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await _loop;
            _stop.Dispose();
        }
    }

    private async Task RunAsync()
    {
        var pause = FirstPause;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await using var connection = await RedisConnection.OpenAsync(_endpoint, _onPush, _stop.Token);
                pause = FirstPause;
                _connection = connection;
                RedisLog.Connected(_log);
                _onConnected?.Invoke(this);
                await WatchAsync(connection);
            }
            catch (Exception exception) when (exception is IOException or System.Net.Sockets.SocketException or System.Security.Authentication.AuthenticationException)
            {
                RedisLog.CannotConnect(_log, exception is System.Net.Sockets.SocketException socket ? socket.SocketErrorCode.ToString() : exception.Message);
            }
            catch (OperationCanceledException)
            {
                // Stopping.
            }
            finally
            {
                if (_connection is not null)
                {
                    _connection = null;
                    RedisLog.Lost(_log);
                }
            }

            try
            {
                // Full jitter: replicas that lost the server together do not come back together.
                await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    // A server that is silent for two intervals although it was asked is gone, whatever TCP says.
    private async Task WatchAsync(RedisConnection connection)
    {
        while (!connection.Ended.IsCompleted)
        {
            await Task.WhenAny(connection.Ended, Task.Delay(PingInterval, _stop.Token));
            _stop.Token.ThrowIfCancellationRequested();
            if (connection.SilentFor > 2 * PingInterval.TotalMilliseconds)
            {
                return;
            }

            if (!connection.Ended.IsCompleted && connection.SilentFor > PingInterval.TotalMilliseconds / 2)
            {
                _ = connection.SendAsync(RespWriter.Word("PING")).ContinueWith(static task => task.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }
    }
}
