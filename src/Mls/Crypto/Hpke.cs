using System.Security.Cryptography;

namespace Marmot.Mls.Crypto;

/// <summary>HPKE in base mode, single shot, and its exporter. References: RFC 9180, 5.1 and 6.1. Parameters: the suite's KEM, KDF and AEAD.</summary>
public sealed partial class CipherSuite
{
    private readonly byte[] _hpkeId;

    private byte[] LabeledExtract(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> label, ReadOnlySpan<byte> ikm)
        => Extract(salt, [.. "HPKE-v1"u8, .. _hpkeId, .. label, .. ikm]);

    private byte[] LabeledExpand(ReadOnlySpan<byte> prk, ReadOnlySpan<byte> label, ReadOnlySpan<byte> info, int length)
        => Expand(prk, [(byte)(length >> 8), (byte)length, .. "HPKE-v1"u8, .. _hpkeId, .. label, .. info], length);

    /// <summary>info_hash of RFC 9180, 5.1: worth keeping when many recipients share a long info, as in a Welcome.</summary>
    internal byte[] HpkeInfoHash(ReadOnlySpan<byte> info) => LabeledExtract(default, "info_hash"u8, info);

    private (byte[] Key, byte[] Nonce, byte[] Exporter) Schedule(ReadOnlySpan<byte> shared, ReadOnlySpan<byte> infoHash)
    {
        byte[] context = [0, .. LabeledExtract(default, "psk_id_hash"u8, default), .. infoHash];
        var secret = LabeledExtract(shared, "secret"u8, default);
        var result = (LabeledExpand(secret, "key"u8, context, KeyLength), LabeledExpand(secret, "base_nonce"u8, context, NonceLength),
            LabeledExpand(secret, "exp"u8, context, HashLength));
        CryptographicOperations.ZeroMemory(secret);
        return result;
    }

    private (byte[] Enc, byte[] Shared) Encapsulate(ReadOnlySpan<byte> publicKey)
    {
        var ephemeral = GenerateKeyPair();
        var dh = Kem.Agree(ephemeral.PrivateKey, publicKey);
        var shared = Kem.SharedSecret(dh, ephemeral.PublicKey, publicKey);
        ephemeral.Wipe();
        CryptographicOperations.ZeroMemory(dh);
        return (ephemeral.PublicKey, shared);
    }

    private byte[] Decapsulate(KeyPair own, ReadOnlySpan<byte> enc)
    {
        var dh = Kem.Agree(own.PrivateKey, enc);
        var shared = Kem.SharedSecret(dh, enc, own.PublicKey);
        CryptographicOperations.ZeroMemory(dh);
        return shared;
    }

    internal (byte[] Enc, byte[] Ciphertext) HpkeSeal(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> infoHash, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext)
    {
        var (enc, shared) = Encapsulate(publicKey);
        var (key, nonce, _) = Schedule(shared, infoHash);
        var ciphertext = Seal(key, nonce, aad, plaintext);
        CryptographicOperations.ZeroMemory(shared);
        CryptographicOperations.ZeroMemory(key);
        return (enc, ciphertext);
    }

    internal byte[] HpkeOpen(KeyPair own, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> infoHash, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext)
    {
        var shared = Decapsulate(own, enc);
        var (key, nonce, _) = Schedule(shared, infoHash);
        CryptographicOperations.ZeroMemory(shared);
        try
        {
            return Open(key, nonce, aad, ciphertext);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    /// <summary>RFC 9420, 8.3: the sender's half of an external init.</summary>
    internal (byte[] Enc, byte[] Secret) HpkeSendExport(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, int length)
    {
        var (enc, shared) = Encapsulate(publicKey);
        var (_, _, exporter) = Schedule(shared, HpkeInfoHash(default));
        return (enc, LabeledExpand(exporter, "sec"u8, label, length));
    }

    internal byte[] HpkeReceiveExport(KeyPair own, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> label, int length)
    {
        var (_, _, exporter) = Schedule(Decapsulate(own, enc), HpkeInfoHash(default));
        return LabeledExpand(exporter, "sec"u8, label, length);
    }
}
