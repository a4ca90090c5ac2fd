using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Client.Storage;

namespace Marmot.Client.Tests.Storage;

/// <summary>Writes a log as the first format had it, one frame a value.</summary>
internal static class FirstFormatWriter
{
    internal static void Write(string path, StoreSecret secret, params (string Key, byte[] Value)[] values)
    {
        byte[] header = new byte[FirstFormat.HeaderSize];
        FirstFormat.Magic.CopyTo(header);
        RandomNumberGenerator.Fill(header.AsSpan(9, 32));
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(41), 3);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(49), 256 << 20);
        byte[] key = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret.Bytes.ToArray(), 32, header[9..41], "marmot client store v1"u8.ToArray());
        using var cipher = new AesGcm(key, 16);
        using var file = File.Create(path);
        file.Write(header);
        List<byte[]> batches = [[], .. values.Select(one => StoreChanges.Write([(one.Key, (byte[]?)one.Value)]))];
        for (int number = 0; number < batches.Count; number++)
        {
            byte[] frame = new byte[4 + 12 + batches[number].Length + 16];
            BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length);
            RandomNumberGenerator.Fill(frame.AsSpan(4, 12));
            byte[] data = [.. header, .. new byte[8]];
            BinaryPrimitives.WriteInt64BigEndian(data.AsSpan(header.Length), number);
            cipher.Encrypt(frame.AsSpan(4, 12), batches[number], frame.AsSpan(16, batches[number].Length), frame.AsSpan(frame.Length - 16), data);
            file.Write(frame);
        }
    }
}
