using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Platform.Native;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8002: the group's encrypted picture in Blossom, and the keys around it.</summary>
/// <remarks>
/// ChaCha20-Poly1305 with the key itself, associated data "marmot-group-image-v1" | 00 | media type; the blob's SHA-256 is its address; the upload key signs
/// the upload and a later deletion. Fresh key, nonce and upload key for every picture. Immutable and thread-safe; holds keys, prints none.
/// </remarks>
public sealed class GroupPicture
{
    private const int KeySize = Sodium.KeySize;

    private GroupPicture(in Bytes32 hash, byte[] key, byte[] nonce, byte[] uploadKey, string mediaType)
        => (Hash, Key, Nonce, UploadKeyBytes, MediaTypeName) = (hash, key, nonce, uploadKey, mediaType);

    /// <summary>SHA-256 of the blob.</summary>
    public Bytes32 Hash { get; }

    /// <summary>The canonical media type of the picture.</summary>
    public string MediaTypeName { get; }

    /// <summary>The body that says that there is no picture: five empty fields.</summary>
    public static byte[] NoPicture => new byte[5];

    private byte[] Key { get; }

    private byte[] Nonce { get; }

    private byte[] UploadKeyBytes { get; }

    /// <summary>Encrypts a picture under fresh keys.</summary>
    /// <param name="picture">The file.</param>
    /// <param name="mediaType">Its media type, in any spelling.</param>
    /// <param name="blob">What to upload with <see cref="CreateUploadKey"/>.</param>
    /// <exception cref="ArgumentException">The media type is none.</exception>
    public static GroupPicture Encrypt(ReadOnlySpan<byte> picture, string mediaType, out byte[] blob)
    {
        if (!MediaType.TryMakeCanonical(mediaType, out string? canonical))
        {
            throw new ArgumentException("not a media type", nameof(mediaType));
        }

        byte[] uploadKey = new byte[KeySize];
        using (var generated = SecretKey.Generate())
        {
            generated.CopyTo(uploadKey);
        }

        byte[] key = RandomNumberGenerator.GetBytes(KeySize);
        byte[] nonce = RandomNumberGenerator.GetBytes(Sodium.NonceSize);
        blob = Seal(picture, canonical, key, nonce);
        return new GroupPicture(new Bytes32(SHA256.HashData(blob)), key, nonce, uploadKey, canonical);
    }

    /// <summary>Reads a body. A valid body may say that there is no picture: then <paramref name="picture"/> is null and the result true.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, out GroupPicture? picture, out RejectReason reason)
    {
        var cursor = new VectorCursor(body);
        byte[]? hash = cursor.TakeOptional(Bytes32.Size);
        byte[]? key = cursor.TakeOptional(KeySize);
        byte[]? nonce = cursor.TakeOptional(Sodium.NonceSize);
        byte[]? uploadKey = cursor.TakeOptional(KeySize);
        string mediaType = cursor.Text(cursor.TakeVector());
        picture = null;
        bool good = !cursor.Failed && cursor.AtEnd;
        if (good && (hash, key, nonce, uploadKey) is ({ }, { }, { }, { }))
        {
            good = MediaType.IsCanonical(mediaType) && SecretKey.TryCreate(uploadKey, out var usable) && Disposed(usable);
            picture = good ? new GroupPicture(new Bytes32(hash), key, nonce, uploadKey, mediaType) : null;
        }
        else if (good)
        {
            good = hash is null && key is null && nonce is null && uploadKey is null && mediaType.Length == 0;
        }

        reason = good ? default : RejectReason.Invalid("the picture is malformed, partly set or of a media type that is not canonical");
        return good;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes() => new VectorWriter().Vector(Hash.Span).Vector(Key).Vector(Nonce).Vector(UploadKeyBytes).Text(MediaTypeName).ToArray();

    /// <summary>Checks the blob's hash and opens it.</summary>
    public bool TryDecrypt(ReadOnlySpan<byte> blob, [NotNullWhen(true)] out byte[]? picture)
    {
        picture = null;
        if (blob.Length < Sodium.TagSize || new Bytes32(SHA256.HashData(blob)) != Hash)
        {
            return false;
        }

        byte[] opened = new byte[blob.Length - Sodium.TagSize];
        picture = Sodium.ChaCha20Poly1305Decrypt(Key, Nonce, AssociatedData(MediaTypeName), blob, opened) ? opened : null;
        return picture is not null;
    }

    /// <summary>The key that signs the upload and the deletion; the caller disposes it.</summary>
    public SecretKey CreateUploadKey() =>
        SecretKey.TryCreate(UploadKeyBytes, out var key) ? key : throw new InvalidOperationException("checked when it was read");

    /// <summary>Does not print keys.</summary>
    public override string ToString() => $"{nameof(GroupPicture)} {Hash}";

    internal static byte[] Seal(ReadOnlySpan<byte> picture, string mediaType, ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce)
    {
        byte[] blob = new byte[picture.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(key, nonce, AssociatedData(mediaType), picture, blob);
        return blob;
    }

    internal static byte[] AssociatedData(string mediaType) => [.. "marmot-group-image-v1"u8, 0, .. System.Text.Encoding.UTF8.GetBytes(mediaType)];

    private static bool Disposed(SecretKey key)
    {
        key.Dispose();
        return true;
    }
}
