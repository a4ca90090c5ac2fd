using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.IO.Compression;

namespace Marmot.Relay.Frames;

/// <summary>Compresses messages by Huffman coding alone: ciphertext in base64 and keys in hex hold no repetitions, only unused bits.</summary>
/// <remarks>
/// Without back-references the pieces that one compressor makes stand for themselves, so the few there are serve every message: nothing is
/// set up for one. Costs about 8 us and 5 us a KiB, leaves about 0.77 of an event.
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "as many as compress at one time, kept as long as the process runs")]
internal sealed class MessageDeflater
{
    /// <summary>Shorter messages are not worth the code table.</summary>
    public const int MinSize = 256;

    private static readonly ConcurrentBag<MessageDeflater> Idle = [];
    private readonly MemoryStream _output = new();
    private readonly DeflateStream _deflate;

    private MessageDeflater() => _deflate = new DeflateStream(
        _output, new ZLibCompressionOptions { CompressionLevel = 1, CompressionStrategy = ZLibCompressionStrategy.HuffmanOnly }, leaveOpen: true);

    /// <summary>The two parts as DEFLATE blocks that end at a byte, the last empty block cut as RFC 7692, 7.2.1 wants it; null when they are no
    /// shorter.</summary>
    public static byte[]? TryDeflate(ReadOnlySpan<byte> body, ReadOnlySpan<byte> tail)
    {
        if (body.Length + tail.Length < MinSize)
        {
            return null;
        }

        var deflater = Idle.TryTake(out var idle) ? idle : new MessageDeflater();
        var deflated = deflater.Deflate(body, tail);
        Idle.Add(deflater);
        return deflated.Length < body.Length + tail.Length ? deflated : null;
    }

    private byte[] Deflate(ReadOnlySpan<byte> body, ReadOnlySpan<byte> tail)
    {
        _output.SetLength(0);
        _deflate.Write(body);
        _deflate.Write(tail);
        _deflate.Flush(); // an empty stored block: 00 00 FF FF at a byte's edge
        return _output.GetBuffer()[..((int)_output.Length - MessageInflater.Tail.Length)];
    }
}
