using System.Buffers;
using System.Net.Security;
using System.Net.WebSockets;
using System.Security.Cryptography.X509Certificates;

namespace Marmot.Protocol.RelayClient;

/// <summary>One WebSocket to a relay (NIP-01): whole text messages in, whole text messages out. Sends from any thread, one at a time; one reader.</summary>
/// <remarks>What both kinds of clients stand on: <see cref="RelayConnection"/>, which listens for ever, and one that asks many short questions.</remarks>
public sealed class RelaySocket : IDisposable
{
    private const int InitialBufferBytes = 16 * 1024;

    private readonly ClientWebSocket _socket;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly int _maxMessageBytes;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(InitialBufferBytes);

    private RelaySocket(ClientWebSocket socket, int maxMessageBytes)
    {
        _socket = socket;
        _maxMessageBytes = maxMessageBytes;
    }

    /// <summary>Connects inside <see cref="RelayConnectionOptions.ConnectTimeout"/>; pings and their deadline are the framework's. Only what the options say of
    /// the socket is used.</summary>
    /// <exception cref="WebSocketException">There is no connection, or it is no WebSocket.</exception>
    /// <exception cref="OperationCanceledException">The time was over.</exception>
    public static async Task<RelaySocket> ConnectAsync(RelayConnectionOptions options, TimeProvider time, CancellationToken cancellationToken)
    {
        var socket = new ClientWebSocket();
        try
        {
            socket.Options.KeepAliveInterval = options.PingInterval;
            socket.Options.KeepAliveTimeout = options.PongTimeout;
            using var handler = CreateHandler(options.TrustedRoots);
            using var invoker = new HttpMessageInvoker(handler, disposeHandler: false);
            using var deadline = new CancellationTokenSource(options.ConnectTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            await socket.ConnectAsync(options.Url, invoker, either.Token);
            return new RelaySocket(socket, options.MaxMessageBytes);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The next text message, valid until the next call; null at the end of the connection or when a message is too long or not text.</summary>
    public async ValueTask<ReadOnlyMemory<byte>?> ReceiveAsync(CancellationToken cancellationToken)
    {
        var length = 0;
        while (true)
        {
            if (length == _buffer.Length && !TryGrow(length))
            {
                return null;
            }

            var result = await _socket.ReceiveAsync(_buffer.AsMemory(length), cancellationToken);
            if (result.MessageType != WebSocketMessageType.Text)
            {
                return null;
            }

            length += result.Count;
            if (result.EndOfMessage)
            {
                return length <= _maxMessageBytes ? _buffer.AsMemory(0, length) : null;
            }
        }
    }

    /// <summary>Sends one text message. A cancellation in the middle of it ends the connection.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        await _sending.WaitAsync(cancellationToken);
        try
        {
            await _socket.SendAsync(message, WebSocketMessageType.Text, endOfMessage: true, cancellationToken);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>Breaks the connection; the reader ends with an exception.</summary>
    public void Abort() => _socket.Abort();

    /// <summary>Closes it; no reader may be waiting.</summary>
    public void Dispose()
    {
        _socket.Dispose();
        var buffer = Interlocked.Exchange(ref _buffer, []);
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private bool TryGrow(int length)
    {
        if (length > _maxMessageBytes)
        {
            return false;
        }

        var larger = ArrayPool<byte>.Shared.Rent(length * 2);
        _buffer.AsSpan(0, length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = larger;
        return true;
    }

    private static SocketsHttpHandler CreateHandler(X509Certificate2Collection? roots)
    {
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, ActivityHeadersPropagator = null };
        if (roots is not null)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.AddRange(roots);
            handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        }

        return handler;
    }
}
