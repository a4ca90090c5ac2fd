using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>
/// The server side of one HTTP/2 connection (RFC 9113), written out so that a simulator can do what a web server hides: change
/// the stream limit while running, refuse a stream, GOAWAY with a chosen last stream and debug data, stay silent, leave PINGs
/// unanswered. The reader loop owns the incoming half; <c>_gate</c> guards streams, windows and limits; <c>_writing</c> orders
/// the outgoing frames. <c>_gate</c> is never held while waiting for <c>_writing</c>.
/// </summary>
internal sealed partial class Http2Connection : IDisposable
{
    private const int DefaultWindow = 65_535;
    private const int MaxWindow = int.MaxValue;
    private const int MaxHeaderBlockBytes = 64 * 1024;
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly SslStream _stream;
    private readonly Func<Http2Connection, Http2Exchange, Task> _handler;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private readonly Dictionary<int, Http2Exchange> _open = [];
    private readonly Queue<int> _unacknowledgedLimits = new();
    private readonly HpackDecoder _decoder = new();
    private readonly byte[] _frame = new byte[Http2Frame.HeaderBytes + Http2Frame.MaxPayloadBytes];
    private MemoryStream? _headerBlock;
    private int _headerBlockStream;
    private bool _headerBlockEndsStream;
    private int _sendWindow = DefaultWindow;
    private int _initialSendWindow = DefaultWindow;
    private TaskCompletionSource _windowOpened = NewSignal();
    private int _streamLimit;
    private int _highestSeen;
    private int _highestHandled;
    private int _goAwayLast = int.MaxValue;
    private bool _closeWhenDrained;
    private bool _sentEnd;

    public Http2Connection(long id, Socket socket, SslStream stream, int maxStreams, Func<Http2Connection, Http2Exchange, Task> handler)
    {
        Id = id;
        _socket = socket;
        _stream = stream;
        _streamLimit = maxStreams;
        _handler = handler;
    }

    public long Id { get; }
    /// <summary>Whether PINGs are acknowledged (RFC 9113, 6.7).</summary>
    public bool AnswerPings { get; set; } = true;
    /// <summary>Streams turned away because they were above the limit.</summary>
    public int RefusedStreams { get; private set; }
    /// <summary>PRIORITY frames and HEADERS with priority, which Apple asks providers not to send.</summary>
    public int PriorityFrames { get; private set; }
    public int PingsReceived { get; private set; }
    /// <summary>The largest number of streams that were open at once.</summary>
    public int MostOpenStreams { get; private set; }
    /// <summary>Free use by the handler: the provider token state of this connection.</summary>
    public object? State { get; set; }

    public int StreamLimit
    {
        get { lock (_gate) return _streamLimit; }
    }

