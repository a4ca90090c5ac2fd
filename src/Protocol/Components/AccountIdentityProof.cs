using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Marmot.Platform.Native;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8009: an account's word that an MLS leaf with this signature key is its own. Stands in every leaf, never in the group.</summary>
/// <remarks>
/// 104 bytes: x-only key 32 | created_at u64 big-endian | BIP-340 signature 64 over the NIP-01 id of a kind 450 event that is never published. Its age does not
/// matter. A new signature key needs a new proof. Immutable and thread-safe.
/// </remarks>
public sealed class AccountIdentityProof
{
    /// <summary>Kind of the event that is signed and never published.</summary>
    public const int Kind = EventKinds.AccountIdentityProof;

    /// <summary>Length of the body in bytes.</summary>
    public const int Size = Bytes32.Size + sizeof(ulong) + SignatureSize;

    private const int SignatureSize = 64;
    private const string Content = "Authorize this MLS leaf key for my Marmot account";

    private readonly byte[] _signature;

    private AccountIdentityProof(in Bytes32 account, long createdAt, ReadOnlySpan<byte> signature)
        => (Account, CreatedAt, _signature) = (account, createdAt, signature.ToArray());

    /// <summary>The account, which is also the leaf's credential identity.</summary>
    public Bytes32 Account { get; }

    /// <summary>Unix seconds, 1 to 2^53 - 1.</summary>
    public long CreatedAt { get; }

    /// <summary>What the account signs; a remote signer must give it back unchanged.</summary>
    /// <param name="account">The account.</param>
    /// <param name="mlsSignatureKey">The leaf's signature key, 32 bytes (Ed25519).</param>
    /// <param name="createdAt">Unix seconds, 1 to 2^53 - 1.</param>
    public static Rumor Authorization(in Bytes32 account, ReadOnlySpan<byte> mlsSignatureKey, long createdAt) => Rumor.Create(account, Kind,
        [
            ["d", "marmot.account-identity-proof.v2"],
            ["component", "0x8009"],
            ["ciphersuite", "0x0001"],
            ["signature_scheme", "0x0807"],
            ["mls_signature_key", Convert.ToHexStringLower(mlsSignatureKey)],
        ], Content, createdAt);

    /// <summary>Signs with a key at hand.</summary>
    public static AccountIdentityProof Create(SecretKey account, ReadOnlySpan<byte> mlsSignatureKey, long createdAt)
    {
        CheckCreatedAt(createdAt);
        Span<byte> signature = stackalloc byte[SignatureSize];
        account.Sign(Authorization(account.PublicKey, mlsSignatureKey, createdAt).Id.Span, signature);
        return new AccountIdentityProof(account.PublicKey, createdAt, signature);
    }

    /// <summary>Takes what a remote signer (NIP-46) made of <see cref="Authorization"/>; false when it changed anything or its signature does not
    /// verify.</summary>
    public static bool TryTake(NostrEvent signedEvent, ReadOnlySpan<byte> mlsSignatureKey, [NotNullWhen(true)] out AccountIdentityProof? proof)
    {
        proof = null;
        if (!IsCreatedAt(signedEvent.CreatedAt) || signedEvent.Id != Authorization(signedEvent.PublicKey, mlsSignatureKey, signedEvent.CreatedAt).Id
            || !signedEvent.TryVerify(out _))
        {
            return false;
        }

        proof = new AccountIdentityProof(signedEvent.PublicKey, signedEvent.CreatedAt, signedEvent.Signature.Span);
        return true;
    }

    /// <summary>Reads a body; the signature is for <see cref="Verifies"/>.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out AccountIdentityProof? proof, out RejectReason reason)
    {
        proof = null;
        reason = RejectReason.Invalid("the account identity proof is malformed");
        if (body.Length != Size || !Secp256k1.IsValidPublicKey(body[..Bytes32.Size]))
        {
            return false;
        }

        ulong createdAt = BinaryPrimitives.ReadUInt64BigEndian(body[Bytes32.Size..]);
        if (createdAt > long.MaxValue || !IsCreatedAt((long)createdAt))
        {
            return false;
        }

        proof = new AccountIdentityProof(new Bytes32(body[..Bytes32.Size]), (long)createdAt, body[^SignatureSize..]);
        reason = default;
        return true;
    }

    /// <summary>True when this account signed for a leaf with this credential identity and this signature key.</summary>
    public bool Verifies(ReadOnlySpan<byte> credentialIdentity, ReadOnlySpan<byte> mlsSignatureKey)
        => credentialIdentity.SequenceEqual(Account.Span)
            && Secp256k1.VerifySchnorr(_signature, Authorization(Account, mlsSignatureKey, CreatedAt).Id.Span, Account.Span);

    /// <summary>The body.</summary>
    public byte[] ToBytes() => new VectorWriter().Fixed(Account.Span).UInt64((ulong)CreatedAt).Fixed(_signature).ToArray();

    private static bool IsCreatedAt(long seconds) => seconds is >= 1 and < 1L << 53;

    private static void CheckCreatedAt(long seconds)
    {
        if (!IsCreatedAt(seconds))
        {
            throw new ArgumentOutOfRangeException(nameof(seconds));
        }
    }
}
