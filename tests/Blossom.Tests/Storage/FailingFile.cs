using Marmot.Blossom.Storage;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>A file whose flushes fail while a condition holds.</summary>
internal sealed class FailingFile(IDiskFile file, Func<bool> isBroken) : IDiskFile
{
    public long Length => file.Length;

    public int Read(Span<byte> target, long offset) => file.Read(target, offset);

    public void Write(ReadOnlySpan<byte> bytes, long offset) => file.Write(bytes, offset);

    public void Flush()
    {
        if (isBroken())
        {
            throw new IOException("the medium failed", 5); // EIO
        }

        file.Flush();
    }

    public void Dispose() => file.Dispose();
}
