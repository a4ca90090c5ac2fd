using System.Buffers.Binary;
using System.Text;
using Marmot.Mls.Codec;

namespace Marmot.Mls.Crypto;

/// <summary>The labelled functions of RFC 9420, 5.1, 5.2 and 8. Every label is prefixed by "MLS 1.0 " here and nowhere else.</summary>
public sealed partial class CipherSuite
{
    private static ReadOnlySpan<byte> Prefix => "MLS 1.0 "u8;

    private static byte[] Labelled(ReadOnlySpan<byte> label, ReadOnlySpan<byte> content)
    {
        var writer = new TlsWriter(content.Length + 64);
        writer.WriteOpaque([.. Prefix, .. label]);
        writer.WriteOpaque(content);
        return writer.ToArray();
    }

    internal byte[] SignWithLabel(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> content)
        => Signature.Sign(privateKey, Labelled(label, content));

    internal bool VerifyWithLabel(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> content, ReadOnlySpan<byte> signature)
        => Signature.Verify(publicKey, Labelled(label, content), signature);

    /// <summary>EncryptContext of RFC 9420, 5.1.3, hashed as HPKE wants it.</summary>
    internal byte[] EncryptContext(ReadOnlySpan<byte> label, ReadOnlySpan<byte> context) => HpkeInfoHash(Labelled(label, context));

    internal (byte[] Enc, byte[] Ciphertext) EncryptWithLabel(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, ReadOnlySpan<byte> plaintext)
        => HpkeSeal(publicKey, EncryptContext(label, context), default, plaintext);

    internal byte[] DecryptWithLabel(KeyPair own, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> ciphertext)
        => HpkeOpen(own, enc, EncryptContext(label, context), default, ciphertext);

    internal byte[] ExpandWithLabel(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, int length)
    {
        var writer = new TlsWriter(context.Length + 64);
        writer.WriteUInt16((ushort)length);
        writer.WriteOpaque([.. Prefix, .. label]);
        writer.WriteOpaque(context);
        return Expand(secret, writer.Written, length);
    }

    internal byte[] DeriveSecret(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label) => ExpandWithLabel(secret, label, default, HashLength);

    internal byte[] DeriveTreeSecret(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, uint generation, int length)
    {
        Span<byte> context = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(context, generation);
        return ExpandWithLabel(secret, label, context, length);
    }

    /// <summary>RefHash of RFC 9420, 5.2; the label is taken as it stands.</summary>
    internal byte[] RefHash(ReadOnlySpan<byte> label, ReadOnlySpan<byte> value)
    {
        var writer = new TlsWriter(value.Length + 64);
        writer.WriteOpaque(label);
        writer.WriteOpaque(value);
        return Hash(writer.Written);
    }

    /// <summary>The exporter (RFC 9420, 8.5).</summary>
    internal byte[] Export(ReadOnlySpan<byte> exporterSecret, string label, ReadOnlySpan<byte> context, int length)
        => ExpandWithLabel(DeriveSecret(exporterSecret, Encoding.UTF8.GetBytes(label)), "exported"u8, Hash(context), length);
}
