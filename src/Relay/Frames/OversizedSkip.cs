using System.Buffers;

namespace Marmot.Relay.Frames;

/// <summary>Whether a frame of an oversized message can be skipped.</summary>
internal enum SkipResult
{
    /// <summary>It is skipped; <see cref="OversizedSkip.Skip"/> takes its bytes.</summary>
    Begun,

    /// <summary>It holds binary data, which Nostr does not know.</summary>
    Binary,

    /// <summary>RFC 6455, 5.4: a new message inside another, or a fragment of none.</summary>
    Violation,

    /// <summary>The message is longer than <see cref="OversizedMessage.MaxBytes"/>.</summary>
    TooLarge,
}

/// <summary>Skips messages over the size limit, so that such a message costs itself and not the connection: its bytes are read for the id that the answer
/// needs, and dropped.</summary>
/// <remarks>Not thread-safe: the read loop's own.</remarks>
internal sealed class OversizedSkip
{
    private OversizedMessage? _message; // the one that is skipped now
    private OversizedMessage? _skipped; // skipped, and to be answered after the messages before it
    private long _rest; // bytes still to come of the frame at hand
    private long _frame; // bytes of that frame
    private uint _mask;
    private bool _isLast; // no frame of that message comes after it
    private bool _isDeflated;

    /// <summary>True between the first and the last frame of an oversized message.</summary>
    public bool IsInMessage => _message is not null;

    /// <summary>True while bytes of a frame are still to come.</summary>
    public bool IsInFrame => _rest > 0;

    /// <summary>True when a message was skipped to its end and is not answered yet.</summary>
    public bool IsDone => _skipped is not null;

    /// <summary>The message that was skipped, once; null when there is none to answer.</summary>
    public OversizedMessage? TakeSkipped()
    {
        var skipped = _skipped;
        _skipped = null;
        return skipped;
    }

    /// <summary>Begins to skip a frame; fragments of its message that are already in the batch are taken out.</summary>
    public SkipResult Begin(in WebSocketFrame frame, MessageBatch batch)
    {
        if (frame.Opcode == FrameOpcode.Binary)
        {
            return SkipResult.Binary;
        }

        if ((batch.IsInMessage || IsInMessage) != (frame.Opcode == FrameOpcode.Continuation))
        {
            return SkipResult.Violation;
        }

        if (_message is null)
        {
            _message = new OversizedMessage();
            _isDeflated = frame.IsDeflated || batch.IsOpenDeflated;
            Read(batch.TakeOpen());
        }

        if (_message.Length + frame.Length > OversizedMessage.MaxBytes)
        {
            return SkipResult.TooLarge;
        }

        (_rest, _frame, _mask, _isLast) = (frame.Length, frame.Length, frame.Mask, frame.IsFinal);
        if (frame.Length == 0)
        {
            End();
        }

        return SkipResult.Begun;
    }

    /// <summary>Takes bytes of the frame at hand; false when more have to come.</summary>
    public bool Skip(ref ReadOnlySequence<byte> bytes)
    {
        Span<byte> piece = stackalloc byte[4096];
        while (_rest > 0 && !bytes.IsEmpty)
        {
            var taken = piece[..(int)Math.Min(piece.Length, Math.Min(_rest, bytes.Length))];
            bytes.Slice(0, taken.Length).CopyTo(taken);
            WebSocketFrame.Unmask(taken, _mask, _frame - _rest);
            Read(taken);
            _rest -= taken.Length;
            bytes = bytes.Slice(taken.Length);
        }

        if (_rest > 0)
        {
            return false;
        }

        End();
        return true;
    }

    /// <summary>A compressed message became too large: it was dropped, and <paramref name="start"/> is what had been inflated.</summary>
    public void AddInflated(ReadOnlySpan<byte> start)
    {
        _skipped = new OversizedMessage();
        _skipped.Read(start, isReadable: true);
    }

    // A compressed message cannot be read before it is whole, and is not inflated then.
    private void Read(ReadOnlySpan<byte> bytes) => _message!.Read(bytes, isReadable: !_isDeflated);

    private void End()
    {
        if (_isLast)
        {
            (_skipped, _message) = (_message, null);
        }
    }
}
