using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>Gift wraps with one thing wrong, which the product's own builders refuse to make.</summary>
internal static class Forge
{
    /// <summary>A NIP-44 payload over these padded bytes, length prefix included, whatever they say.</summary>
    public static string Payload(SecretKey from, in Bytes32 to, ReadOnlySpan<byte> padded, byte version = 2, bool breakMac = false)
    {
        Span<byte> conversation = stackalloc byte[Nip44.ConversationKeySize];
        Assert.True(Nip44.TryDeriveConversationKey(from, to, conversation));
        var nonce = RandomNumberGenerator.GetBytes(32);
        Span<byte> keys = stackalloc byte[76]; // ChaCha20 key 32 | nonce 12 | HMAC key 32
        HkdfSha256.Expand(conversation, nonce, keys);
        var raw = new byte[1 + 32 + padded.Length + 32];
        raw[0] = version;
        nonce.CopyTo(raw, 1);
        Sodium.ChaCha20Xor(keys[..32], keys.Slice(32, 12), padded, raw.AsSpan(33, padded.Length));
        HMACSHA256.HashData(keys[44..], raw.AsSpan(1, 32 + padded.Length), raw.AsSpan(33 + padded.Length));
        raw[^1] ^= (byte)(breakMac ? 1 : 0);
        return Convert.ToBase64String(raw);
    }

    /// <summary>Length prefix, text, padding as NIP-44 wants it.</summary>
    public static byte[] Pad(ReadOnlySpan<byte> text, bool extended = false)
    {
        var prefix = extended ? 6 : 2;
        var padded = new byte[prefix + PaddedLength(text.Length)];
        if (extended)
        {
            BinaryPrimitives.WriteUInt32BigEndian(padded.AsSpan(2), (uint)text.Length);
        }
        else
        {
            BinaryPrimitives.WriteUInt16BigEndian(padded, (ushort)text.Length);
        }

        text.CopyTo(padded.AsSpan(prefix));
        return padded;
    }

    /// <summary>A wrap with this content to the server.</summary>
    public static NostrEvent Wrap(in Bytes32 server, SecretKey oneTime, string content, int kind = 1059) =>
        NostrEvent.Create(oneTime, kind, [["p", server.ToString()]], content, 1_780_000_000);

    /// <summary>A wrap around this text, which should be a seal.</summary>
    public static NostrEvent WrapAround(in Bytes32 server, ReadOnlySpan<byte> seal, int kind = 1059)
    {
        using var oneTime = SecretKey.Generate();
        return Wrap(server, oneTime, Encrypt(oneTime, server, seal), kind);
    }

    /// <summary>A wrap around a seal by this author around this text, which should be a rumor.</summary>
    public static NostrEvent Sealed(in Bytes32 server, SecretKey author, ReadOnlySpan<byte> rumor, int sealKind = 13, params string[][] sealTags)
    {
        var seal = NostrEvent.Create(author, sealKind, sealTags, Encrypt(author, server, rumor), 1_780_000_000);
        return WrapAround(server, seal.Json.Span);
    }

    /// <summary>A kind 446 rumor as JSON.</summary>
    public static byte[] Rumor(in Bytes32 author, string content, string[][] tags, int kind = Trigger.Kind) =>
        Protocol.Events.Rumor.Create(author, kind, tags, content, 1_780_000_000).ToJson();

    /// <summary>A wrap with a kind 446 rumor of this content and these tags.</summary>
    public static NostrEvent Request(in Bytes32 server, string content, params string[][] tags)
    {
        using var author = SecretKey.Generate();
        return Sealed(server, author, Rumor(author.PublicKey, content, tags));
    }

    /// <summary>One encrypted token.</summary>
    public static byte[] Token(TokenDialect dialect, (DevicePlatform Platform, byte[] Token) device, in Bytes32 server)
    {
        var chunk = new byte[dialect.TokenSize];
        Assert.True(EncryptedToken.TryCreate(dialect, device.Platform, device.Token, server, chunk));
        return chunk;
    }

    /// <summary>An encrypted token whose plaintext begins with these bytes: platform, length, whatever follows.</summary>
    public static byte[] RawToken(TokenDialect dialect, ReadOnlySpan<byte> head, in Bytes32 server)
    {
        var plaintext = RandomNumberGenerator.GetBytes(dialect.PlaintextSize);
        head.CopyTo(plaintext);
        using var ephemeral = SecretKey.Generate();
        Span<byte> shared = stackalloc byte[32];
        Assert.True(ephemeral.TryDeriveSharedX(server, shared));
        Span<byte> key = stackalloc byte[32];
        var (salt, info) = dialect == TokenDialect.MarmotPushV1
            ? ("marmot-push-token-v1", "marmot-push-token-encryption")
            : ("mip05-v1", "mip05-token-encryption");
        HkdfSha256.DeriveKey(shared, System.Text.Encoding.ASCII.GetBytes(salt), System.Text.Encoding.ASCII.GetBytes(info), key);
        var chunk = new byte[dialect.TokenSize];
        ephemeral.PublicKey.Span.CopyTo(chunk);
        RandomNumberGenerator.Fill(chunk.AsSpan(32, 12));
        Sodium.ChaCha20Poly1305Encrypt(key, chunk.AsSpan(32, 12), [], plaintext, chunk.AsSpan(44));
        return chunk;
    }

    private static string Encrypt(SecretKey from, in Bytes32 to, ReadOnlySpan<byte> text) => Payload(from, to, Pad(text, extended: text.Length > 65_535));

    private static int PaddedLength(int length)
    {
        if (length <= 32)
        {
            return 32;
        }

        var power = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)length);
        var chunk = power <= 256 ? 32 : power / 8;
        return (length + chunk - 1) / chunk * chunk;
    }
}
