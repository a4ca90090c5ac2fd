using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Groups;

/// <summary>The encrypted group image in Blossom and the keys around it (MIP-01, Group Image).</summary>
/// <remarks>
/// ChaCha20-Poly1305, no associated data; the blob's SHA-256 is its address. Version 2 derives key and upload key by HKDF-SHA256 with an empty salt
/// from two seeds; version 1 uses the image key itself, and one deployed client does so inside version 2 group data too. Thread-safe.
/// </remarks>
public static class GroupImage
{
    private const int KeySize = Sodium.KeySize;

    /// <summary>Encrypts an image as version 2; fills the image fields of the group data.</summary>
    /// <param name="image">The image file.</param>
    /// <param name="data">The group data to extend.</param>
    /// <param name="blob">What to upload, with the key of <see cref="DeriveUploadKey"/>.</param>
    public static GroupData Encrypt(ReadOnlySpan<byte> image, GroupData data, out byte[] blob)
    {
        byte[] seed = RandomNumberGenerator.GetBytes(KeySize);
        byte[] nonce = RandomNumberGenerator.GetBytes(Sodium.NonceSize);
        blob = Encrypt(image, seed, nonce);
        return data with
        {
            ImageHash = SHA256.HashData(blob),
            ImageKey = seed,
            ImageNonce = nonce,
            ImageUploadKey = RandomNumberGenerator.GetBytes(KeySize),
        };
    }

    /// <summary>Checks the blob's hash and decrypts it, with the version 2 key first, then with the image key itself.</summary>
    public static bool TryDecrypt(GroupData data, ReadOnlySpan<byte> blob, [NotNullWhen(true)] out byte[]? image)
    {
        image = null;
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(blob, hash);
        if (data is not { ImageHash: { } expected, ImageKey: { } seed, ImageNonce: { } nonce }
            || !hash.SequenceEqual(expected)
            || blob.Length < Sodium.TagSize)
        {
            return false;
        }

        Span<byte> key = stackalloc byte[KeySize];
        DeriveKey(seed, key);
        byte[] plaintext = new byte[blob.Length - Sodium.TagSize];
        bool opened = Sodium.ChaCha20Poly1305Decrypt(key, nonce, [], blob, plaintext)
            || Sodium.ChaCha20Poly1305Decrypt(seed, nonce, [], blob, plaintext);
        CryptographicOperations.ZeroMemory(key);
        image = opened ? plaintext : null;
        return opened;
    }

    /// <summary>The Nostr key that uploads and later deletes a version 2 image; null when the group data has no upload seed.</summary>
    public static SecretKey? DeriveUploadKey(GroupData data) =>
        data.ImageUploadKey is { } seed ? ToKey(seed, static (ikm, key) => HkdfSha256.DeriveKey(ikm, [], "mip01-blossom-upload-v2"u8, key)) : null;

    /// <summary>The keys that may have uploaded a version 1 image: by the text (Expand only), then by MDK (Extract and Expand).</summary>
    public static IReadOnlyList<SecretKey> DeriveLegacyUploadKeys(GroupData data)
    {
        if (data.ImageKey is not { } seed)
        {
            return [];
        }

        SecretKey?[] keys =
        [
            ToKey(seed, static (ikm, key) => HkdfSha256.Expand(ikm, "mip01-blossom-upload-v1"u8, key)),
            ToKey(seed, static (ikm, key) => HkdfSha256.DeriveKey(ikm, [], "mip01-blossom-upload-v1"u8, key)),
        ];
        return [.. keys.OfType<SecretKey>()];
    }

    internal static byte[] Encrypt(ReadOnlySpan<byte> image, ReadOnlySpan<byte> seed, ReadOnlySpan<byte> nonce)
    {
        Span<byte> key = stackalloc byte[KeySize];
        DeriveKey(seed, key);
        byte[] blob = new byte[image.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(key, nonce, [], image, blob);
        CryptographicOperations.ZeroMemory(key);
        return blob;
    }

    internal static void DeriveKey(ReadOnlySpan<byte> seed, Span<byte> key) =>
        HkdfSha256.DeriveKey(seed, [], "mip01-image-encryption-v2"u8, key);

    // An output that is no secret key (once in 2^128) has no upload key.
    private static SecretKey? ToKey(byte[] seed, Action<ReadOnlySpan<byte>, Span<byte>> derive)
    {
        Span<byte> bytes = stackalloc byte[KeySize];
        derive(seed, bytes);
        SecretKey.TryCreate(bytes, out var key);
        CryptographicOperations.ZeroMemory(bytes);
        return key;
    }
}
