using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Push;

/// <summary>A device token encrypted to a notification server: ephemeral x-only key 32 | nonce 12 | ChaCha20-Poly1305 ciphertext.</summary>
/// <remarks>
/// References: MIP-05, Token Encryption; marmot-push-v1. Parameters: key = HKDF-SHA256(x of the ECDH point, salt and info of the dialect, 32 bytes),
/// no associated data; the point is that of the x-only key lifted to even y. Plaintext = platform u8 | length u16 BE | token | random padding.
/// A chunk that fails is dropped without a word, because its sender must not learn why. Thread-safe, no allocation.
/// </remarks>
public static class EncryptedToken
{
    // MIP-05 of March 2026: FCM tokens of 1..200 bytes. Read up to what fits (217), since a longer one can only be a real one; never written.
    private const int ShortMaxFcmWritten = 200;

    private static readonly HkdfSha256.PreparedSalt Mip05Salt = new(TokenDialect.Mip05Short.Salt); // both lengths
    private static readonly HkdfSha256.PreparedSalt MarmotPushSalt = new(TokenDialect.MarmotPushV1.Salt);

    /// <summary>Decrypts one token into <paramref name="scratch"/>.</summary>
    /// <param name="chunk">Exactly the dialect's token size.</param>
    /// <param name="dialect">The dialect of the trigger the chunk came in.</param>
    /// <param name="server">The server's key.</param>
    /// <param name="scratch">At least the dialect's plaintext size; owned and wiped by the caller. Already wiped when this returns false.</param>
    /// <param name="token">The device token, a part of <paramref name="scratch"/>.</param>
    /// <returns>False for a wrong length, a key off the curve, a forged or foreign ciphertext, an unknown platform, an impossible token length.</returns>
    public static bool TryDecrypt(scoped ReadOnlySpan<byte> chunk, TokenDialect dialect, SecretKey server, Span<byte> scratch, out DeviceToken token)
    {
        token = default;
        if (chunk.Length != dialect.TokenSize)
        {
            return false; // before any curve operation
        }

        var plaintext = scratch[..dialect.PlaintextSize];
        Span<byte> key = stackalloc byte[Sodium.KeySize];
        bool opened = TryDeriveKey(dialect, server, new Bytes32(chunk[..TokenDialects.KeySize]), key)
            && Sodium.ChaCha20Poly1305Decrypt(
                key,
                chunk.Slice(TokenDialects.KeySize, TokenDialects.NonceSize),
                [],
                chunk[(TokenDialects.KeySize + TokenDialects.NonceSize)..],
                plaintext)
            && TryParse(plaintext, out token);
        CryptographicOperations.ZeroMemory(key);
        if (!opened)
        {
            CryptographicOperations.ZeroMemory(plaintext);
        }

        return opened;
    }

    /// <summary>True when a token of this length can be written for the platform in the dialect.</summary>
    public static bool CanEncrypt(TokenDialect dialect, DevicePlatform platform, int tokenLength) => (dialect, platform) switch
    {
        (TokenDialect.Mip05Short, DevicePlatform.Fcm) => tokenLength is > 0 and <= ShortMaxFcmWritten,
        (_, DevicePlatform.Apns or DevicePlatform.Fcm) => tokenLength > 0 && tokenLength <= dialect.PlaintextSize - TokenDialects.PlaintextHeaderSize,
        _ => false,
    };

