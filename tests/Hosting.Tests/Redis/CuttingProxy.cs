using System.Net;
using System.Net.Sockets;

namespace Marmot.Hosting.Tests.Redis;

/// <summary>Stands between a client and a server on loopback: can hold back what the server says, and cut every connection.</summary>
internal sealed class CuttingProxy : IAsyncDisposable
{
    private readonly int _target;
    private readonly Lock _lock = new();
    private readonly List<Socket> _sockets = [];
    private readonly CancellationTokenSource _stop = new();
    private TcpListener? _listener;
    private TaskCompletionSource? _hold;
    private long _held;

    public CuttingProxy(int target)
    {
        _target = target;
        var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        Port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
    }

    public int Port { get; }

    /// <summary>Bytes of replies that were held back.</summary>
    public long BytesHeld => Interlocked.Read(ref _held);

    /// <summary>Takes connections, and lets everything through.</summary>
    public void Start()
    {
        var listener = new TcpListener(IPAddress.Loopback, Port);
        listener.Start();
        _listener = listener;
        _ = AcceptAsync(listener);
    }

    public void HoldReplies() => _hold = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Closes every connection and takes none until <see cref="Start"/>; what was held back is lost.</summary>
    public void Cut()
    {
        _listener?.Stop();
        lock (_lock)
        {
            _sockets.ForEach(socket => socket.Dispose());
            _sockets.Clear();
        }

        Interlocked.Exchange(ref _hold, null)?.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        Cut();
        _stop.Dispose();
    }

    private async Task AcceptAsync(TcpListener listener)
    {
        try
        {
            while (true)
            {
                var client = await listener.AcceptSocketAsync(_stop.Token);
                var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await server.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
                lock (_lock)
                {
                    _sockets.AddRange([client, server]);
                }

                _ = CopyAsync(client, server, isReply: false);
                _ = CopyAsync(server, client, isReply: true);
            }
        }
        catch (Exception exception) when (exception is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task CopyAsync(Socket from, Socket to, bool isReply)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            for (int read; (read = await from.ReceiveAsync(buffer)) > 0;)
            {
                if (isReply && _hold is { } hold)
                {
                    Interlocked.Add(ref _held, read);
                    await hold.Task;
                }

                await to.SendAsync(buffer.AsMemory(0, read));
            }

            to.Dispose();
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            to.Dispose();
        }
    }
}
