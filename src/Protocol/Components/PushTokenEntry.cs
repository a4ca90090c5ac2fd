using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Platform.Native;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Protocol.Components;

/// <summary>What one entry of the push gossip is about: an entry replaces an older one with the same key.</summary>
/// <param name="Member">The owner's account.</param>
/// <param name="LeafIndex">The owner's leaf.</param>
/// <param name="Platform">The push service.</param>
/// <param name="Server">The notification server's key.</param>
public readonly record struct PushTokenKey(Bytes32 Member, uint LeafIndex, DevicePlatform Platform, Bytes32 Server);

/// <summary>One entry of marmot-push-v1 gossip: a member's encrypted device token, or its removal, signed by its owner, carried by anybody.</summary>
/// <remarks>
/// The owner signs the id of a kind 451 event that is never published, dated 0, bound to the MLS group id. Of two entries with one <see cref="PushTokenKey"/>
/// the one with the larger (<see cref="OwnerTimestamp"/>, <see cref="OrderingDigest"/>) holds; a removal leaves a tombstone until the leaf goes. Immutable and
/// thread-safe.
/// </remarks>
public sealed record PushTokenEntry
{
    /// <summary>Kind of the event that is signed and never published.</summary>
    public const int ProofKind = EventKinds.PushTokenProof;

    /// <summary>An entry dated further ahead of the reader's clock than this is refused; milliseconds.</summary>
    public const long MaxFutureMilliseconds = 3_600_000;

    /// <summary>Bytes of a token's fingerprint.</summary>
    public const int FingerprintSize = 12;

    private const int SignatureSize = 64;

    /// <summary>What it is about.</summary>
    public required PushTokenKey Key { get; init; }

    /// <summary>The first 12 bytes of SHA-256(platform byte | device token).</summary>
    public required byte[] Fingerprint { get; init; }

    /// <summary>Where the server is reached, signed exactly as written; null for none. Never with blanks at its ends: MDK trims them before it
    /// verifies.</summary>
    public string? RelayHint { get; init; }

    /// <summary>1,084 bytes; null for a removal.</summary>
    public byte[]? EncryptedToken { get; init; }

    /// <summary>Unix milliseconds, by the owner's clock.</summary>
    public required long OwnerTimestamp { get; init; }

    /// <summary>BIP-340, 64 bytes.</summary>
    public required byte[] OwnerSignature { get; init; }

    /// <summary>True when the entry takes a token back.</summary>
    public bool IsRemoval => EncryptedToken is null;

    /// <summary>The fingerprint of a device token.</summary>
    public static byte[] FingerprintOf(DevicePlatform platform, ReadOnlySpan<byte> deviceToken) =>
        SHA256.HashData((byte[])[(byte)platform, .. deviceToken])[..FingerprintSize];

    /// <summary>Makes and signs an entry; without a token it is a removal, which has no relay hint.</summary>
    /// <param name="owner">The owner's key.</param>
    /// <param name="mlsGroupId">The MLS group id.</param>
    /// <param name="leafIndex">The owner's leaf.</param>
    /// <param name="platform">The push service.</param>
    /// <param name="server">The notification server's key.</param>
    /// <param name="fingerprint">From <see cref="FingerprintOf"/>.</param>
    /// <param name="encryptedToken">1,084 bytes, or null.</param>
    /// <param name="relayHint">Where the server is reached, or null.</param>
    /// <param name="ownerTimestamp">Unix milliseconds; larger than that of the entry it replaces.</param>
    public static PushTokenEntry Create(SecretKey owner, ReadOnlySpan<byte> mlsGroupId, uint leafIndex, DevicePlatform platform, in Bytes32 server,
        byte[] fingerprint, byte[]? encryptedToken, string? relayHint, long ownerTimestamp)
    {
        var entry = new PushTokenEntry
        {
            Key = new PushTokenKey(owner.PublicKey, leafIndex, platform, server),
            Fingerprint = fingerprint,
            RelayHint = encryptedToken is null ? null : relayHint?.Trim(),
            EncryptedToken = encryptedToken,
            OwnerTimestamp = ownerTimestamp,
            OwnerSignature = new byte[SignatureSize],
        };
        owner.Sign(entry.ProofId(mlsGroupId).Span, entry.OwnerSignature);
        return entry;
    }

