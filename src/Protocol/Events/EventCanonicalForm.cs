using System.Buffers;
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>The bytes an event id is the SHA-256 of: <c>[0,"pubkey",created_at,kind,tags,"content"]</c> without blanks (NIP-01).</summary>
internal static class EventCanonicalForm
{
    // [0,"  + 64 hex + ",  + 16 digits of 2^53 + , + 5 digits of kind + , + tags + ," + content + "]
    private const int FixedSize = 4 + Bytes32.HexSize + 2 + 16 + 1 + 5 + 1 + 2 + 2;

    // Marmot events are about 1 KB; larger ones borrow from the pool.
    private const int StackSize = 4096;

    /// <summary>Computes the id from the received bytes when they are canonical, else from a canonical copy of tags and content.</summary>
    [SkipLocalsInit] // the buffer is written before it is read; zeroing 4 KB costs as much as parsing the event
    public static void ComputeId(in NostrEventView view, Span<byte> id)
    {
        var size = FixedSize + view.RawTags.Length + view.RawContent.Length;
        if (size <= StackSize)
        {
            Span<byte> buffer = stackalloc byte[StackSize];
            var written = buffer[..Write(view, buffer)];
            SHA256.HashData(written, id);
            CryptographicOperations.ZeroMemory(written); // may have held the plaintext of a rumor
            return;
        }

        var rented = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            SHA256.HashData(rented.AsSpan(0, Write(view, rented)), id);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented, clearArray: true); // as above
        }
    }

    /// <summary>Computes the id of an event that is being made.</summary>
    public static Bytes32 ComputeId(in Bytes32 publicKey, long createdAt, int kind, ReadOnlySpan<byte> tags, ReadOnlySpan<byte> quotedContent)
    {
        var output = new ArrayBufferWriter<byte>(FixedSize + tags.Length + quotedContent.Length);
        Span<byte> head = stackalloc byte[FixedSize];
        output.Write(head[..WriteHead(publicKey, createdAt, kind, head)]);
        output.Write(tags);
        output.Write(","u8);
        output.Write(quotedContent);
        output.Write("]"u8);
        Span<byte> id = stackalloc byte[Bytes32.Size];
        SHA256.HashData(output.WrittenSpan, id);
        return new Bytes32(id);
    }

    /// <summary>Writes the canonical tags array; the destination must be as long as the raw tags.</summary>
    public static int WriteTags(in NostrEventView view, Span<byte> destination)
    {
        if (view.HasCanonicalBytes)
        {
            view.RawTags.CopyTo(destination);
            return view.RawTags.Length;
        }

        // Never longer than the source: blanks go, and each escape shrinks or keeps its size.
        var written = 0;
        destination[written++] = (byte)'[';
        var firstTag = true;
        foreach (var tag in view.Tags)
        {
            if (!firstTag)
            {
                destination[written++] = (byte)',';
            }

            firstTag = false;
            destination[written++] = (byte)'[';
            var firstItem = true;
            foreach (var item in tag.Items)
            {
                if (!firstItem)
                {
                    destination[written++] = (byte)',';
                }

                firstItem = false;
                destination[written++] = (byte)'"';
                written += JsonText.Canonicalize(item, destination[written..]);
                destination[written++] = (byte)'"';
            }

            destination[written++] = (byte)']';
        }

        destination[written++] = (byte)']';
        return written;
    }

    private static int Write(in NostrEventView view, Span<byte> destination)
    {
        var written = WriteHead(view.PublicKey, view.CreatedAt, view.Kind, destination);
        written += WriteTags(view, destination[written..]);
        ",\""u8.CopyTo(destination[written..]);
        written += 2;
        if (view.HasCanonicalBytes)
        {
            view.RawContent.CopyTo(destination[written..]);
            written += view.RawContent.Length;
        }
        else
        {
            written += JsonText.Canonicalize(view.RawContent, destination[written..]);
        }

        "\"]"u8.CopyTo(destination[written..]);
        return written + 2;
    }

    private static int WriteHead(in Bytes32 publicKey, long createdAt, int kind, Span<byte> destination)
    {
        "[0,\""u8.CopyTo(destination);
        Hex.EncodeLower(publicKey.Span, destination[4..]);
        var written = 4 + Bytes32.HexSize;
        "\","u8.CopyTo(destination[written..]);
        written += 2;
        Utf8Formatter.TryFormat(createdAt, destination[written..], out var digits);
        written += digits;
        destination[written++] = (byte)',';
        Utf8Formatter.TryFormat(kind, destination[written..], out digits);
        written += digits;
        destination[written++] = (byte)',';
        return written;
    }
}
