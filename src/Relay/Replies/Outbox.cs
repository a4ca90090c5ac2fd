using System.Buffers;
using System.Net.Sockets;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Replies;

/// <summary>What waits to be sent to one client: frames encoded back to back, so that a burst goes out in one write.</summary>
/// <remarks>
/// Any thread may send; whoever has sent what it had to calls <see cref="Flush"/>, which writes on the calling thread as much as the socket
/// takes at once. One write is under way at a time. An idle outbox holds no buffer. When more than the limit waits, the client is too slow:
/// it is dropped, never the server's memory. Lock order: docs/locking.md.
/// </remarks>
internal sealed class Outbox(Stream stream, OutboxMemory memory, int maxBytes, TimeSpan writeTimeout, Action<ConnectionEnd> drop, Socket? socket = null)
    : IThreadPoolWorkItem
{
    private const int InitialSize = 4096;

    /// <summary>So much is written without waiting for a flush; small enough that the buffer stays out of the large object heap.</summary>
    private const int FlushSize = 32 * 1024;

    /// <summary>Writes one flush makes on its caller's thread before the thread pool goes on.</summary>
    private const int MaxInlineWrites = 2;

    private readonly Lock _lock = new();
    private byte[] _filling = [];
    private int _filled;
    private int _writing;
    private byte[] _sending = []; // with its size the writer's own: only who set _active touches them
    private int _sendSize;
    private bool _active;
    private bool _closed;
    private TaskCompletionSource? _drained;
    private int _drainTo;
    private int _counted;

    /// <summary>Bytes waiting, those being written included.</summary>
    public int PendingBytes
    {
        get
        {
            lock (_lock)
            {
                return _filled + _writing;
            }
        }
    }

    /// <summary>Queues one frame.</summary>
    public void Send(ReadOnlySpan<byte> payload, FrameOpcode opcode = FrameOpcode.Text) => Send(payload, default, default, opcode);

    /// <summary>Queues one frame whose payload is three parts in a row.</summary>
    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body, ReadOnlySpan<byte> tail, FrameOpcode opcode = FrameOpcode.Text)
    {
        var length = head.Length + body.Length + tail.Length;
        bool isFull, isMuch;
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            isFull = _filled + _writing > memory.LimitFor(maxBytes); // without this frame: one larger than the limit is sent to a client that reads
            if (isFull)
            {
                _closed = true;
            }
            else
            {
                var target = Reserve(WebSocketFrame.MaxServerHeaderSize + length);
                var used = WebSocketFrame.WriteHeader(target, opcode, length);
                head.CopyTo(target[used..]);
                body.CopyTo(target[(used + head.Length)..]);
                tail.CopyTo(target[(used + head.Length + body.Length)..]);
                _filled += used + length;
                Count();
            }

            isMuch = _filled >= FlushSize && !_active;
        }

        if (isFull)
        {
            drop(ConnectionEnd.ReadsTooSlowly);
        }
        else if (isMuch)
        {
            Flush();
        }
    }

    /// <summary>Queues the answer to the opening handshake, which comes before the first frame.</summary>
    public void SendHandshake(ReadOnlySpan<byte> response)
    {
        lock (_lock)
        {
            response.CopyTo(Reserve(response.Length));
            _filled += response.Length;
            Count();
        }
    }

    /// <summary>Writes what is queued; what the socket does not take at once follows by itself.</summary>
    public void Flush()
    {
        if (!TryStart())
        {
            return;
        }

        if (socket is not null)
        {
            Write(socket);
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>Flushes, and completes when at most <paramref name="bytes"/> wait; one waiter at a time.</summary>
    public Task WaitAsync(int bytes, CancellationToken cancel)
    {
        Flush();
        lock (_lock)
        {
            if (_closed || _filled + _writing <= bytes)
            {
                return Task.CompletedTask;
            }

            _drainTo = bytes;
            _drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _drained.Task.WaitAsync(cancel);
        }
    }

    /// <summary>Takes nothing more; what was queued is dropped unless a write is under way.</summary>
    public void Close()
    {
        TaskCompletionSource? drained;
        lock (_lock)
        {
            _closed = true;
            drained = _drained;
            _drained = null;
        }

        drained?.TrySetResult();
    }

    /// <summary>Closes, and gives back what was queued and will never be sent.</summary>
    public void Release()
    {
        Close();
        lock (_lock)
        {
            Return(_filling);
            _filling = [];
            _filled = 0;
            _writing = 0;
            Count();
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = WriteAllAsync(0);

    // Takes the queue into _sending; false when there is nothing, or when somebody writes already and will take it too.
    private bool TryStart()
    {
        lock (_lock)
        {
            if (_active || _filled == 0)
            {
                return false;
            }

            _active = true;
            TakeFilled();
            return true;
        }
    }

    // After a write: true when more was queued meanwhile, else the outbox is idle.
    private bool TryContinue()
    {
        TaskCompletionSource? drained = null;
        bool more;
        lock (_lock)
        {
            Return(_sending);
            _sending = [];
            _writing = 0;
            if (_drained is not null && _filled <= _drainTo)
            {
                drained = _drained;
                _drained = null;
            }

            more = _filled > 0;
            if (more)
            {
                TakeFilled();
            }
            else
            {
                Return(_filling);
                _filling = [];
                _active = false;
            }

            Count();
        }

        drained?.TrySetResult();
        return more;
    }

    private void TakeFilled()
    {
        (_sending, _filling) = (_filling, []);
        _sendSize = _filled;
        _writing = _filled;
        _filled = 0;
    }

    // Without waiting; a socket that is full is left to the slow way.
    private void Write(Socket target)
    {
        for (var writes = 1; ; writes++)
        {
            int sent;
            SocketError error;
            try
            {
                sent = target.Send(_sending.AsSpan(0, _sendSize), SocketFlags.None, out error);
            }
            catch (ObjectDisposedException)
            {
                (sent, error) = (0, SocketError.OperationAborted);
            }

            if (error is not (SocketError.Success or SocketError.WouldBlock))
            {
                Fail(ConnectionEnd.WentAway);
                return;
            }

            if (sent < _sendSize)
            {
                _ = WriteAllAsync(sent);
                return;
            }

            if (!TryContinue())
            {
                return;
            }

            if (writes == MaxInlineWrites)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                return;
            }
        }
    }

    // From a position in _sending on.
    private async Task WriteAllAsync(int start)
    {
        try
        {
            do
            {
                var rest = _sending.AsMemory(start, _sendSize - start);
                start = 0;
                var write = socket is not null ? SendAllAsync(socket, rest) : stream.WriteAsync(rest);
                if (!write.IsCompletedSuccessfully)
                {
                    await write.AsTask().WaitAsync(writeTimeout);
                }
            }
            while (TryContinue());
        }
        catch (Exception exception)
        {
            Fail(exception is TimeoutException ? ConnectionEnd.ReadsTooSlowly : ConnectionEnd.WentAway);
        }
    }

    private static async ValueTask SendAllAsync(Socket socket, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await socket.SendAsync(bytes, SocketFlags.None)..];
        }
    }

    // The buffer of a failed write is left to the collector: the transport may still read it.
    private void Fail(ConnectionEnd reason)
    {
        Release();
        drop(reason);
    }

    private void Count()
    {
        memory.Add(_filled + _writing - _counted);
        _counted = _filled + _writing;
    }

    private Span<byte> Reserve(int size)
    {
        if (_filling.Length - _filled < size)
        {
            var grown = ArrayPool<byte>.Shared.Rent(Math.Max(InitialSize, Math.Max(_filled + size, _filling.Length * 2)));
            _filling.AsSpan(0, _filled).CopyTo(grown);
            Return(_filling);
            _filling = grown;
        }

        return _filling.AsSpan(_filled);
    }

    private static void Return(byte[] buffer)
    {
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
