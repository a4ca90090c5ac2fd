using System.Buffers;
using System.IO.Pipelines;

namespace Marmot.Hosting.Redis;

/// <summary>The reply to a command was lost: whether the server did it is unknown.</summary>
public sealed class RedisReplyLostException(Exception? inner = null) : IOException("the connection to Redis was lost before its reply came", inner);

/// <summary>One connection: commands go out in the order given, many under way at once, replies come back in the same order.</summary>
/// <remarks>
/// Thread-safe. The queue of those who wait and the bytes are appended to under one lock, so their orders agree. A waiter that gives up
/// stays in the queue, so that later replies find their own. When the connection ends, every waiter is told that its reply was lost.
/// </remarks>
internal sealed class RedisConnection : IAsyncDisposable
{
    private const int MaxWaiting = 100_000;
    private readonly Stream _stream;
    private readonly PipeReader _reader;
    private readonly Action<RespValue>? _onPush;
    private readonly Lock _lock = new();
    private readonly Queue<TaskCompletionSource<RespValue>> _waiting = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ArrayBufferWriter<byte> _filling = new(4096);
    private ArrayBufferWriter<byte> _sending = new(4096);
    private bool _isSending;
    private bool _isClosed;
    private long _lastHeard = Environment.TickCount64;

    private RedisConnection(Stream stream, Action<RespValue>? onPush)
    {
        _stream = stream;
        _reader = PipeReader.Create(stream);
        _onPush = onPush;
        _ = ReadAllAsync();
    }

    /// <summary>Completes when the connection is over.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Milliseconds since the server was last heard.</summary>
    public long SilentFor => Environment.TickCount64 - Volatile.Read(ref _lastHeard);

    /// <summary>Connects and authenticates.</summary>
    /// <param name="endpoint">Where and how.</param>
    /// <param name="onPush">Takes every reply that nobody asked for (a subscriber's messages), on the reading thread; null when there are none.</param>
    /// <param name="cancel">Ends the attempt.</param>
    /// <exception cref="IOException">The server cannot be reached or does not let us in.</exception>
    public static async Task<RedisConnection> OpenAsync(RedisEndpoint endpoint, Action<RespValue>? onPush, CancellationToken cancel)
    {
        var connection = new RedisConnection(await endpoint.ConnectAsync(cancel), onPush);
        try
        {
            if (endpoint.Password.Length > 0)
            {
                ReadOnlyMemory<byte>[] words = endpoint.User.Length > 0
                    ? [RespWriter.Word("AUTH"), RespWriter.Word(endpoint.User), RespWriter.Word(endpoint.Password)]
                    : [RespWriter.Word("AUTH"), RespWriter.Word(endpoint.Password)];
                var reply = await connection.SendAsync(words).WaitAsync(TimeSpan.FromSeconds(5), cancel);
                if (reply.Kind == RespKind.Error)
                {
                    throw new IOException("Redis refused the password: " + reply.ErrorCode);
                }
            }

            return connection;
        }
        catch (TimeoutException)
        {
            await connection.DisposeAsync();
            throw new IOException("Redis did not answer in time");
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends one command; the task ends with its reply.</summary>
    /// <exception cref="RedisReplyLostException">From the task: the connection ended first.</exception>
    public Task<RespValue> SendAsync(params ReadOnlySpan<ReadOnlyMemory<byte>> words)
    {
        var waiter = new TaskCompletionSource<RespValue>(TaskCreationOptions.RunContinuationsAsynchronously);
        return Send(words, waiter) ? waiter.Task : Task.FromException<RespValue>(new RedisReplyLostException());
    }

    /// <summary>Sends a command whose reply comes as pushes (SUBSCRIBE).</summary>
    public bool SendForPush(params ReadOnlySpan<ReadOnlyMemory<byte>> words) => Send(words, waiter: null);

    public async ValueTask DisposeAsync()
    {
        Close(null);
        await _stream.DisposeAsync();
    }

    private bool Send(ReadOnlySpan<ReadOnlyMemory<byte>> words, TaskCompletionSource<RespValue>? waiter)
    {
        var start = false;
        lock (_lock)
        {
            if (_isClosed || _waiting.Count >= MaxWaiting)
            {
                return false;
            }

            if (waiter is not null)
            {
                _waiting.Enqueue(waiter);
            }

            RespWriter.Write(_filling, words);
            start = !_isSending;
            _isSending = true;
        }

        if (start)
        {
            _ = SendAllAsync();
        }

        return true;
    }

    // One at a time; what is appended meanwhile goes out with the next write.
    private async Task SendAllAsync()
    {
        await Task.Yield();
        try
        {
            while (true)
            {
                lock (_lock)
                {
                    if (_filling.WrittenCount == 0)
                    {
                        _isSending = false;
                        return;
                    }

                    (_filling, _sending) = (_sending, _filling);
                }

                await _stream.WriteAsync(_sending.WrittenMemory);
                _sending.ResetWrittenCount();
            }
        }
        catch (Exception exception)
        {
            Close(exception);
        }
    }

    private async Task ReadAllAsync()
    {
        Exception? cause = null;
        try
        {
            while (true)
            {
                var read = await _reader.ReadAsync();
                Volatile.Write(ref _lastHeard, Environment.TickCount64);
                var rest = read.Buffer;
                while (RespReader.TryRead(ref rest, out var value))
                {
                    Take(value);
                }

                _reader.AdvanceTo(rest.Start, read.Buffer.End);
                if (read.IsCompleted)
                {
                    break;
                }
            }
        }
        catch (Exception exception)
        {
            cause = exception;
        }

        Close(cause);
        await _reader.CompleteAsync();
        await _stream.DisposeAsync();
    }

    private void Take(RespValue value)
    {
        TaskCompletionSource<RespValue>? waiter = null;
        if (_onPush is null || !IsPush(value))
        {
            lock (_lock)
            {
                _waiting.TryDequeue(out waiter);
            }
        }

        if (waiter is not null)
        {
            waiter.TrySetResult(value);
        }
        else
        {
            _onPush?.Invoke(value);
        }
    }

    // A subscriber's replies name themselves; PING inside a subscription answers ["pong", ""].
    private static bool IsPush(RespValue value) =>
        value.Kind == RespKind.Array && value.Items.Count == 3 && value.Items[0].Bytes.Span is var word
        && (word.SequenceEqual("message"u8) || word.SequenceEqual("subscribe"u8) || word.SequenceEqual("unsubscribe"u8));

    private void Close(Exception? cause)
    {
        TaskCompletionSource<RespValue>[] lost;
        lock (_lock)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            lost = [.. _waiting];
            _waiting.Clear();
        }

        foreach (var waiter in lost)
        {
            waiter.TrySetException(new RedisReplyLostException(cause));
        }

        _ended.TrySetResult();
        _stream.Close();
    }
}
