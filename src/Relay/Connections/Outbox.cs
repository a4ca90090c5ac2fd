using System.Buffers;

namespace Marmot.Relay.Connections;

/// <summary>What waits to be sent to one client: frames encoded back to back, so that a burst goes out in one write.</summary>
/// <remarks>
/// Any thread may send; one write is under way at a time. An idle outbox holds no buffer. When more than the limit waits, the
/// client is too slow: it is dropped, never the server's memory. Lock order: docs/locking.md.
/// </remarks>
internal sealed class Outbox(Stream stream, OutboxMemory memory, int maxBytes, TimeSpan writeTimeout, Action<string> drop) : IThreadPoolWorkItem
{
    private const int InitialSize = 4096;
    private readonly Lock _lock = new();
    private byte[] _filling = [];
    private int _filled;
    private int _writing;
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
        var isFull = false;
        var start = false;
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            if (_filled + _writing + length > memory.LimitFor(maxBytes) && _filled + _writing > 0)
            {
                isFull = true;
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
                start = !_active;
                _active = true;
            }
        }

        if (isFull)
        {
            drop("reads too slowly");
        }
        else if (start)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>Completes when at most <paramref name="bytes"/> wait; one waiter at a time.</summary>
    public Task WaitAsync(int bytes, CancellationToken cancel)
    {
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

    void IThreadPoolWorkItem.Execute() => _ = WriteAllAsync();

    private async Task WriteAllAsync()
    {
        byte[] buffer = [];
        try
        {
            while (true)
            {
                int size;
                TaskCompletionSource? drained = null;
                lock (_lock)
                {
                    Return(buffer);
                    buffer = [];
                    _writing = 0;
                    Count();
                    if (_drained is not null && _filled <= _drainTo)
                    {
                        drained = _drained;
                        _drained = null;
                    }

                    size = _filled;
                    if (size > 0)
                    {
                        (buffer, _filling) = (_filling, []);
                        _writing = size;
                        _filled = 0;
                    }
                    else
                    {
                        Return(_filling);
                        _filling = [];
                        _active = false;
                    }
                }

                drained?.TrySetResult();
                if (size == 0)
                {
                    return;
                }

                var write = stream.WriteAsync(buffer.AsMemory(0, size));
                if (!write.IsCompletedSuccessfully)
                {
                    await write.AsTask().WaitAsync(writeTimeout);
                }
            }
        }
        catch (Exception exception)
        {
            Release(); // the buffer of a failed write is left to the collector: the transport may still read it
            drop(exception is TimeoutException ? "reads too slowly" : "went away");
        }
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
