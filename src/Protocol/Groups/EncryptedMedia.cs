using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Groups;

/// <summary>Encrypted media of MIP-04, version mip04-v2: a blob that only members of the message's epoch can open.</summary>
/// <remarks>
/// References: MIP-04. Parameters: media secret = MLS-Exporter("marmot", "encrypted-media", 32) of the epoch the message is sent in; key = HKDF-Expand-SHA256
/// (media secret, context | 00 | "key", 32); context = version | 00 | SHA-256 of plaintext | 00 | canonical media type | 00 | file name, also the associated
/// data; ChaCha20-Poly1305 under a random nonce. The blob's SHA-256 is its address in Blossom. Thread-safe.
/// </remarks>
public static class EncryptedMedia
{
    /// <summary>Length of a media secret in bytes.</summary>
    public const int SecretSize = 32;

    /// <summary>Encrypts a file.</summary>
    /// <param name="mediaSecret">The current epoch's media secret; keep it as long as the attachment.</param>
    /// <param name="plaintext">The file.</param>
    /// <param name="mimeType">Its media type, in any spelling.</param>
    /// <param name="filename">Its name, 1 to 210 bytes of UTF-8.</param>
    /// <param name="toUrl">Gives the URL for a blob's SHA-256.</param>
    /// <param name="blob">What to upload.</param>
    public static MediaReference Encrypt(
        ReadOnlySpan<byte> mediaSecret, ReadOnlySpan<byte> plaintext, string mimeType, string filename, Func<Bytes32, string> toUrl, out byte[] blob)
    {
        if (!MediaReference.IsFilename(filename) || MediaReference.CanonicalMimeType(mimeType).Length == 0)
        {
            throw new ArgumentException("the file name or the media type cannot be written", nameof(filename));
        }

        var media = new MediaReference
        {
            Url = string.Empty,
            MimeType = MediaReference.CanonicalMimeType(mimeType),
            Filename = filename,
            PlaintextHash = new Bytes32(SHA256.HashData(plaintext)),
            Nonce = RandomNumberGenerator.GetBytes(Sodium.NonceSize),
        };
        blob = Encrypt(mediaSecret, plaintext, media);
        return media with { Url = toUrl(new Bytes32(SHA256.HashData(blob))) };
    }

    /// <summary>Decrypts a blob with the secret of the message's epoch and checks the plaintext against the reference's hash.</summary>
    /// <returns>False for a wrong secret, a changed blob, type or name, or a hash that differs.</returns>
    public static bool TryDecrypt(ReadOnlySpan<byte> mediaSecret, MediaReference media, ReadOnlySpan<byte> blob, [NotNullWhen(true)] out byte[]? plaintext)
    {
        plaintext = null;
        if (blob.Length < Sodium.TagSize || media.Nonce.Length != Sodium.NonceSize)
        {
            return false;
        }

        Span<byte> key = stackalloc byte[Sodium.KeySize];
        byte[] context = Context(media);
        DeriveFileKey(mediaSecret, context, key);
        byte[] opened = new byte[blob.Length - Sodium.TagSize];
        if (Sodium.ChaCha20Poly1305Decrypt(key, media.Nonce, context, blob, opened) && new Bytes32(SHA256.HashData(opened)) == media.PlaintextHash)
        {
            plaintext = opened;
        }

        CryptographicOperations.ZeroMemory(key);
        return plaintext is not null;
    }

    internal static byte[] Encrypt(ReadOnlySpan<byte> mediaSecret, ReadOnlySpan<byte> plaintext, MediaReference media)
    {
        Span<byte> key = stackalloc byte[Sodium.KeySize];
        byte[] context = Context(media);
        DeriveFileKey(mediaSecret, context, key);
        byte[] blob = new byte[plaintext.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(key, media.Nonce, context, plaintext, blob);
        CryptographicOperations.ZeroMemory(key);
        return blob;
    }

    // Expand only: the exporter's output is a pseudorandom key already.
    internal static void DeriveFileKey(ReadOnlySpan<byte> mediaSecret, byte[] context, Span<byte> key) =>
        HkdfSha256.Expand(mediaSecret, (byte[])[.. context, 0, .. "key"u8], key);

    internal static byte[] Context(MediaReference media) =>
    [
        .. System.Text.Encoding.UTF8.GetBytes(MediaReference.Version),
        0,
        .. media.PlaintextHash.Span,
        0,
        .. System.Text.Encoding.UTF8.GetBytes(media.MimeType),
        0,
        .. System.Text.Encoding.UTF8.GetBytes(media.Filename),
    ];
}
