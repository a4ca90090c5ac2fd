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

    internal static (byte[] Key, byte[] Nonce) SenderDataKey(CipherSuite suite, ReadOnlySpan<byte> senderDataSecret, ReadOnlySpan<byte> ciphertext)
    {
        var sample = ciphertext[..Math.Min(ciphertext.Length, suite.HashLength)];
        return (suite.ExpandWithLabel(senderDataSecret, "key"u8, sample, suite.KeyLength), suite.ExpandWithLabel(senderDataSecret, "nonce"u8, sample, CipherSuite.NonceLength));
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

    private static byte[] Guarded(byte[] nonce, uint guard)
    {
        byte[] guarded = [.. nonce];
        for (var i = 0; i < 4; i++) guarded[i] ^= (byte)(guard >> (24 - (8 * i)));
        return guarded;
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
        var ciphertext = suite.Seal(key.Key, Guarded(key.Nonce, guard), aad, writer.Written);
        key.Wipe();

        var senderData = new TlsWriter();
        senderData.WriteUInt32(leaf);
        senderData.WriteUInt32(generation);
        senderData.WriteUInt32(guard);
        var (senderKey, senderNonce) = SenderDataKey(suite, senderDataSecret, ciphertext);
        var sealedSender = suite.Seal(senderKey, senderNonce, Aad(framed.GroupId, framed.Epoch, framed.ContentType, null), senderData.Written);
        return new PrivateMessage(framed.GroupId, framed.Epoch, framed.ContentType, framed.AuthenticatedData, sealedSender, ciphertext);
    }

    public static SenderData OpenSenderData(PrivateMessage message, CipherSuite suite, ReadOnlySpan<byte> senderDataSecret)
    {
        var (key, nonce) = SenderDataKey(suite, senderDataSecret, message.Ciphertext);
        var reader = new TlsReader(suite.Open(key, nonce, Aad(message.GroupId, message.Epoch, message.ContentType, null), message.EncryptedSenderData));
        var data = new SenderData(reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadUInt32());
        reader.ExpectEnd();
        return data;
    }

    /// <summary>Decrypts without using the key up: call <see cref="SecretTree.Find"/> with confirm once the signature has verified.</summary>
    public static AuthenticatedContent UnprotectPrivate(PrivateMessage message, SenderData sender, CipherSuite suite, SecretTree tree)
    {
        var key = tree.Find((int)sender.Leaf, message.ContentType == ContentType.Application, sender.Generation, confirm: false);
        byte[] plaintext;
        try
        {
            plaintext = suite.Open(key.Key, Guarded(key.Nonce, sender.ReuseGuard), Aad(message.GroupId, message.Epoch, message.ContentType, message.AuthenticatedData), message.Ciphertext);
        }
        finally
        {
            key.Wipe();
        }
        var reader = new TlsReader(plaintext);
        var framed = FramedContent.ReadBody(ref reader, message.ContentType, message.GroupId, message.Epoch, new Sender(SenderType.Member, sender.Leaf), message.AuthenticatedData);
        var content = AuthenticatedContent.ReadAuth(ref reader, WireFormat.PrivateMessage, framed);
        MlsException.ThrowIf(reader.Rest.ContainsAnyExcept((byte)0), MlsError.BadPadding);
        return content;
    }
}
