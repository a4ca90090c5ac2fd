using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Groups;

/// <summary>The outer envelope of a kind 445 group event: base64(nonce 12 | ChaCha20-Poly1305(MLSMessage)), no associated data (MIP-03).</summary>
/// <remarks>
/// Key: MLS-Exporter("marmot", "group-event", 32) of the sender's current epoch; a commit is sealed with the key of the epoch it ends.
/// Decoded once, then tried with the keys of several epochs. Immutable and thread-safe.
/// </remarks>
public sealed class GroupEvent
{
    /// <summary>Kind of a group event.</summary>
    public const int Kind = EventKinds.GroupEvent;

    /// <summary>Length of the sealing key in bytes.</summary>
    public const int KeySize = Sodium.KeySize;

    /// <summary>Shortest decoded content: nonce 12 + tag 16.</summary>
    public const int MinSealedSize = Sodium.NonceSize + Sodium.TagSize;

    private readonly byte[] _sealed;

    private GroupEvent(in Bytes32 nostrGroupId, long createdAt, long? expiration, byte[] sealedMessage)
    {
        NostrGroupId = nostrGroupId;
        CreatedAt = createdAt;
        Expiration = expiration;
        _sealed = sealedMessage;
    }

    /// <summary>The public routing id, the <c>h</c> tag; not the MLS group id.</summary>
    public Bytes32 NostrGroupId { get; }

    /// <summary>Unix seconds; orders competing commits.</summary>
    public long CreatedAt { get; }

    /// <summary>Unix seconds after which relays drop the event (NIP-40); null without the tag.</summary>
    public long? Expiration { get; }

    /// <summary>The decoded content: nonce, ciphertext, tag.</summary>
    public ReadOnlySpan<byte> Sealed => _sealed;

    /// <summary>Reads the envelope: exactly one <c>h</c> tag with 64 lower-case hex digits, <c>encoding</c> absent or base64; other tags are ignored.</summary>
    public static bool TryParse(NostrEvent evt, [NotNullWhen(true)] out GroupEvent? group, out RejectReason reason)
    {
        group = null;
        string? fault = Parse(evt, ref group);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>Opens the envelope with one epoch's key; false when it was sealed with another or changed on the way.</summary>
    /// <remarks>The MLSMessage may be empty or malformed: that is for the MLS decoder. Tell repeats apart by its bytes, never by the event id.</remarks>
    public bool TryOpen(ReadOnlySpan<byte> key, [NotNullWhen(true)] out byte[]? mlsMessage)
    {
        mlsMessage = new byte[_sealed.Length - MinSealedSize];
        if (!Sodium.ChaCha20Poly1305Decrypt(key, _sealed.AsSpan(0, Sodium.NonceSize), [], _sealed.AsSpan(Sodium.NonceSize), mlsMessage))
        {
            mlsMessage = null;
        }

        return mlsMessage is not null;
    }

    /// <summary>Opens the envelope of January 2026: NIP-44 to oneself with MLS-Exporter("nostr", "nostr", 32) as the secret key, raw bytes inside.</summary>
    /// <remarks>Try <see cref="TryOpen"/> first: a nonce may begin with NIP-44's version byte too.</remarks>
    public bool TryOpenLegacy(SecretKey exporter, [NotNullWhen(true)] out byte[]? mlsMessage)
    {
        mlsMessage = null;
        byte[] payload = System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(_sealed));
        byte[] buffer = new byte[Nip44.GetDecryptBufferSize(payload.Length)];
        Span<byte> key = stackalloc byte[Nip44.ConversationKeySize];
        if (Nip44.TryDeriveConversationKey(exporter, exporter.PublicKey, key) && Nip44.TryDecrypt(key, payload, buffer, out var plaintext))
        {
            mlsMessage = plaintext.ToArray();
        }

        CryptographicOperations.ZeroMemory(key);
        CryptographicOperations.ZeroMemory(buffer);
        return mlsMessage is not null;
    }

    /// <summary>Seals an MLSMessage under a fresh nonce and signs the event with a fresh key, so that nothing ties it to the sender.</summary>
    /// <param name="key">The current epoch's key, 32 bytes.</param>
    /// <param name="nostrGroupId">The routing id.</param>
    /// <param name="mlsMessage">The message to seal.</param>
    /// <param name="createdAt">Unix seconds; strictly increasing for one sender in one group.</param>
    /// <param name="expiration">Adds the NIP-40 tag.</param>
    public static NostrEvent Create(ReadOnlySpan<byte> key, in Bytes32 nostrGroupId, ReadOnlySpan<byte> mlsMessage, long createdAt, long? expiration = null)
    {
        Span<byte> nonce = stackalloc byte[Sodium.NonceSize];
        RandomNumberGenerator.Fill(nonce);
        List<string[]> tags = [["h", nostrGroupId.ToString()]];
        if (expiration is { } seconds)
        {
            tags.Add(["expiration", seconds.ToString(CultureInfo.InvariantCulture)]);
        }

        // No encoding tag: MIP-era readers do without it, and the later transport text calls it malformed.
        using var oneTime = SecretKey.Generate();
        return NostrEvent.Create(oneTime, Kind, tags, Seal(key, nonce, mlsMessage), createdAt);
    }

    /// <summary>The content under a given nonce, which must never repeat within an epoch: for published vectors.</summary>
    internal static string Seal(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> mlsMessage)
    {
        byte[] content = new byte[MinSealedSize + mlsMessage.Length];
        nonce.CopyTo(content);
        Sodium.ChaCha20Poly1305Encrypt(key, nonce, [], mlsMessage, content.AsSpan(Sodium.NonceSize));
        return Convert.ToBase64String(content);
    }

    private static string? Parse(NostrEvent evt, ref GroupEvent? group)
    {
        if (evt.Kind != Kind)
        {
            return "not a group event";
        }

        Bytes32? groupId = null;
        long? expiration = null;
        foreach (string[] tag in evt.Tags)
        {
            string? value = tag.Length > 1 ? tag[1] : null;
            switch (tag[0])
            {
                case "h" when groupId is not null:
                    return "more than one h tag";
                case "h":
                    if (value is null || !Bytes32.TryParseHex(value, out var id))
                    {
                        return "the h tag is not 64 lower-case hex digits";
                    }

                    groupId = id;
                    break;
                case "encoding" when value != "base64":
                    return "the encoding is not base64";
                case "expiration" when long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long seconds):
                    expiration = seconds;
                    break;
            }
        }

        if (groupId is null)
        {
            return "the h tag is missing";
        }

        byte[] text = System.Text.Encoding.UTF8.GetBytes(evt.Content);
        int length = StrictBase64.DecodedLength(text);
        byte[] content = new byte[Math.Max(0, length)];
        if (length < MinSealedSize || !StrictBase64.TryDecode(text, content, out _))
        {
            return "the content is not base64 of at least 28 bytes";
        }

        group = new GroupEvent(groupId.Value, evt.CreatedAt, expiration, content);
        return null;
    }
}
