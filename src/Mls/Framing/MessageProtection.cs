using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Framing;

/// <summary>The sender data of a PrivateMessage (RFC 9420, 6.3.2).</summary>
internal readonly record struct SenderData(uint Leaf, uint Generation, uint ReuseGuard);

/// <summary>PublicMessage and PrivateMessage, both ways (RFC 9420, 6.2 and 6.3). Signatures are checked by the caller, who knows the sender's key.</summary>
internal static class MessageProtection
{
    public static PublicMessage ProtectPublic(AuthenticatedContent content, CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> membershipKey)
    {
        MlsException.ThrowIf(content.Content.ContentType == ContentType.Application, MlsError.WrongWireFormat);
        return new PublicMessage(content, content.Content.Sender.Type == SenderType.Member ? content.MembershipTag(suite, context, membershipKey) : null);
    }

    /// <summary>Checks wire format and membership tag.</summary>
    public static AuthenticatedContent UnprotectPublic(PublicMessage message, CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> membershipKey)
    {
        var content = message.Content;
        MlsException.ThrowIf(content.Content.ContentType == ContentType.Application, MlsError.WrongWireFormat);
        if (content.Content.Sender.Type == SenderType.Member)
        {
            var expected = content.MembershipTag(suite, context, membershipKey);
            MlsException.ThrowIf(!CryptographicOperations.FixedTimeEquals(expected, message.MembershipTag), MlsError.BadMembershipTag);
        }
        return content;
    }

    internal static MessageKey SenderDataKey(CipherSuite suite, ReadOnlySpan<byte> senderDataSecret, ReadOnlySpan<byte> ciphertext)
    {
        var sample = ciphertext[..Math.Min(ciphertext.Length, suite.HashLength)];
        var material = new SecretBytes(suite.KeyLength + CipherSuite.NonceLength);
        suite.ExpandWithLabel(senderDataSecret, "key"u8, sample, material.Span[..suite.KeyLength]);
        suite.ExpandWithLabel(senderDataSecret, "nonce"u8, sample, material.Span[suite.KeyLength..]);
        return new MessageKey(material);
    }

    private static byte[] Aad(byte[] groupId, ulong epoch, ContentType type, byte[]? authenticatedData)
    {
        var writer = new TlsWriter();
        writer.WriteOpaque(groupId);
        writer.WriteUInt64(epoch);
        writer.WriteByte((byte)type);
        if (authenticatedData is not null) writer.WriteOpaque(authenticatedData);
        return writer.ToArray();
    }

    /// <summary>The nonce with the reuse guard in its first four bytes (RFC 9420, 6.3.1).</summary>
    private static ReadOnlySpan<byte> Guarded(ReadOnlySpan<byte> nonce, uint guard, Span<byte> room)
    {
        nonce.CopyTo(room);
        for (var i = 0; i < 4; i++) room[i] ^= (byte)(guard >> (24 - (8 * i)));
        return room;
    }

    /// <summary>Encrypts with the next generation of our ratchet, which is used up whatever happens next. Padding is zero bytes up to a multiple of <paramref name="padTo"/>.</summary>
    public static PrivateMessage ProtectPrivate(AuthenticatedContent content, CipherSuite suite, SecretTree tree, ReadOnlySpan<byte> senderDataSecret, int padTo)
    {
        var framed = content.Content;
        var leaf = framed.Sender.Index;
        var (generation, key) = tree.Next((int)leaf, framed.ContentType == ContentType.Application);
        var writer = new TlsWriter(framed.SizeHint + 256);
        framed.WriteBody(writer);
        content.WriteAuth(writer);
        if (padTo > 1 && writer.Length % padTo is var rest and > 0) writer.WriteFixed(new byte[padTo - rest]);
        var guard = BitConverter.ToUInt32(RandomNumberGenerator.GetBytes(4));
        var aad = Aad(framed.GroupId, framed.Epoch, framed.ContentType, framed.AuthenticatedData);
        var ciphertext = suite.Seal(key.Key, Guarded(key.Nonce, guard, stackalloc byte[CipherSuite.NonceLength]), aad, writer.Written);
        key.Dispose();

        var senderData = new TlsWriter();
        senderData.WriteUInt32(leaf);
        senderData.WriteUInt32(generation);
        senderData.WriteUInt32(guard);
        using var senderKey = SenderDataKey(suite, senderDataSecret, ciphertext);
        var sealedSender = suite.Seal(senderKey.Key, senderKey.Nonce, Aad(framed.GroupId, framed.Epoch, framed.ContentType, null), senderData.Written);
        return new PrivateMessage(framed.GroupId, framed.Epoch, framed.ContentType, framed.AuthenticatedData, sealedSender, ciphertext);
    }

    private const int SenderDataLength = 12; // leaf, generation, reuse guard (RFC 9420, 6.3.2)

    /// <summary>False when it does not open or has another length.</summary>
    public static bool TryOpenSenderData(PrivateMessage message, CipherSuite suite, ReadOnlySpan<byte> senderDataSecret, out SenderData data)
    {
        data = default;
        if (message.EncryptedSenderData.Length != SenderDataLength + CipherSuite.TagLength) return false;
        using var key = SenderDataKey(suite, senderDataSecret, message.Ciphertext);
        Span<byte> plain = stackalloc byte[SenderDataLength];
        if (!suite.TryOpen(key.Key, key.Nonce, Aad(message.GroupId, message.Epoch, message.ContentType, null), message.EncryptedSenderData, plain)) return false;
        data = new SenderData(BinaryPrimitives.ReadUInt32BigEndian(plain), BinaryPrimitives.ReadUInt32BigEndian(plain[4..]), BinaryPrimitives.ReadUInt32BigEndian(plain[8..]));
        return true;
    }

    /// <summary>Decrypts without using the key up: call <see cref="SecretTree.Use"/> once the signature has verified.</summary>
    public static AuthenticatedContent UnprotectPrivate(PrivateMessage message, SenderData sender, CipherSuite suite, SecretTree tree)
    {
        using var key = tree.Find((int)sender.Leaf, message.ContentType == ContentType.Application, sender.Generation);
        var nonce = Guarded(key.Nonce, sender.ReuseGuard, stackalloc byte[CipherSuite.NonceLength]);
        var plaintext = suite.Open(key.Key, nonce, Aad(message.GroupId, message.Epoch, message.ContentType, message.AuthenticatedData), message.Ciphertext);
        var reader = new TlsReader(plaintext);
        var framed = FramedContent.ReadBody(ref reader, message.ContentType, message.GroupId, message.Epoch, new Sender(SenderType.Member, sender.Leaf), message.AuthenticatedData);
        var content = AuthenticatedContent.ReadAuth(ref reader, WireFormat.PrivateMessage, framed);
        MlsException.ThrowIf(reader.Rest.ContainsAnyExcept((byte)0), MlsError.BadPadding);
        return content;
    }
}
