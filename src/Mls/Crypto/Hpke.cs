using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Mls.Codec;

namespace Marmot.Mls.Crypto;

/// <summary>HPKE in base mode, single shot, and its exporter. References: RFC 9180, 5.1 and 6.1. Parameters: the suite's KEM, KDF and AEAD.</summary>
public sealed partial class CipherSuite
{
    private readonly byte[] _hpkeId;
    private readonly byte[] _pskIdHash; // of no PSK: the same in every context

    /// <summary>info_hash of RFC 9180, 5.1: worth keeping when many recipients share a long info, as in a Welcome.</summary>
    internal byte[] HpkeInfoHash(ReadOnlySpan<byte> info)
    {
        var hash = new byte[HashLength];
        HpkeLabels.Extract(_hash, _hpkeId, default, "info_hash"u8, info, hash);
        return hash;
    }

    /// <summary>What the shared secret of a KEM turns into; wiped by its user.</summary>
    private ref struct HpkeContext
    {
        private readonly CipherSuite _suite;
        private readonly Span<byte> _secret;
        private readonly ReadOnlySpan<byte> _context;

        public HpkeContext(CipherSuite suite, ReadOnlySpan<byte> shared, ReadOnlySpan<byte> infoHash, Span<byte> secret, Span<byte> context)
        {
            _suite = suite;
            _secret = secret[..suite.HashLength];
            context[0] = 0; // mode_base
            suite._pskIdHash.CopyTo(context[1..]);
            infoHash.CopyTo(context[(1 + suite.HashLength)..]);
            _context = context[..(1 + (2 * suite.HashLength))];
            HpkeLabels.Extract(suite._hash, suite._hpkeId, shared, "secret"u8, default, _secret);
        }

        public readonly void Derive(ReadOnlySpan<byte> label, Span<byte> output) =>
            HpkeLabels.Expand(_suite._hash, _suite._hpkeId, _secret, label, _context, output);
    }

    /// <summary>The costly half of sealing, which needs neither info nor plaintext.</summary>
    internal HpkeSender HpkeEncapsulate(ReadOnlySpan<byte> publicKey)
    {
        var shared = new SecretBytes(Kem.SecretLength);
        return new HpkeSender(Kem.Encapsulate(publicKey, shared.Span), shared);
    }

    /// <summary>The other half. A sender seals once.</summary>
    internal byte[] HpkeSeal(HpkeSender sender, ReadOnlySpan<byte> infoHash, ReadOnlySpan<byte> aad, ReadOnlySpan<byte> plaintext)
    {
        Span<byte> room = stackalloc byte[3 * Hkdf.MaxHashLength];
        Span<byte> key = room[..KeyLength], nonce = room.Slice(64, NonceLength);
        var context = new HpkeContext(this, sender.SharedSecret, infoHash, room[128..], stackalloc byte[1 + (2 * Hkdf.MaxHashLength)]);
        context.Derive("key"u8, key);
        context.Derive("base_nonce"u8, nonce);
        var ciphertext = Seal(key, nonce, aad, plaintext);
        CryptographicOperations.ZeroMemory(room);
        return ciphertext;
    }

    internal (byte[] Enc, byte[] Ciphertext) HpkeSeal(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> infoHash, ReadOnlySpan<byte> aad,
        ReadOnlySpan<byte> plaintext)
    {
        using var sender = HpkeEncapsulate(publicKey);
        return (sender.Enc, HpkeSeal(sender, infoHash, aad, plaintext));
    }

    internal SecretBytes HpkeOpen(ReadOnlySpan<byte> privateKey, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> infoHash,
        ReadOnlySpan<byte> aad, ReadOnlySpan<byte> ciphertext)
    {
        MlsException.ThrowIf(ciphertext.Length < TagLength, MlsError.DecryptionFailed);
        var plaintext = new SecretBytes(ciphertext.Length - TagLength);
        Span<byte> room = stackalloc byte[6 * Hkdf.MaxHashLength];
        Span<byte> shared = room[..Kem.SecretLength], key = room.Slice(64, KeyLength), nonce = room.Slice(128, NonceLength);
        try
        {
            Kem.Decapsulate(privateKey, publicKey, enc, shared);
            var context = new HpkeContext(this, shared, infoHash, room.Slice(3 * 64, 64), stackalloc byte[1 + (2 * Hkdf.MaxHashLength)]);
            context.Derive("key"u8, key);
            context.Derive("base_nonce"u8, nonce);
            MlsException.ThrowIf(!TryOpen(key, nonce, aad, ciphertext, plaintext.Span), MlsError.DecryptionFailed);
            return plaintext;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(room);
        }
    }

