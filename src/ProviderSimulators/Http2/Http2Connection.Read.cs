using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>What comes in: frames, header blocks, settings, windows.</summary>
internal sealed partial class Http2Connection
{
    private async Task ReadAsync(CancellationToken cancellationToken)
    {
        // 1. Preface and our settings (RFC 9113, 3.4)
        await _stream.ReadExactlyAsync(_frame.AsMemory(0, Http2Frame.ClientPreface.Length), cancellationToken);
        if (!_frame.AsSpan(0, Http2Frame.ClientPreface.Length).SequenceEqual(Http2Frame.ClientPreface))
        {
            throw new Http2ConnectionException(Http2Error.ProtocolError);
        }

        lock (_gate) _unacknowledgedLimits.Enqueue(_streamLimit);
        await WriteAsync(Http2Frame.WriteSetting(Http2Setting.MaxConcurrentStreams, _streamLimit));
        // 2. Frames
        while (true)
        {
            var frame = await ReadFrameAsync(cancellationToken);
            // RFC 9113, 6.10: nothing may come between HEADERS and its CONTINUATIONs.
            if (_headerBlock is not null && (frame.Type != Http2FrameType.Continuation || frame.StreamId != _headerBlockStream))
            {
                throw new Http2ConnectionException(Http2Error.ProtocolError);
            }
            switch (frame.Type)
            {
                case Http2FrameType.Headers: StartHeaderBlock(frame); await FinishHeaderBlockAsync(frame); break;
                case Http2FrameType.Continuation: ContinueHeaderBlock(frame); await FinishHeaderBlockAsync(frame); break;
                case Http2FrameType.Data: await OnDataAsync(frame); break;
                case Http2FrameType.Settings: await OnSettingsAsync(frame); break;
                case Http2FrameType.WindowUpdate: OnWindowUpdate(frame); break;
                case Http2FrameType.RstStream: OnReset(frame.StreamId); break;
                case Http2FrameType.Ping: await OnPingAsync(frame); break;
                case Http2FrameType.Priority: PriorityFrames++; break;
                case Http2FrameType.PushPromise: throw new Http2ConnectionException(Http2Error.ProtocolError);
                default: break; // GOAWAY from a client that leaves, and unknown types (5.5)
            }
        }
    }

    private async Task<Http2Frame> ReadFrameAsync(CancellationToken cancellationToken)
    {
        await _stream.ReadExactlyAsync(_frame.AsMemory(0, Http2Frame.HeaderBytes), cancellationToken);
        var length = BinaryPrimitives.ReadInt32BigEndian(_frame) >>> 8;
        if (length > Http2Frame.MaxPayloadBytes) throw new Http2ConnectionException(Http2Error.FrameSizeError);
        var (type, flags) = ((Http2FrameType)_frame[3], (Http2Flags)_frame[4]);
        var streamId = BinaryPrimitives.ReadInt32BigEndian(_frame.AsSpan(5)) & int.MaxValue;
        await _stream.ReadExactlyAsync(_frame.AsMemory(0, length), cancellationToken);
        return new Http2Frame(type, flags, streamId, _frame.AsMemory(0, length));
    }

    private void StartHeaderBlock(Http2Frame frame)
    {
        var payload = Unpad(frame);
        if (frame.Has(Http2Flags.Priority))
        {
            if (payload.Length < 5) throw new Http2ConnectionException(Http2Error.FrameSizeError);
            PriorityFrames++;
            payload = payload[5..];
        }
        if ((frame.StreamId & 1) == 0) throw new Http2ConnectionException(Http2Error.ProtocolError);
        _headerBlock = new MemoryStream();
        _headerBlock.Write(payload.Span);
        _headerBlockStream = frame.StreamId;
        _headerBlockEndsStream = frame.Has(Http2Flags.EndStreamOrAck);
    }

    private void ContinueHeaderBlock(Http2Frame frame)
    {
        if (_headerBlock is null) throw new Http2ConnectionException(Http2Error.ProtocolError);
        if (_headerBlock.Length + frame.Payload.Length > MaxHeaderBlockBytes) throw new Http2ConnectionException(Http2Error.EnhanceYourCalm);
        _headerBlock.Write(frame.Payload.Span);
    }

