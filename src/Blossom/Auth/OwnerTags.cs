using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Auth;

/// <summary>What is stored as the owner of a claim: the key itself in the general profile, HMAC-SHA256(server secret, key || hash) in the private
/// one.</summary>
/// <remarks>The HMAC lets a key delete what it uploaded, and lets nobody, the operator included, read from the index who uploaded what.</remarks>
internal sealed class OwnerTags
{
    private const int SecretSize = 32;
    private readonly byte[]? _secret;

    private OwnerTags(byte[]? secret) => _secret = secret;

    /// <summary>True when tags are keys and a list by key is possible.</summary>
    public bool Listable => _secret is null;

    public static OwnerTags Plain { get; } = new(null);

    /// <summary>Reads the secret, or makes it on the first run, readable by its owner only.</summary>
    public static OwnerTags WithSecret(string path)
    {
        if (!File.Exists(path))
        {
            SecretFile.TryCreate(path, RandomNumberGenerator.GetBytes(SecretSize)); // false: another process was first, and its secret counts
        }

        var secret = File.ReadAllBytes(path);
        return secret.Length == SecretSize ? new OwnerTags(secret) : throw new InvalidDataException($"{path} must hold {SecretSize} bytes");
    }

    /// <summary>Tells whether two servers make the same tags, and nothing of the secret.</summary>
    public byte[] Fingerprint() => _secret is null ? [] : HMACSHA256.HashData(_secret, "fingerprint"u8);

    public Bytes32 For(Bytes32 publicKey, Bytes32 hash)
    {
        if (_secret is null)
        {
            return publicKey;
        }

        Span<byte> message = stackalloc byte[2 * Bytes32.Size];
        publicKey.Span.CopyTo(message);
        hash.Span.CopyTo(message[Bytes32.Size..]);
        Span<byte> tag = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_secret, message, tag);
        return new Bytes32(tag);
    }
}
