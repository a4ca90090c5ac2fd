namespace Marmot.Blossom.Mirror;

/// <summary>The body of an origin's answer, which must come at the slowest rate allowed: after so many bytes so much time may have passed, and no
/// more.</summary>
/// <remarks>Reading is cancelled when the time is over. Owned by one request.</remarks>
internal sealed class PacedStream(Stream body, int bytesPerSecond, TimeSpan grace, TimeProvider time, CancellationToken cancellationToken) : Stream
{
    private readonly CancellationTokenSource _late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    private readonly long _begun = time.GetTimestamp();
    private long _received;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <exception cref="OperationCanceledException">Too slow, or given up.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var left = grace + TimeSpan.FromSeconds((double)_received / bytesPerSecond) - time.GetElapsedTime(_begun);
        _late.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        var read = await body.ReadAsync(buffer, _late.Token);
        _received += read;
        return read;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

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
            _late.Dispose();
            body.Dispose();
        }

        base.Dispose(disposing);
    }
}
