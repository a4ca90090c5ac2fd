using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Marmot.Client.Storage;

/// <summary>The frames of one log file: a head of length u32, number u64, flushed u64 and tag 16, then nonce 12, ciphertext and tag 16. Big-endian.</summary>
/// <remarks>
/// AES-256-GCM and, for the head, HMAC-SHA256 cut to 16 bytes, under keys of their own for each file: HKDF-SHA256(secret, salt of the file). Both authenticate
/// the file's header. The number counts frames from 0, so frames cannot be moved, dropped or repeated. <c>flushed</c> is how many frames were on disk when this
/// one was written: it tells a frame that a crash tore from one that was damaged later.
/// </remarks>
internal sealed class FrameCodec : IDisposable
{
    internal const int HeadSize = sizeof(uint) + sizeof(ulong) + sizeof(ulong) + HeadTagSize;
    internal const int Overhead = HeadSize + NonceSize + TagSize;
    internal const int MaxFrameBytes = 1 << 30;

    private const int HeadTagSize = 16;
    private const int NonceSize = 12;
    private const int TagSize = 16;

    private readonly byte[] _header;
    private readonly byte[] _headKey = new byte[32];
    private readonly AesGcm _cipher;

    public FrameCodec(ReadOnlySpan<byte> master, ReadOnlySpan<byte> salt, byte[] header)
    {
        _header = header;
        Span<byte> key = stackalloc byte[32];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, master, key, salt, "marmot client store v2"u8);
        HKDF.DeriveKey(HashAlgorithmName.SHA256, master, _headKey, salt, "marmot client store v2 heads"u8);
        _cipher = new AesGcm(key, TagSize);
        CryptographicOperations.ZeroMemory(key);
    }

    /// <summary>A frame with these changes.</summary>
    public byte[] Seal(ulong number, ulong flushed, IReadOnlyList<(string Key, byte[]? Value)> changes)
    {
        byte[] plaintext = StoreChanges.Write(changes);
        byte[] frame = new byte[checked(Overhead + plaintext.Length)];
        var head = frame.AsSpan(0, HeadSize);
        BinaryPrimitives.WriteUInt32BigEndian(head, (uint)frame.Length);
        BinaryPrimitives.WriteUInt64BigEndian(head[4..], number);
        BinaryPrimitives.WriteUInt64BigEndian(head[12..], flushed);
        TagOf(head[..^HeadTagSize]).AsSpan(0, HeadTagSize).CopyTo(head[^HeadTagSize..]);
        var nonce = frame.AsSpan(HeadSize, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        _cipher.Encrypt(nonce, plaintext, frame.AsSpan(HeadSize + NonceSize, plaintext.Length), frame.AsSpan(frame.Length - TagSize), DataOf(head));
        CryptographicOperations.ZeroMemory(plaintext);
        return frame;
    }

    /// <summary>Reads a head; false when it is damaged.</summary>
    public bool TryReadHead(ReadOnlySpan<byte> head, out int length, out ulong number, out ulong flushed)
    {
        (length, number, flushed) = (0, 0, 0);
        if (head.Length < HeadSize)
        {
            return false;
        }

        head = head[..HeadSize];
        uint bytes = BinaryPrimitives.ReadUInt32BigEndian(head);
        number = BinaryPrimitives.ReadUInt64BigEndian(head[4..]);
        flushed = BinaryPrimitives.ReadUInt64BigEndian(head[12..]);
        length = (int)Math.Min(bytes, int.MaxValue);

        // The bounds first: a search looks at every byte of a file, and few bytes look like this.
        return bytes is >= Overhead and <= MaxFrameBytes && flushed <= number && number <= uint.MaxValue
            && CryptographicOperations.FixedTimeEquals(TagOf(head[..^HeadTagSize]).AsSpan(0, HeadTagSize), head[^HeadTagSize..]);
    }

    /// <summary>Opens a whole frame; false when it is damaged.</summary>
    public bool TryOpen(ReadOnlySpan<byte> frame, Action<string, byte[]?> apply)
    {
        byte[] plaintext = new byte[frame.Length - Overhead];
        try
        {
            _cipher.Decrypt(frame.Slice(HeadSize, NonceSize), frame.Slice(HeadSize + NonceSize, plaintext.Length), frame[^TagSize..], plaintext,
                DataOf(frame[..HeadSize]));
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }

        StoreChanges.Read(plaintext, apply);
        CryptographicOperations.ZeroMemory(plaintext);
        return true;
    }

    public void Dispose()
    {
        _cipher.Dispose();
        CryptographicOperations.ZeroMemory(_headKey);
    }

    private byte[] TagOf(ReadOnlySpan<byte> head) => HMACSHA256.HashData(_headKey, DataOf(head));

    private byte[] DataOf(ReadOnlySpan<byte> head) => [.. _header, .. head];
}

/// <summary>The changes of a batch as bytes: key length u16, key, 0 for a deletion or 1 and value length u32, value.</summary>
internal static class StoreChanges
{
    internal static byte[] Write(IReadOnlyList<(string Key, byte[]? Value)> changes)
    {
        int size = 0;
        foreach (var (key, value) in changes)
        {
            size = checked(size + 3 + Encoding.UTF8.GetByteCount(key) + (value is null ? 0 : sizeof(int) + value.Length));
        }

        byte[] bytes = new byte[size];
        var rest = bytes.AsSpan();
        foreach (var (key, value) in changes)
        {
            int keyLength = Encoding.UTF8.GetBytes(key, rest[2..]);
            BinaryPrimitives.WriteUInt16BigEndian(rest, checked((ushort)keyLength));
            rest[2 + keyLength] = value is null ? (byte)0 : (byte)1;
            rest = rest[(3 + keyLength)..];
            if (value is not null)
            {
                BinaryPrimitives.WriteInt32BigEndian(rest, value.Length);
                value.CopyTo(rest[sizeof(int)..]);
                rest = rest[(sizeof(int) + value.Length)..];
            }
        }

        return bytes;
    }

    /// <summary>Bytes that <see cref="Write"/> made and a tag has authenticated.</summary>
    internal static void Read(ReadOnlySpan<byte> rest, Action<string, byte[]?> apply)
    {
        while (!rest.IsEmpty)
        {
            int keyLength = BinaryPrimitives.ReadUInt16BigEndian(rest);
            string key = Encoding.UTF8.GetString(rest.Slice(2, keyLength));
            bool hasValue = rest[2 + keyLength] == 1;
            rest = rest[(3 + keyLength)..];
            byte[]? value = null;
            if (hasValue)
            {
                int valueLength = BinaryPrimitives.ReadInt32BigEndian(rest);
                value = rest.Slice(sizeof(int), valueLength).ToArray();
                rest = rest[(sizeof(int) + valueLength)..];
            }

            apply(key, value);
        }
    }
}
