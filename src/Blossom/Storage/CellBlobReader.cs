namespace Marmot.Blossom.Storage;

/// <summary>A small blob, read whole when it was opened.</summary>
internal sealed class CellBlobReader(byte[] blob) : LocalBlobReader
{
    public override ValueTask<long> GetLengthAsync(CancellationToken cancellationToken) => ValueTask.FromResult((long)blob.Length);

    public override int Read(Span<byte> target, long offset)
    {
        var part = blob.AsSpan((int)Math.Min(offset, blob.Length));
        part = part[..Math.Min(part.Length, target.Length)];
        part.CopyTo(target);
        return part.Length;
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