    /// <summary>True when the member signed it for this group.</summary>
    public bool IsSignedFor(ReadOnlySpan<byte> mlsGroupId) => Secp256k1.VerifySchnorr(OwnerSignature, ProofId(mlsGroupId).Span, Key.Member.Span);

    /// <summary>True when it is dated too far ahead of this clock, Unix milliseconds.</summary>
    public bool IsFromTheFuture(long nowMilliseconds) => OwnerTimestamp - MaxFutureMilliseconds > nowMilliseconds;

    /// <summary>True when it replaces an entry with the same key.</summary>
    public bool Replaces(PushTokenEntry known, ReadOnlySpan<byte> mlsGroupId)
        => OwnerTimestamp != known.OwnerTimestamp ? OwnerTimestamp > known.OwnerTimestamp : OrderingDigest(mlsGroupId) > known.OrderingDigest(mlsGroupId);

    /// <summary>SHA-256 of the signed record: the order of entries with one timestamp.</summary>
    public Bytes32 OrderingDigest(ReadOnlySpan<byte> mlsGroupId) => new(SHA256.HashData(SignedRecord(mlsGroupId)));

    internal byte[] SignedRecord(ReadOnlySpan<byte> mlsGroupId)
    {
        byte[] hint = System.Text.Encoding.UTF8.GetBytes(RelayHint ?? string.Empty);
        return new VectorWriter()
            .Fixed(System.Text.Encoding.UTF8.GetBytes(Domain))
            .UInt16((ushort)mlsGroupId.Length)
            .Fixed(mlsGroupId)
            .Fixed(Key.Member.Span)
            .UInt32(Key.LeafIndex)
            .Fixed([(byte)Key.Platform])
            .Fixed(Key.Server.Span)
            .Fixed(Fingerprint)
            .UInt64((ulong)OwnerTimestamp)
            .UInt16((ushort)hint.Length)
            .Fixed(hint)
            .Fixed(EncryptedToken)
            .ToArray();
    }

    internal Bytes32 ProofId(ReadOnlySpan<byte> mlsGroupId)
    {
        List<string[]> tags =
        [
            ["d", Domain],
            ["group_id", Convert.ToHexStringLower(mlsGroupId)],
            ["member_id", Key.Member.ToString()],
            ["leaf_index", Key.LeafIndex.ToString(CultureInfo.InvariantCulture)],
            ["platform", PlatformName(Key.Platform)],
            ["server_pubkey", Key.Server.ToString()],
            ["token_fingerprint", FingerprintText],
            ["owner_ts", OwnerTimestamp.ToString(CultureInfo.InvariantCulture)],
            ["relay_hint", RelayHint ?? string.Empty],
        ];
        if (!IsRemoval)
        {
            tags.Add(["encrypted_token_encoding", "base64"]);
        }

        return Rumor.Create(Key.Member, ProofKind, tags, IsRemoval ? string.Empty : Convert.ToBase64String(EncryptedToken!), 0).Id;
    }

    internal string FingerprintText => FingerprintPrefix + Convert.ToHexStringLower(Fingerprint);

    internal static string PlatformName(DevicePlatform platform) => platform == DevicePlatform.Apns ? "apns" : "fcm";

    internal static bool TryReadPlatform(string? text, out DevicePlatform platform)
    {
        platform = text == "apns" ? DevicePlatform.Apns : DevicePlatform.Fcm;
        return text is "apns" or "fcm";
    }

    internal static bool TryReadFingerprint(string? text, [NotNullWhen(true)] out byte[]? fingerprint)
    {
        fingerprint = new byte[FingerprintSize];
        bool good = text is not null && text.StartsWith(FingerprintPrefix, StringComparison.Ordinal)
            && Hex.TryDecodeLower(System.Text.Encoding.UTF8.GetBytes(text[FingerprintPrefix.Length..]), fingerprint);
        fingerprint = good ? fingerprint : null;
        return good;
    }

    private const string FingerprintPrefix = "sha256:";

    private string Domain => IsRemoval ? "marmot-push-token-removal-v1" : "marmot-push-token-record-v1";
}
