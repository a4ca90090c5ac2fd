using System.IO.Compression;

namespace Marmot.Relay.Operator;

/// <summary>The lines of an import as they are in a file or come through a pipe, unpacked when they begin as gzip does (RFC 1952); knows how far it is where
/// the file's length is known.</summary>
/// <param name="source">Owned.</param>
internal sealed class ImportStream(Stream source) : Stream
{
    private const byte Magic1 = 0x1F;
    private const byte Magic2 = 0x8B;
    private Stream? _lines;

    /// <summary>How much of the file was read, 0 to 100; null for a pipe.</summary>
    public int? Percent => source.CanSeek && source.Length > 0 ? (int)(source.Position * 100 / source.Length) : null;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_lines is null)
        {
            var start = new byte[2];
            var read = await source.ReadAtLeastAsync(start, start.Length, throwOnEndOfStream: false, cancellationToken);
            var whole = new Rejoined(start[..read], source);
            _lines = read == 2 && start is [Magic1, Magic2] ? new GZipStream(whole, CompressionMode.Decompress) : whole;
        }

        try
        {
            return await _lines.ReadAsync(buffer, cancellationToken);
        }
        catch (InvalidDataException exception)
        {
            throw new IOException("the input is damaged gzip: " + exception.Message, exception);
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _lines?.Dispose();
            source.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>Bytes that were read already, then the rest.</summary>
    private sealed class Rejoined(byte[] start, Stream rest) : Stream
    {
        private int _given;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = Give(buffer.Span);
            return count > 0 || buffer.IsEmpty ? new ValueTask<int>(count) : rest.ReadAsync(buffer, cancellationToken);
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var given = Give(buffer.AsSpan(offset, count));
            return given > 0 || count == 0 ? given : rest.Read(buffer, offset, count);
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        private int Give(Span<byte> buffer)
        {
            var count = Math.Min(buffer.Length, start.Length - _given);
            start.AsSpan(_given, count).CopyTo(buffer);
            _given += count;
            return count;
        }
    }
}
