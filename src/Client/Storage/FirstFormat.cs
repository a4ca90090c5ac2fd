using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Marmot.Client.Storage;

/// <summary>Reads logs of the first format (MRMTSTO1): frames of length u32, nonce 12, ciphertext and tag 16, whose lengths nothing authenticates. They are
/// rewritten when they are opened.</summary>
internal static class FirstFormat
{
    internal const int HeaderSize = 8 + 1 + 32 + (2 * sizeof(ulong));

    private const int NonceSize = 12;
    private const int TagSize = 16;
    private const int Overhead = sizeof(uint) + NonceSize + TagSize;

    internal static ReadOnlySpan<byte> Magic => "MRMTSTO1"u8;

    /// <summary>Plays all frames. A last one that is not whole is taken for one that a crash tore.</summary>
    /// <exception cref="InvalidDataException">The secret is wrong, or a frame is damaged.</exception>
    internal static void Play(StoreFile file, string path, ReadOnlySpan<byte> master, byte[] header, Action<string, byte[]?> apply)
    {
        Span<byte> key = stackalloc byte[32];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, master, key, header.AsSpan(9, 32), "marmot client store v1"u8);
        using var cipher = new AesGcm(key, TagSize);
        CryptographicOperations.ZeroMemory(key);
        long at = HeaderSize;
        byte[] lengthBytes = new byte[sizeof(uint)];
        byte[] data = [.. header, .. new byte[sizeof(ulong)]];
        for (ulong number = 0; at < file.Length; number++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(data.AsSpan(header.Length), number);
            long left = file.Length - at;
            uint length = file.Read(lengthBytes, at) == sizeof(uint) ? BinaryPrimitives.ReadUInt32BigEndian(lengthBytes) : 0;
            bool isWhole = length is >= Overhead and <= FrameCodec.MaxFrameBytes && length <= left;
            if (isWhole && TryOpen(file, at, (int)length, cipher, data, apply))
            {
                at += length;
                continue;
            }

            if (number == 0 || (isWhole && length < left))
            {
                throw new InvalidDataException(EncryptedLog.Damage(path));
            }

            return;
        }
    }

    private static bool TryOpen(StoreFile file, long at, int length, AesGcm cipher, byte[] data, Action<string, byte[]?> apply)
    {
        byte[] frame = new byte[length];
        byte[] plaintext = new byte[length - Overhead];
        if (file.Read(frame, at) < length)
        {
            return false;
        }

        try
        {
            cipher.Decrypt(frame.AsSpan(sizeof(uint), NonceSize), frame.AsSpan(sizeof(uint) + NonceSize, plaintext.Length), frame.AsSpan(length - TagSize),
                plaintext, data);
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }

        StoreChanges.Read(plaintext, apply);
        CryptographicOperations.ZeroMemory(plaintext);
        return true;
    }
}
