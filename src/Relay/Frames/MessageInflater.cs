using System.Buffers;
using System.IO.Compression;

namespace Marmot.Relay.Frames;

/// <summary>Restores one compressed message (RFC 7692, 7.2.2), never more of it than allowed.</summary>
internal static class MessageInflater
{
    private const int FirstGuess = 4; // times the compressed size; JSON shrinks about so much
    private const int MinSize = 1024;

    /// <summary>The end of every compressed message, which is not sent.</summary>
    public static ReadOnlySpan<byte> Tail => [0x00, 0x00, 0xFF, 0xFF];

    /// <summary>Puts a message in the place of its compressed bytes, the last ones of a buffer that grows from the shared pool.</summary>
    /// <returns><see cref="FrameResult.TooLarge"/> as soon as there are more than <paramref name="maxBytes"/>; <see cref="FrameResult.Violation"/> when it is
    /// no DEFLATE.</returns>
    public static FrameResult Inflate(ref byte[] buffer, int start, int compressedLength, int maxBytes, out int length)
    {
        length = 0;
        var inputLength = compressedLength + Tail.Length;
        var input = ArrayPool<byte>.Shared.Rent(inputLength);
        buffer.AsSpan(start, compressedLength).CopyTo(input);
        Tail.CopyTo(input.AsSpan(compressedLength));
        try
        {
            using var source = new MemoryStream(input, 0, inputLength, writable: false);
            using var inflate = new DeflateStream(source, CompressionMode.Decompress);
            Grow(ref buffer, start, Math.Min(maxBytes + 1, Math.Max(MinSize, compressedLength * FirstGuess)));
            while (true)
            {
                if (start + length == buffer.Length)
                {
                    Grow(ref buffer, start + length, length);
                }

                // One byte more than allowed is asked for, so that it is seen; no more is ever made.
                var read = inflate.Read(buffer, start + length, Math.Min(buffer.Length - start, maxBytes + 1) - length);
                length += read;
                if (read == 0 || length > maxBytes)
                {
                    return length > maxBytes ? FrameResult.TooLarge : FrameResult.Complete;
                }
            }
        }
        catch (InvalidDataException)
        {
            return FrameResult.Violation;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(input);
        }
    }

    // Room for so many bytes after those used.
    private static void Grow(ref byte[] buffer, int used, int room)
    {
        if (buffer.Length - used >= room)
        {
            return;
        }

        var grown = ArrayPool<byte>.Shared.Rent(used + room);
        buffer.AsSpan(0, used).CopyTo(grown);
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = grown;
    }
}
