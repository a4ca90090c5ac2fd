using Marmot.Protocol.Encoding;

namespace Marmot.Relay.Frames;

/// <summary>A message over the size limit on its way past: nothing of it is kept but its start and the id of its event, so that the answer finds its
/// sender.</summary>
/// <remarks>Reads the JSON byte by byte in whatever pieces it comes; grammar is not checked. Not thread-safe: the read loop's own.</remarks>
internal sealed class OversizedMessage
{
    /// <summary>A message longer than this ends the connection (1009): passing it would take a client minutes.</summary>
    public const long MaxBytes = 16L << 20;

    /// <summary>Enough for the verb and a subscription id however it is escaped.</summary>
    private const int MaxStart = 4096;

    private readonly byte[] _start = new byte[MaxStart];
    private readonly byte[] _string = new byte[Bytes32.HexSize];
    private int _startLength;
    private int _stringLength; // over its size when the string is longer than an id
    private int _depth;
    private bool _isInString;
    private bool _isEscaped;
    private bool _isName;
    private bool _isIdNext;

    /// <summary>Bytes so far.</summary>
    public long Length { get; private set; }

    /// <summary>The <c>id</c> of the event in it, as soon as it has passed.</summary>
    public Bytes32? EventId { get; private set; }

    /// <summary>How it begins, cut before a character that is not whole.</summary>
    public ReadOnlySpan<byte> Start
    {
        get
        {
            var start = _start.AsSpan(0, _startLength);
            while (Length > _startLength && start is [.., >= 0x80])
            {
                start = start[..^1];
            }

            return start;
        }
    }

    /// <summary>Takes the next bytes.</summary>
    /// <param name="bytes">A piece of the message.</param>
    /// <param name="isReadable">False for compressed bytes, which only count.</param>
    public void Read(ReadOnlySpan<byte> bytes, bool isReadable)
    {
        Length += bytes.Length;
        if (!isReadable)
        {
            return;
        }

        var kept = Math.Min(bytes.Length, MaxStart - _startLength);
        bytes[..kept].CopyTo(_start.AsSpan(_startLength));
        _startLength += kept;
        while (!bytes.IsEmpty && EventId is null)
        {
            bytes = _isInString ? ReadString(bytes) : ReadStructure(bytes);
        }
    }

    private ReadOnlySpan<byte> ReadString(ReadOnlySpan<byte> bytes)
    {
        if (_isEscaped)
        {
            _isEscaped = false;
            Keep(bytes[..1]);
            return bytes[1..];
        }

        var run = bytes.IndexOfAny((byte)'"', (byte)'\\');
        Keep(run < 0 ? bytes : bytes[..run]);
        if (run < 0)
        {
            return default;
        }

        _isEscaped = bytes[run] == (byte)'\\';
        if (_isEscaped)
        {
            Keep(bytes.Slice(run, 1));
        }
        else
        {
            _isInString = false;
            EndString();
        }

        return bytes[(run + 1)..];
    }

    private ReadOnlySpan<byte> ReadStructure(ReadOnlySpan<byte> bytes)
    {
        switch (bytes[0])
        {
            case (byte)'"':
                _isInString = true;
                _stringLength = 0;
                break;
            case (byte)'{' or (byte)'[':
                _depth++;
                _isName = _depth == 2 && bytes[0] == (byte)'{';
                break;
            case (byte)'}' or (byte)']':
                _depth--;
                break;
            case (byte)',' when _depth == 2:
                _isName = true;
                _isIdNext = false;
                break;
            case (byte)':' when _depth == 2:
                _isName = false;
                break;
        }

        return bytes[1..];
    }

    // ["EVENT",{"id":"..."}]: a member of the second level.
    private void EndString()
    {
        var text = _string.AsSpan(0, Math.Min(_stringLength, _string.Length));
        if (_depth != 2)
        {
            return;
        }

        if (_isName)
        {
            _isIdNext = _stringLength <= _string.Length && text.SequenceEqual("id"u8);
        }
        else if (_isIdNext && _stringLength == _string.Length && Bytes32.TryParseHex(text, out var id))
        {
            EventId = id;
        }
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        var kept = Math.Min(bytes.Length, Math.Max(0, _string.Length - _stringLength));
        bytes[..kept].CopyTo(_string.AsSpan(Math.Min(_stringLength, _string.Length)));
        _stringLength = (int)Math.Min(int.MaxValue, (long)_stringLength + bytes.Length);
    }
}
