using System.Buffers;

namespace Marmot.Relay.Frames;

/// <summary>The whole messages that stood in one read of a connection, unmasked, back to back in one pooled buffer that it owns.</summary>
internal sealed class MessageBatch : IDisposable
{
    /// <summary>Messages handled together at most.</summary>
    public const int MaxMessages = 128;

    private const int MaxBytes = 1 << 20;
    private readonly List<(int Start, int Length)> _messages = [];
    private byte[] _buffer = [];
    private int _used;
    private int _openStart;
    private bool _isOpen;
    private bool _isDeflated;
    private long _inflatedBytes;
    private int _cut;

    public int Count => _messages.Count;

    public bool IsFull => _messages.Count >= MaxMessages || _used >= MaxBytes;

    /// <summary>True between the first and the last fragment of a message (RFC 6455, 5.4).</summary>
    public bool IsInMessage => _isOpen;

    /// <summary>Bytes of the message in hand so far.</summary>
    public int OpenLength => _isOpen ? _used - _openStart : 0;

    /// <summary>True when the message that came last is whole and still compressed.</summary>
    public bool IsLastDeflated => _isDeflated && !_isOpen;

    /// <summary>True while the fragments in hand are compressed.</summary>
    public bool IsOpenDeflated => _isOpen && _isDeflated;

    public ReadOnlyMemory<byte> this[int index] => _buffer.AsMemory(_messages[index].Start, _messages[index].Length);

    public void Append(in WebSocketFrame frame)
    {
        if (!_isOpen)
        {
            _isOpen = true;
            _openStart = _used;
            _isDeflated = frame.IsDeflated;
        }

        var length = (int)frame.MaskedPayload.Length;
        if (_buffer.Length - _used < length)
        {
            var grown = ArrayPool<byte>.Shared.Rent(Math.Max(4096, Math.Max(_used + length, _buffer.Length * 2)));
            _buffer.AsSpan(0, _used).CopyTo(grown);
            Return();
            _buffer = grown;
        }

        frame.CopyTo(_buffer.AsSpan(_used));
        _used += length;
        if (frame.IsFinal)
        {
            _messages.Add((_openStart, _used - _openStart));
            _isOpen = false;
        }
    }

    /// <summary>The fragments of the message in hand, which is given up.</summary>
    public ReadOnlySpan<byte> TakeOpen()
    {
        if (!_isOpen)
        {
            return default;
        }

        var open = _buffer.AsSpan(_openStart, OpenLength);
        _used -= open.Length;
        _isOpen = false;
        return open;
    }

    /// <summary>What came out of a compressed message before it was too large; valid until the next message comes.</summary>
    public ReadOnlySpan<byte> Cut => _buffer.AsSpan(_used, _cut);

    /// <summary>Bytes that came out of compressed messages since the last call: work that the frames do not show.</summary>
    public long TakeInflatedBytes()
    {
        var bytes = _inflatedBytes;
        _inflatedBytes = 0;
        return bytes;
    }

    /// <summary>Puts the message that came last in place of its compressed bytes; when it cannot be had, it is gone.</summary>
    public FrameResult InflateLast(int maxBytes)
    {
        var (start, length) = _messages[^1];
        _messages.RemoveAt(_messages.Count - 1);
        _isDeflated = false;
        _used = start;
        var result = MessageInflater.Inflate(ref _buffer, start, length, maxBytes, out var inflated);
        _inflatedBytes += inflated;
        _cut = result == FrameResult.TooLarge ? maxBytes : 0;
        if (result == FrameResult.Complete)
        {
            _used += inflated;
            _messages.Add((start, inflated));
        }

        return result;
    }

    /// <summary>Forgets handled messages; gives the buffer back unless a message is in the middle of its fragments.</summary>
    public void Clear()
    {
        _messages.Clear();
        if (_isOpen)
        {
            _buffer.AsSpan(_openStart, _used - _openStart).CopyTo(_buffer);
            _used -= _openStart;
            _openStart = 0;
        }
        else
        {
            _used = 0;
            Return();
            _buffer = [];
        }
    }

    public void Dispose() => Return();

    private void Return()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }
    }
}
