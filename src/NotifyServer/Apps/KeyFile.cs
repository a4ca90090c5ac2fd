using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.NotifyServer.Apps;

/// <summary>A Nostr key in a file, as hex or nsec.</summary>
internal static class KeyFile
{
    /// <summary>Reads the key; on first run makes one.</summary>
    /// <exception cref="InvalidDataException">The file is no key, or others may read it; the message never quotes it.</exception>
    public static SecretKey LoadOrCreate(string path, out bool created)
    {
        created = !File.Exists(path) && TryCreate(path, out _);
        return Load(path);
    }

    /// <summary>Reads the key.</summary>
    public static SecretKey Load(string path) =>
        SecretKey.TryParse(SecretFile.ReadText(path).AsSpan().Trim(), out var key)
            ? key
            : throw new InvalidDataException($"{path}: neither an nsec nor 64 hex digits");

    /// <summary>Makes a new key file; false when there is already a file of that name.</summary>
    public static bool TryCreate(string path, out Bytes32 publicKey)
    {
        using var key = SecretKey.Generate();
        publicKey = key.PublicKey;
        Span<byte> secret = stackalloc byte[Bytes32.Size];
        Span<byte> text = stackalloc byte[Bytes32.HexSize + 1];
        try
        {
            key.CopyTo(secret);
            Hex.EncodeLower(secret, text);
            text[^1] = (byte)'\n';
            return SecretFile.TryCreate(path, text);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(secret);
            CryptographicOperations.ZeroMemory(text);
        }
    }
}