    private async Task FinishHeaderBlockAsync(Http2Frame frame)
    {
        if (!frame.Has(Http2Flags.EndHeaders)) return;
        // Decoded even when the stream is refused or unknown: the dynamic table must stay in step (RFC 9113, 4.3).
        var block = _headerBlock!.ToArray();
        _headerBlock = null;
        if (!_decoder.TryDecode(block, out var headers)) throw new Http2ConnectionException(Http2Error.CompressionError);
        var exchange = Open(headers, out var refused);
        if (refused) await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.RstStream, _headerBlockStream, (int)Http2Error.RefusedStream));
        if (exchange is not null && _headerBlockEndsStream) Start(exchange);
    }

    private Http2Exchange? Open(List<KeyValuePair<string, string>> headers, out bool refused)
    {
        refused = false;
        lock (_gate)
        {
            // Trailers of an open stream, or late frames of one already closed
            if (_headerBlockStream <= _highestSeen) return _open.GetValueOrDefault(_headerBlockStream);
            _highestSeen = _headerBlockStream;
            if (_headerBlockStream > _goAwayLast) return null;
            if (_open.Count >= _streamLimit)
            {
                RefusedStreams++;
                refused = true;
                return null;
            }
            var exchange = new Http2Exchange(_headerBlockStream, headers, _initialSendWindow);
            _open.Add(exchange.StreamId, exchange);
            MostOpenStreams = Math.Max(MostOpenStreams, _open.Count);
            return exchange;
        }
    }

    private async Task OnDataAsync(Http2Frame frame)
    {
        if (frame.StreamId == 0) throw new Http2ConnectionException(Http2Error.ProtocolError);
        var data = Unpad(frame);
        Http2Exchange? exchange;
        lock (_gate) exchange = _open.GetValueOrDefault(frame.StreamId);
        if (exchange is { Complete: false }) exchange.Append(data.Span);
        // Read at once, so the windows are given back at once: connection, then stream while it goes on.
        if (frame.Payload.Length > 0)
        {
            await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.WindowUpdate, 0, frame.Payload.Length));
            if (exchange is not null && !frame.Has(Http2Flags.EndStreamOrAck))
            {
                await WriteAsync(Http2Frame.WriteNumber(Http2FrameType.WindowUpdate, frame.StreamId, frame.Payload.Length));
            }
        }
        if (exchange is { Complete: false } && frame.Has(Http2Flags.EndStreamOrAck)) Start(exchange);
    }

    private void Start(Http2Exchange exchange)
    {
        lock (_gate)
        {
            if (exchange.Complete || !_open.ContainsKey(exchange.StreamId)) return;
            exchange.Complete = true;
            _highestHandled = Math.Max(_highestHandled, exchange.StreamId);
        }
        _ = HandleAsync(exchange);
    }

    private async Task HandleAsync(Http2Exchange exchange)
    {
        await Task.Yield();
        try
        {
            await _handler(this, exchange);
        }
        catch (Exception failure) when (failure is IOException or OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // The connection ended under the answer; the request is on record.
        }
        catch (Exception)
        {
            // A fault of the simulator itself: show it to the client rather than hang.
            await ResetAsync(exchange, Http2Error.InternalError);
            throw;
        }
    }

    private async Task OnSettingsAsync(Http2Frame frame)
    {
        if (frame.Has(Http2Flags.EndStreamOrAck))
        {
            lock (_gate)
            {
                if (!_unacknowledgedLimits.TryDequeue(out var limit)) return;
                // A higher limit announced since then already counts.
                _streamLimit = Math.Max(limit, _unacknowledgedLimits.Count == 0 ? 0 : _unacknowledgedLimits.Max());
            }
            return;
        }
        if (frame.Payload.Length % 6 != 0) throw new Http2ConnectionException(Http2Error.FrameSizeError);
        for (var rest = frame.Payload; !rest.IsEmpty; rest = rest[6..])
        {
            var setting = (Http2Setting)BinaryPrimitives.ReadUInt16BigEndian(rest.Span);
            var value = BinaryPrimitives.ReadUInt32BigEndian(rest.Span[2..]);
            if (setting == Http2Setting.InitialWindowSize) ChangeInitialWindow(value);
        }
        await WriteAsync(Http2Frame.Write(Http2FrameType.Settings, Http2Flags.EndStreamOrAck, 0, default));
    }

    private void ChangeInitialWindow(uint value)
    {
        if (value > MaxWindow) throw new Http2ConnectionException(Http2Error.FlowControlError);
        lock (_gate)
        {
            // RFC 9113, 6.9.2: the difference applies to every open stream and may make a window negative.
            var difference = (int)value - _initialSendWindow;
            _initialSendWindow = (int)value;
            foreach (var exchange in _open.Values) exchange.SendWindow += difference;
        }
        SignalWindow();
    }

    private void OnWindowUpdate(Http2Frame frame)
    {
        if (frame.Payload.Length != 4) throw new Http2ConnectionException(Http2Error.FrameSizeError);
        var increment = BinaryPrimitives.ReadInt32BigEndian(frame.Payload.Span) & int.MaxValue;
        lock (_gate)
        {
            if (frame.StreamId == 0)
            {
                if (_sendWindow > MaxWindow - increment) throw new Http2ConnectionException(Http2Error.FlowControlError);
                _sendWindow += increment;
            }
            else if (_open.TryGetValue(frame.StreamId, out var exchange))
            {
                exchange.SendWindow = (int)Math.Min((long)exchange.SendWindow + increment, MaxWindow);
            }
        }
        SignalWindow();
    }

    private async Task OnPingAsync(Http2Frame frame)
    {
        if (frame.Payload.Length != 8) throw new Http2ConnectionException(Http2Error.FrameSizeError);
        if (frame.Has(Http2Flags.EndStreamOrAck)) return;
        PingsReceived++;
        if (AnswerPings) await WriteAsync(Http2Frame.Write(Http2FrameType.Ping, Http2Flags.EndStreamOrAck, 0, frame.Payload.Span));
    }

    private void OnReset(int streamId)
    {
        Http2Exchange? exchange;
        lock (_gate)
        {
            if (!_open.Remove(streamId, out exchange)) return;
        }
        exchange.Abort();
        SignalWindow();
        CloseIfDrained();
    }
}