    /// <summary>Runs until either side ends the connection. Never throws for what a client does.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.Register(Close);
        try
        {
            await ReadAsync(_closing.Token);
        }
        catch (Http2ConnectionException failure)
        {
            await WriteQuietlyAsync(Http2Frame.WriteGoAway(_highestHandled, failure.Error, default));
            await EndAsync();
            await DrainAsync();
        }
        catch (Exception failure) when (failure is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // The peer left, or we closed.
        }
        finally
        {
            Close();
        }
    }

    /// <summary>Takes the right to answer. False when the client has reset the stream or a GOAWAY has excluded it.</summary>
    public bool TryClaim(Http2Exchange exchange)
    {
        lock (_gate)
        {
            if (exchange.Claimed || !_open.ContainsKey(exchange.StreamId)) return false;
            exchange.Claimed = true;
            return true;
        }
    }

    /// <summary>Writes HEADERS and DATA under flow control and closes the stream.</summary>
    public async Task RespondAsync(Http2Exchange exchange, int status, IEnumerable<KeyValuePair<string, string>> headers, ReadOnlyMemory<byte> body)
    {
        var flags = Http2Flags.EndHeaders | (body.IsEmpty ? Http2Flags.EndStreamOrAck : Http2Flags.None);
        await WriteAsync(Http2Frame.Write(Http2FrameType.Headers, flags, exchange.StreamId, HpackEncoder.Encode(status, headers)));
        while (!body.IsEmpty)
        {
            var room = await ReserveWindowAsync(exchange, body.Length);
            var last = room == body.Length;
            await WriteAsync(Http2Frame.Write(Http2FrameType.Data, last ? Http2Flags.EndStreamOrAck : Http2Flags.None, exchange.StreamId, body.Span[..room]));
            body = body[room..];
        }
        Forget(exchange);
    }

    public async Task ResetAsync(Http2Exchange exchange, Http2Error error)
    {
        await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.RstStream, exchange.StreamId, (int)error));
        Forget(exchange);
    }

    /// <summary>Announces another SETTINGS_MAX_CONCURRENT_STREAMS; a lower one counts once the client has acknowledged it.</summary>
    public Task SetStreamLimitAsync(int limit)
    {
        lock (_gate)
        {
            if (_unacknowledgedLimits.Count == 0 ? _streamLimit == limit : _unacknowledgedLimits.Last() == limit) return Task.CompletedTask;
            _unacknowledgedLimits.Enqueue(limit);
            _streamLimit = Math.Max(_streamLimit, limit);
        }
        return WriteAsync(Http2Frame.WriteSetting(Http2Setting.MaxConcurrentStreams, limit));
    }

    /// <summary>
    /// Sends GOAWAY. Streams above <paramref name="lastStreamId"/> (default: the highest one handed to the handler) count as never
    /// seen and are dropped without a word; those below are finished, after which the connection closes when asked to.
    /// </summary>
    public async Task GoAwayAsync(Http2Error error, ReadOnlyMemory<byte> debugData, int? lastStreamId = null, bool closeWhenDrained = true)
    {
        List<Http2Exchange> excluded;
        int last;
        lock (_gate)
        {
            last = Math.Min(_goAwayLast, lastStreamId ?? _highestHandled);
            _goAwayLast = last;
            _closeWhenDrained |= closeWhenDrained;
            excluded = [.. _open.Values.Where(exchange => exchange.StreamId > last && !exchange.Claimed)];
            foreach (var exchange in excluded) _open.Remove(exchange.StreamId);
        }
        await WriteQuietlyAsync(Http2Frame.WriteGoAway(last, error, debugData.Span));
        foreach (var exchange in excluded) exchange.Abort();
        CloseIfDrained();
    }

    /// <summary>True while no later stream has been handed out, so that a GOAWAY may exclude this one.</summary>
    public bool IsHighest(Http2Exchange exchange)
    {
        lock (_gate) return exchange.StreamId == _highestHandled;
    }

    /// <summary>Ends the TCP connection with a RST.</summary>
    public void Drop()
    {
        try
        {
            _socket.LingerState = new LingerOption(true, 0);
            _socket.Close();
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            // Already gone.
        }
        Close();
    }

    public void Close()
    {
        Http2Exchange[] left;
        lock (_gate)
        {
            left = [.. _open.Values];
            _open.Clear();
        }
        try
        {
            _closing.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Dropped from outside while it was ending by itself.
        }
        foreach (var exchange in left) exchange.Abort();
        _stream.Dispose();
        _socket.Dispose();
    }

    public void Dispose()
    {
        Close();
        _writing.Dispose();
        _closing.Dispose();
    }

    private async Task<int> ReserveWindowAsync(Http2Exchange exchange, int wanted)
    {
        while (true)
        {
            Task opened;
            lock (_gate)
            {
                if (!_open.ContainsKey(exchange.StreamId)) throw new OperationCanceledException();
                var room = Math.Min(Math.Min(wanted, Http2Frame.MaxPayloadBytes), Math.Min(_sendWindow, exchange.SendWindow));
                if (room > 0)
                {
                    _sendWindow -= room;
                    exchange.SendWindow -= room;
                    return room;
                }
                opened = _windowOpened.Task;
            }
            await opened.WaitAsync(_closing.Token);
        }
    }

    private void SignalWindow()
    {
        TaskCompletionSource signal;
        lock (_gate)
        {
            signal = _windowOpened;
            _windowOpened = NewSignal();
        }
        signal.TrySetResult();
    }

    private void Forget(Http2Exchange exchange)
    {
        lock (_gate) _open.Remove(exchange.StreamId);
        CloseIfDrained();
    }

    private void CloseIfDrained()
    {
        lock (_gate)
        {
            if (!_closeWhenDrained || _open.Count > 0) return;
        }
        _ = EndAsync();
    }

    /// <summary>Ends our half only: closing at once could destroy answers that the client has not read yet (TCP RST on unread input).</summary>
    private async Task EndAsync()
    {
        try
        {
            await _writing.WaitAsync(_closing.Token);
            try
            {
                if (_sentEnd) return;
                _sentEnd = true;
                await _stream.ShutdownAsync();
                _socket.Shutdown(SocketShutdown.Send);
            }
            finally
            {
                _writing.Release();
            }
        }
        catch (Exception failure) when (failure is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            Close();
        }
    }

    /// <summary>Reads what is still coming, for a moment, so that the GOAWAY is not lost to a TCP RST.</summary>
    private async Task DrainAsync()
    {
        try
        {
            using var moment = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
            moment.CancelAfter(DrainTime);
            while (await _stream.ReadAsync(_frame, moment.Token) > 0) { }
        }
        catch (Exception failure) when (failure is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // Long enough, or gone.
        }
    }

    private async Task WriteAsync(ReadOnlyMemory<byte> frame)
    {
        await _writing.WaitAsync(_closing.Token);
        try
        {
            if (!_sentEnd) await _stream.WriteAsync(frame, _closing.Token);
        }
        finally
        {
            _writing.Release();
        }
    }

    private async Task WriteQuietlyAsync(ReadOnlyMemory<byte> frame)
    {
        try
        {
            await WriteAsync(frame);
        }
        catch (Exception failure) when (failure is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // The peer is gone already.
        }
    }

    private static ReadOnlyMemory<byte> Unpad(Http2Frame frame)
    {
        if (!frame.Has(Http2Flags.Padded)) return frame.Payload;
        if (frame.Payload.IsEmpty || frame.Payload.Span[0] >= frame.Payload.Length) throw new Http2ConnectionException(Http2Error.ProtocolError);
        return frame.Payload[1..^frame.Payload.Span[0]];
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>What ends a whole connection with GOAWAY. RFC 9113, 5.4.1.</summary>
internal sealed partial class Http2ConnectionException(Http2Error error) : Exception(error.ToString())
{
    public Http2Error Error { get; } = error;
}
