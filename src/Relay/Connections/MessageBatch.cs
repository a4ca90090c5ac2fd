using System.Buffers;

namespace Marmot.Relay.Connections;

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

    public int Count => _messages.Count;

    public bool IsFull => _messages.Count >= MaxMessages || _used >= MaxBytes;

    /// <summary>True between the first and the last fragment of a message (RFC 6455, 5.4).</summary>
    public bool IsInMessage => _isOpen;

    /// <summary>Bytes of the message in hand so far.</summary>
    public int OpenLength => _isOpen ? _used - _openStart : 0;

    public ReadOnlyMemory<byte> this[int index] => _buffer.AsMemory(_messages[index].Start, _messages[index].Length);

    public void Append(in WebSocketFrame frame)
    {
        if (!_isOpen)
        {
            _isOpen = true;
            _openStart = _used;
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
