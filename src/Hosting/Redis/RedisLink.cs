using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Marmot.Hosting.Redis;

/// <summary>A connection to Redis that is made in the background and comes back by itself, with growing and random pauses. Commands fail at once while there is
/// none, and are never repeated.</summary>
/// <remarks>Thread-safe. Never blocks its maker: a server that is away, refuses or speaks something else leaves <see cref="IsConnected"/> false and
/// <see cref="Trouble"/> says why.</remarks>
internal sealed class RedisLink : IAsyncDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private readonly ConfigurationOptions _options;
    private readonly ILogger _log;
    private readonly Action<bool>? _onChange;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _connecting;
    private volatile ConnectionMultiplexer? _connection;
    private volatile string? _trouble = "not connected yet";
    private int _isDisposed;

    /// <summary>Starts connecting at once.</summary>
    /// <param name="endpoint">The server.</param>
    /// <param name="log">Told when the connection comes and goes.</param>
    /// <param name="onChange">Called after each change of a connection, the first included, with true when one was lost. Calls may overlap and come in any
    /// order: ask for the state.</param>
    public RedisLink(RedisEndpoint endpoint, ILogger log, Action<bool>? onChange = null)
    {
        _options = endpoint.ToConfiguration();
        _log = log;
        _onChange = onChange;
        _connecting = Task.Run(ConnectAsync);
    }

    /// <summary>True while commands can be sent.</summary>
    public bool IsConnected => _connection is { IsConnected: true };

    /// <summary>Why there is no connection; null while there is one.</summary>
    public string? Trouble => IsConnected ? null : _trouble ?? "connection lost";

    /// <summary>The connection, for commands.</summary>
    /// <exception cref="RedisUnavailableException">There was none yet.</exception>
    public ConnectionMultiplexer Connection => _connection ?? throw new RedisUnavailableException();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return;
        }

        await _stop.CancelAsync();
        await _connecting;
        if (_connection is { } connection)
        {
            connection.ConnectionFailed -= OnFailed;
            connection.ConnectionRestored -= OnRestored;
            await connection.DisposeAsync();
        }

        _stop.Dispose();
    }

    // The library keeps trying once it has a connection object; getting that far can fail too (a name that cannot be resolved).
    private async Task ConnectAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                var connection = await ConnectionMultiplexer.ConnectAsync(_options);
                connection.ConnectionFailed += OnFailed;
                connection.ConnectionRestored += OnRestored;
                _connection = connection;
                if (connection.IsConnected)
                {
                    RedisLog.Connected(_log);
                }
                else
                {
                    Note("no answer");
                }

                _onChange?.Invoke(false);
                return;
            }
            catch (Exception exception) when (exception is RedisException or IOException or System.Net.Sockets.SocketException or TimeoutException)
            {
                Note(exception is RedisConnectionException failed ? failed.FailureType.ToString() : exception.GetType().Name);
            }

            await Task.Delay(Pause, _stop.Token)
                .ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private void OnFailed(object? sender, ConnectionFailedEventArgs failed)
    {
        Note(failed.FailureType.ToString());
        _onChange?.Invoke(true);
    }

    private void OnRestored(object? sender, ConnectionFailedEventArgs restored)
    {
        if (restored.ConnectionType == ConnectionType.Interactive)
        {
            _trouble = null;
            RedisLog.Connected(_log);
        }

        _onChange?.Invoke(false);
    }

    // Once a reason: a server that is away for hours is one line.
    private void Note(string trouble)
    {
        if (_trouble != trouble)
        {
            _trouble = trouble;
            RedisLog.Away(_log, trouble);
        }
    }
}