    /// <summary>RFC 9420, 8.3: the sender's half of an external init.</summary>
    internal (byte[] Enc, SecretBytes Secret) HpkeSendExport(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> label, int length)
    {
        Span<byte> shared = stackalloc byte[Hkdf.MaxHashLength];
        shared = shared[..Kem.SecretLength];
        var enc = Kem.Encapsulate(publicKey, shared);
        return (enc, HpkeExport(shared, label, length));
    }

    internal SecretBytes HpkeReceiveExport(SecretKeyPair own, ReadOnlySpan<byte> enc, ReadOnlySpan<byte> label, int length)
    {
        Span<byte> shared = stackalloc byte[Hkdf.MaxHashLength];
        shared = shared[..Kem.SecretLength];
        Kem.Decapsulate(own.PrivateKey, own.PublicKey, enc, shared);
        return HpkeExport(shared, label, length);
    }

    /// <summary>Wipes the shared secret.</summary>
    private SecretBytes HpkeExport(Span<byte> shared, ReadOnlySpan<byte> label, int length)
    {
        Span<byte> room = stackalloc byte[2 * Hkdf.MaxHashLength];
        var exporter = room.Slice(Hkdf.MaxHashLength, HashLength);
        var context = new HpkeContext(this, shared, HpkeInfoHash(default), room[..Hkdf.MaxHashLength], stackalloc byte[1 + (2 * Hkdf.MaxHashLength)]);
        context.Derive("exp"u8, exporter);
        var secret = new SecretBytes(length);
        HpkeLabels.Expand(_hash, _hpkeId, exporter, "sec"u8, label, secret.Span);
        CryptographicOperations.ZeroMemory(room);
        CryptographicOperations.ZeroMemory(shared);
        return secret;
    }
}

/// <summary>What one encapsulation to a recipient gave: what the recipient needs, and the secret both share.</summary>
internal sealed record HpkeSender(byte[] Enc, SecretBytes SharedSecret) : IDisposable
{
    public void Dispose() => SharedSecret.Dispose();
}

/// <summary>LabeledExtract and LabeledExpand. References: RFC 9180, 4. Parameters: the suite id is "HPKE" or "KEM" with its numbers.</summary>
internal static class HpkeLabels
{
    private const int StackLimit = 512;

    private static ReadOnlySpan<byte> Version => "HPKE-v1"u8;

    public static void Extract(HashAlgorithmName hash, ReadOnlySpan<byte> suiteId, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> label, ReadOnlySpan<byte> ikm,
        Span<byte> output)
    {
        var size = Version.Length + suiteId.Length + label.Length + ikm.Length;
        // Only a public info can be long; pinned, so that no copy of it stays behind in any case.
        Span<byte> labelled = size > StackLimit ? GC.AllocateUninitializedArray<byte>(size, pinned: true) : stackalloc byte[StackLimit];
        labelled = labelled[..size];
        Version.CopyTo(labelled);
        suiteId.CopyTo(labelled[Version.Length..]);
        label.CopyTo(labelled[(Version.Length + suiteId.Length)..]);
        ikm.CopyTo(labelled[(size - ikm.Length)..]);
        Hkdf.Extract(hash, salt, labelled, output);
        CryptographicOperations.ZeroMemory(labelled);
    }

    /// <summary>The info is at most 300 bytes: two hashes, two public keys or a label.</summary>
    public static void Expand(HashAlgorithmName hash, ReadOnlySpan<byte> suiteId, ReadOnlySpan<byte> prk, ReadOnlySpan<byte> label, ReadOnlySpan<byte> info,
        Span<byte> output)
    {
        Span<byte> labelled = stackalloc byte[StackLimit];
        var at = 2;
        BinaryPrimitives.WriteUInt16BigEndian(labelled, (ushort)output.Length);
        Version.CopyTo(labelled[at..]);
        suiteId.CopyTo(labelled[(at += Version.Length)..]);
        label.CopyTo(labelled[(at += suiteId.Length)..]);
        info.CopyTo(labelled[(at += label.Length)..]);
        at += info.Length;
        Hkdf.Expand(hash, prk, labelled[..(at + 1)], output);
    }
}
