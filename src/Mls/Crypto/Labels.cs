using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Marmot.Mls.Codec;
using Marmot.Platform.Native;

namespace Marmot.Mls.Crypto;

/// <summary>The labelled functions of RFC 9420, 5.1, 5.2 and 8. Every label is prefixed by "MLS 1.0 " here and nowhere else.</summary>
public sealed partial class CipherSuite
{
    private const int StackLimit = 512;

    private static ReadOnlySpan<byte> Prefix => "MLS 1.0 "u8;

    private static void WriteLabel(TlsWriter writer, ReadOnlySpan<byte> label)
    {
        writer.WriteVarint(Prefix.Length + label.Length);
        writer.WriteFixed(Prefix);
        writer.WriteFixed(label);
    }

    private static ReadOnlySpan<byte> Labelled(ReadOnlySpan<byte> label, ReadOnlySpan<byte> content)
    {
        var writer = new TlsWriter(content.Length + label.Length + 16);
        WriteLabel(writer, label);
        writer.WriteOpaque(content);
        return writer.Written;
    }

    /// <summary>Signs with a key of <see cref="SignatureScheme.Prepare"/>.</summary>
    internal byte[] SignWithLabel(SecretBytes prepared, ReadOnlySpan<byte> label, ReadOnlySpan<byte> content) =>
        Signature.Sign(prepared, Labelled(label, content));

    internal bool VerifyWithLabel(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> content, ReadOnlySpan<byte> signature)
        => Signature.Verify(publicKey, Labelled(label, content), signature);

    /// <summary>EncryptContext of RFC 9420, 5.1.3, hashed as HPKE wants it.</summary>
    internal byte[] EncryptContext(ReadOnlySpan<byte> label, ReadOnlySpan<byte> context) => HpkeInfoHash(Labelled(label, context));

    internal (byte[] Enc, byte[] Ciphertext) EncryptWithLabel(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context,
        ReadOnlySpan<byte> plaintext)
        => HpkeSeal(publicKey, EncryptContext(label, context), default, plaintext);

    internal SecretBytes DecryptWithLabel(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context,
        ReadOnlySpan<byte> enc, ReadOnlySpan<byte> ciphertext)
        => HpkeOpen(privateKey, publicKey, enc, EncryptContext(label, context), default, ciphertext);

    internal SecretBytes ExpandWithLabel(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, int length)
    {
        var output = new SecretBytes(length);
        ExpandWithLabel(secret, label, context, output.Span);
        return output;
    }

    internal void ExpandWithLabel(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, Span<byte> output)
    {
        var labelLength = Prefix.Length + label.Length;
        var size = 2 + TlsWriter.OpaqueSize(labelLength) + TlsWriter.OpaqueSize(context.Length) + 1;
        var rented = size > StackLimit ? ArrayPool<byte>.Shared.Rent(size) : null;
        Span<byte> info = rented ?? stackalloc byte[StackLimit];
        info = info[..size];
        BinaryPrimitives.WriteUInt16BigEndian(info, (ushort)output.Length);
        var at = 2 + TlsWriter.PutVarint(info[2..], labelLength);
        Prefix.CopyTo(info[at..]);
        label.CopyTo(info[(at + Prefix.Length)..]);
        at += labelLength;
        at += TlsWriter.PutVarint(info[at..], context.Length);
        context.CopyTo(info[at..]);
        Hkdf.Expand(_hash, secret, info, output);
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented); // the context is public
    }

    internal SecretBytes DeriveSecret(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label) => ExpandWithLabel(secret, label, default, HashLength);

    internal void DeriveTreeSecret(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, uint generation, Span<byte> output)
    {
        Span<byte> context = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(context, generation);
        ExpandWithLabel(secret, label, context, output);
    }

    /// <summary>ExpandWithLabel for "key" and "nonce" of one secret (RFC 9420, 6.3.2 and 9.1): with SHA-256 the secret is taken into the MAC once for
    /// both.</summary>
    internal void ExpandKeyAndNonce(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> context, Span<byte> key, Span<byte> nonce)
    {
        if (_hash != HashAlgorithmName.SHA256 || context.Length > Hkdf.MaxHashLength)
        {
            ExpandWithLabel(secret, "key"u8, context, key);
            ExpandWithLabel(secret, "nonce"u8, context, nonce);
            return;
        }
        Sodium.HmacSha256Begin(secret, out var keyed);
        var again = keyed;
        ExpandBlock(ref keyed, "key"u8, context, key);
        ExpandBlock(ref again, "nonce"u8, context, nonce);
    }

    /// <summary>One block of HKDF-Expand behind a MAC that has its key; the state is used up and wiped.</summary>
    private static void ExpandBlock(ref Sodium.HmacSha256State keyed, ReadOnlySpan<byte> label, ReadOnlySpan<byte> context, Span<byte> output)
    {
        Span<byte> info = stackalloc byte[128]; // 2, 1 + 8 + 5 of the label, 2 + 64 of the context, the counter
        BinaryPrimitives.WriteUInt16BigEndian(info, (ushort)output.Length);
        var at = 2 + TlsWriter.PutVarint(info[2..], Prefix.Length + label.Length);
        Prefix.CopyTo(info[at..]);
        label.CopyTo(info[(at += Prefix.Length)..]);
        at += label.Length;
        at += TlsWriter.PutVarint(info[at..], context.Length);
        context.CopyTo(info[at..]);
        at += context.Length;
        info[at] = 1;
        Span<byte> block = stackalloc byte[32];
        Sodium.HmacSha256End(ref keyed, info[..(at + 1)], block);
        block[..output.Length].CopyTo(output);
        CryptographicOperations.ZeroMemory(block);
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(new Span<Sodium.HmacSha256State>(ref keyed)));
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
    {
        Span<byte> derived = stackalloc byte[Hkdf.MaxHashLength];
        derived = derived[..HashLength];
        ExpandWithLabel(exporterSecret, Encoding.UTF8.GetBytes(label), default, derived);
        var exported = new byte[length];
        ExpandWithLabel(derived, "exported"u8, Hash(context), exported);
        CryptographicOperations.ZeroMemory(derived);
        return exported;
    }
}
