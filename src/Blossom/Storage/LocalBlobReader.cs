using System.IO.Pipelines;

namespace Marmot.Blossom.Storage;

/// <summary>A blob on this machine: its bytes can be read now, straight into the connection's output buffer.</summary>
internal abstract class LocalBlobReader : BlobReader
{
    private const int ChunkBytes = 64 * 1024;

    /// <summary>Reads what there is at an offset, at most the target's length; 0 past the end.</summary>
    public abstract int Read(Span<byte> target, long offset);

    public override async ValueTask CopyToAsync(PipeWriter destination, long offset, long count, CancellationToken cancellationToken)
    {
        while (count > 0)
        {
            var buffer = destination.GetMemory((int)Math.Min(ChunkBytes, count));
            var read = Read(buffer.Span[..(int)Math.Min(buffer.Length, count)], offset);
            if (read == 0)
            {
                throw new EndOfStreamException("blob file is shorter than its index entry");
            }

            destination.Advance(read);
            offset += read;
            count -= read;
            var flush = await destination.FlushAsync(cancellationToken);
            if (flush.IsCompleted)
            {
                return;
            }
        }
    }
}
