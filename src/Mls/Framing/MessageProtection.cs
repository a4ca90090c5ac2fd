using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Framing;

/// <summary>The sender data of a PrivateMessage (RFC 9420, 6.3.2).</summary>
internal readonly record struct SenderData(uint Leaf, uint Generation, uint ReuseGuard);

/// <summary>Sender data that was opened.</summary>
/// <param name="State">The epoch by whose secret.</param>
/// <param name="Data">What it says.</param>
internal sealed record OpenedSenderData(Groups.EpochState State, SenderData Data);

/// <summary>PublicMessage and PrivateMessage, both ways (RFC 9420, 6.2 and 6.3). Signatures are checked by the caller, who knows the sender's key.</summary>
internal static class MessageProtection
{
    public static PublicMessage ProtectPublic(AuthenticatedContent content, CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> membershipKey)
    {
        MlsException.ThrowIf(content.Content.ContentType == ContentType.Application, MlsError.WrongWireFormat);
        return new PublicMessage(content, content.Content.Sender.Type == SenderType.Member ? content.MembershipTag(suite, context, membershipKey) : null);
    }

    /// <summary>Checks wire format and membership tag; the signature is not looked at.</summary>
    public static MlsError UnprotectPublic(PublicMessage message, CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> membershipKey)
    {
        var content = message.Content;
        if (content.Content.ContentType == ContentType.Application) return MlsError.WrongWireFormat;
        if (content.Content.Sender.Type != SenderType.Member) return MlsError.None;
        var expected = content.MembershipTag(suite, context, membershipKey);
        return CryptographicOperations.FixedTimeEquals(expected, message.MembershipTag) ? MlsError.None : MlsError.BadMembershipTag;
    }

    internal static MessageKey SenderDataKey(CipherSuite suite, ReadOnlySpan<byte> senderDataSecret, ReadOnlySpan<byte> ciphertext)
    {
        var sample = ciphertext[..Math.Min(ciphertext.Length, suite.HashLength)];
        var material = new SecretBytes(suite.KeyLength + CipherSuite.NonceLength);
        suite.ExpandKeyAndNonce(senderDataSecret, sample, material.Span[..suite.KeyLength], material.Span[suite.KeyLength..]);
        return new MessageKey(material);
    }

    private static ReadOnlySpan<byte> Aad(byte[] groupId, ulong epoch, ContentType type, byte[]? authenticatedData)
    {
        var writer = new TlsWriter(24 + groupId.Length + (authenticatedData?.Length ?? 0));
        writer.WriteOpaque(groupId);
        writer.WriteUInt64(epoch);
        writer.WriteByte((byte)type);
        if (authenticatedData is not null) writer.WriteOpaque(authenticatedData);
        return writer.Written;
    }

    /// <summary>The nonce with the reuse guard in its first four bytes (RFC 9420, 6.3.1).</summary>
    private static ReadOnlySpan<byte> Guarded(ReadOnlySpan<byte> nonce, uint guard, Span<byte> room)
    {
        nonce.CopyTo(room);
        for (var i = 0; i < 4; i++) room[i] ^= (byte)(guard >> (24 - (8 * i)));
        return room;
    }

    /// <summary>Encrypts with the next generation of our ratchet, which is used up whatever happens next. Padding is zero bytes up to a multiple of
    /// <paramref name="padTo"/>.</summary>
    public static PrivateMessage ProtectPrivate(AuthenticatedContent content, CipherSuite suite, SecretTree tree,
        ReadOnlySpan<byte> senderDataSecret, int padTo)
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
        if (!suite.TryOpen(key.Key, key.Nonce, Aad(message.GroupId, message.Epoch, message.ContentType, null), message.EncryptedSenderData, plain))
        {
            return false;
        }

        data = new SenderData(BinaryPrimitives.ReadUInt32BigEndian(plain), BinaryPrimitives.ReadUInt32BigEndian(plain[4..]),
            BinaryPrimitives.ReadUInt32BigEndian(plain[8..]));
        return true;
    }

    /// <summary>Decrypts without using the key up: call <see cref="SecretTree.Use"/> once the signature has verified. The signature is not looked at.</summary>
    public static MlsError UnprotectPrivate(PrivateMessage message, SenderData sender, CipherSuite suite, SecretTree tree, out AuthenticatedContent? content)
    {
        content = null;
        if (tree.TryFind((int)sender.Leaf, message.ContentType == ContentType.Application, sender.Generation, out var key) is not MlsError.None and var missing)
        {
            return missing;
        }

        using var owned = key;
        if (message.Ciphertext.Length < CipherSuite.TagLength) return MlsError.DecryptionFailed;
        var nonce = Guarded(key!.Nonce, sender.ReuseGuard, stackalloc byte[CipherSuite.NonceLength]);
        var plaintext = new byte[message.Ciphertext.Length - CipherSuite.TagLength];
        var aad = Aad(message.GroupId, message.Epoch, message.ContentType, message.AuthenticatedData);
        return suite.TryOpen(key.Key, nonce, aad, message.Ciphertext, plaintext)
            ? ReadContent(plaintext, message, sender, out content)
            : MlsError.DecryptionFailed;
    }

    /// <summary>PrivateMessageContent (RFC 9420, 6.3.1). A member has encrypted it: what does not decode is refused as in
    /// <see cref="MlsMessage.TryRead"/>.</summary>
    private static MlsError ReadContent(byte[] plaintext, PrivateMessage message, SenderData sender, out AuthenticatedContent? content)
    {
        content = null;
        try
        {
            var reader = new TlsReader(plaintext);
            var framed = FramedContent.ReadBody(ref reader, message.ContentType, message.GroupId, message.Epoch, new Sender(SenderType.Member, sender.Leaf),
                message.AuthenticatedData);
            var read = AuthenticatedContent.ReadAuth(ref reader, WireFormat.PrivateMessage, framed);
            if (reader.Rest.ContainsAnyExcept((byte)0)) return MlsError.BadPadding;
            content = read;
            return MlsError.None;
        }
        catch (MlsException refusal)
        {
            return refusal.Error;
        }
    }
}