    /// <summary>Encrypts a device token to a server under a fresh key, nonce and padding, so that no two ciphertexts can be linked.</summary>
    /// <param name="dialect">The dialect the server announces or the group uses.</param>
    /// <param name="platform">The push service.</param>
    /// <param name="deviceToken">The token, of a length <see cref="CanEncrypt"/> allows.</param>
    /// <param name="server">The server's public key.</param>
    /// <param name="destination">Exactly the dialect's token size.</param>
    /// <returns>False when the server's key is not on the curve.</returns>
    /// <exception cref="ArgumentException">The token's length does not fit, or the destination's is wrong.</exception>
    public static bool TryCreate(TokenDialect dialect, DevicePlatform platform, ReadOnlySpan<byte> deviceToken, in Bytes32 server, Span<byte> destination)
    {
        if (!CanEncrypt(dialect, platform, deviceToken.Length))
        {
            throw new ArgumentException("the device token does not fit the dialect", nameof(deviceToken));
        }

        Span<byte> nonce = stackalloc byte[TokenDialects.NonceSize];
        RandomNumberGenerator.Fill(nonce);
        Span<byte> plaintext = stackalloc byte[TokenDialects.LongPlaintextSize];
        plaintext = plaintext[..dialect.PlaintextSize];
        RandomNumberGenerator.Fill(plaintext);
        plaintext[0] = (byte)platform;
        BinaryPrimitives.WriteUInt16BigEndian(plaintext[1..], (ushort)deviceToken.Length);
        deviceToken.CopyTo(plaintext[TokenDialects.PlaintextHeaderSize..]);
        using var ephemeral = SecretKey.Generate();
        bool created = TryEncrypt(dialect, plaintext, server, ephemeral, nonce, destination);
        CryptographicOperations.ZeroMemory(plaintext);
        return created;
    }

    /// <summary>Encrypts a whole plaintext under a given key and nonce: for published vectors.</summary>
    internal static bool TryEncrypt(TokenDialect dialect, ReadOnlySpan<byte> plaintext, in Bytes32 server, SecretKey ephemeral, ReadOnlySpan<byte> nonce,
        Span<byte> destination)
    {
        if (destination.Length != dialect.TokenSize || plaintext.Length != dialect.PlaintextSize)
        {
            throw new ArgumentException("the buffer does not have the dialect's length", nameof(destination));
        }

        Span<byte> key = stackalloc byte[Sodium.KeySize];
        if (!TryDeriveKey(dialect, ephemeral, server, key))
        {
            return false;
        }

        ephemeral.PublicKey.Span.CopyTo(destination);
        nonce.CopyTo(destination[TokenDialects.KeySize..]);
        Sodium.ChaCha20Poly1305Encrypt(key, nonce, [], plaintext, destination[(TokenDialects.KeySize + TokenDialects.NonceSize)..]);
        CryptographicOperations.ZeroMemory(key);
        return true;
    }

    /// <summary>The AEAD key between a secret and a public key; false when the public key is not on the curve.</summary>
    internal static bool TryDeriveKey(TokenDialect dialect, SecretKey own, in Bytes32 peer, Span<byte> key)
    {
        Span<byte> sharedX = stackalloc byte[32];
        bool derived = own.TryDeriveSharedX(peer, sharedX) && TryDeriveKey(dialect, sharedX, key);
        CryptographicOperations.ZeroMemory(sharedX);
        return derived;
    }

    /// <summary>The AEAD key of a shared x; false for zeros, which no valid point and scalar give (marmot-push-v1 wants the check all the same).</summary>
    internal static bool TryDeriveKey(TokenDialect dialect, ReadOnlySpan<byte> sharedX, Span<byte> key)
    {
        if (!sharedX.ContainsAnyExcept((byte)0))
        {
            return false;
        }

        Span<byte> pseudorandomKey = stackalloc byte[HkdfSha256.HashSize];
        (dialect == TokenDialect.MarmotPushV1 ? MarmotPushSalt : Mip05Salt).Extract(sharedX, pseudorandomKey);
        HkdfSha256.ExpandShort(pseudorandomKey, dialect.KeyLabel, key);
        CryptographicOperations.ZeroMemory(pseudorandomKey);
        return true;
    }

    // The length stands in the plaintext (MIP-05, Token Encryption). An APNs token has 32 bytes today, but Apple: "APNs device tokens are of variable length.
    // Do not hard-code their size" (UIKit, didRegisterForRemoteNotificationsWithDeviceToken). So every length that fits is taken, in every dialect.
    private static bool TryParse(ReadOnlySpan<byte> plaintext, out DeviceToken token)
    {
        var platform = (DevicePlatform)plaintext[0];
        int length = BinaryPrimitives.ReadUInt16BigEndian(plaintext[1..]);
        bool valid = platform is DevicePlatform.Apns or DevicePlatform.Fcm
            && length > 0
            && length <= plaintext.Length - TokenDialects.PlaintextHeaderSize;
        token = valid ? new(platform, plaintext.Slice(TokenDialects.PlaintextHeaderSize, length)) : default;
        return valid;
    }
}
