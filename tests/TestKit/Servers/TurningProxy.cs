using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Marmot.TestKit.Servers;

/// <summary>Stands between a server of ours and a real service (S3, PostgreSQL, Redis) that can turn to nonsense and back while both run.</summary>
public sealed class TurningProxy : IAsyncDisposable
{
    private readonly int _target;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<byte[]> _asked = new();
    private readonly Task _accepting;
    private volatile byte[]? _nonsense;
    private CancellationTokenSource _life = new(); // of the connections that are open

    private TurningProxy(int target)
    {
        _target = target;
        _listener.Start();
        _accepting = AcceptLoop.RunAsync(_listener, ServeAsync, _stop.Token);
    }

    /// <summary>Where it listens on loopback.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>All that was sent to the service so far, byte for byte as Latin-1; pieces of several connections in the order they came.</summary>
    public string Asked => string.Concat(_asked.Select(Encoding.Latin1.GetString));

    /// <param name="target">Port of the service on loopback.</param>
    public static TurningProxy Start(int target) => new(target);

    /// <summary>From now on every answer, on connections that are open as on new ones, is nonsense.</summary>
    /// <param name="kind">As <see cref="NonsenseServer"/> names them; null for the service's own answers again, on new connections, as after its
    /// restart.</param>
    public void Speak(string? kind)
    {
        _nonsense = kind is null ? null : NonsenseServer.Say(kind);
        if (kind is null)
        {
            Interlocked.Exchange(ref _life, new CancellationTokenSource()).Cancel();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var service = new TcpClient();
        using var life = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, _life.Token);
        using (client)
        {
            try
            {
                await service.ConnectAsync(IPAddress.Loopback, _target, life.Token);
                await Task.WhenAny(PassQuestionsAsync(client, service, life.Token), PassAnswersAsync(service, client, life.Token));
            }
            catch (Exception exception) when (exception is OperationCanceledException or SocketException)
            {
                // Stopped, or the service is away.
            }
        }
    }

    // What is asked while it speaks nonsense does not reach the service, which answers what it was asked before.
    private async Task PassQuestionsAsync(TcpClient client, TcpClient service, CancellationToken ended)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            int read;
            while ((read = await client.GetStream().ReadAsync(buffer, ended)) > 0)
            {
                if (_nonsense is not { } nonsense)
                {
                    _asked.Enqueue(buffer[..read]);
                    await service.GetStream().WriteAsync(buffer.AsMemory(0, read), ended);
                }
                else if (nonsense.Length > 0)
                {
                    await client.GetStream().WriteAsync(nonsense, ended);
                }
                else
                {
                    return;
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or ObjectDisposedException)
        {
            // One of them has gone.
        }
    }

    private async Task PassAnswersAsync(TcpClient service, TcpClient client, CancellationToken ended)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            int read;
            while ((read = await service.GetStream().ReadAsync(buffer, ended)) > 0)
            {
                if (_nonsense is null)
                {
                    await client.GetStream().WriteAsync(buffer.AsMemory(0, read), ended);
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or ObjectDisposedException)
        {
            // One of them has gone.
        }
    }
}
