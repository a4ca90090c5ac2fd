using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.GiftWraps;

/// <summary>Opens gift wraps one after the other inside its own two buffers, which are wiped between them (NIP-59).</summary>
/// <remarks>
/// Allocates only when a wrap is larger than any before it. Costs two signature checks and two ECDH operations; everything cheap comes first.
/// One opener for each worker: not thread-safe, and the rumor it hands out lives until the next call, <see cref="Wipe"/> or dispose.
/// </remarks>
/// <param name="maxContentLength">Longest wrap content in characters; longer ones are refused before they are decoded.</param>
public sealed class GiftWrapOpener(int maxContentLength = Nip44.DefaultMaxPayloadLength) : IDisposable
{
    private readonly int _maxContentLength = maxContentLength;
    private Layer _seal = new();
    private Layer _rumor = new();

    /// <summary>Opens a wrap down to its rumor, checking every layer.</summary>
    /// <param name="wrap">The wrap as received.</param>
    /// <param name="recipient">The key the wrap is for.</param>
    /// <param name="rules">Deviations from the usual checks.</param>
    /// <param name="rumor">The unsigned event, its id computed, its author proven by the seal; lies in this opener's buffer.</param>
    /// <param name="reason">Which rule the wrap broke; names no content.</param>
    /// <returns>False for anything that is not a genuine wrap to this key; the buffers are wiped then.</returns>
    public bool TryOpen(scoped in NostrEventView wrap, SecretKey recipient, GiftWrapRules rules, out NostrEventView rumor, out RejectReason reason)
    {
        Wipe();
        string? fault = Open(wrap, recipient, rules, out rumor);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        if (fault is not null)
        {
            rumor = default;
            Wipe();
        }

        return fault is null;
    }

    /// <summary>Overwrites what was decrypted; a rumor handed out before is void.</summary>
    public void Wipe()
    {
        _seal.Wipe();
        _rumor.Wipe();
    }

    /// <summary>Wipes.</summary>
    public void Dispose() => Wipe();

    private string? Open(scoped in NostrEventView wrap, SecretKey recipient, GiftWrapRules rules, out NostrEventView rumor)
    {
        rumor = default;

        // 1. The wrap's shape, before any curve operation.
        if (wrap.Kind != GiftWrap.Kind && (wrap.Kind != GiftWrap.EphemeralKind || (rules & GiftWrapRules.AcceptEphemeral) == 0))
        {
            return "not a gift wrap";
        }

        if (!IsAddressedTo(wrap, recipient.PublicKey, (rules & GiftWrapRules.SingleRecipient) != 0))
        {
            return "the gift wrap is not for this key";
        }

        // 2. The wrap's id and signature: without them anybody could re-date or re-address it.
        if ((rules & GiftWrapRules.WrapIsVerified) == 0 && !EventVerifier.TryVerify(wrap, out _))
        {
            return "the gift wrap's id or signature is wrong";
        }

        // 3. One-time key to recipient.
        if (!_seal.TryDecrypt(wrap, recipient, _maxContentLength, out var sealJson))
        {
            return "the gift wrap cannot be decrypted";
        }

        // 4. The seal: kind 13, no tags (they would tie the sender to something), signed by the real sender.
        if (!NostrEventReader.TryRead(sealJson, out var seal, out _) || seal.Kind != GiftWrap.SealKind)
        {
            return "the gift wrap holds no seal";
        }

        if (seal.Tags.MoveNext())
        {
            return "the seal has tags";
        }

        if (!EventVerifier.TryVerify(seal, out _))
        {
            return "the seal's id or signature is wrong";
        }

        // 5. Sender to recipient.
        if (!_rumor.TryDecrypt(seal, recipient, _maxContentLength, out var rumorJson))
        {
            return "the seal cannot be decrypted";
        }

        // 6. The rumor: unsigned, by the seal's author (else anybody could speak for anybody), its id recomputed.
        if (!NostrEventReader.TryReadUnsigned(rumorJson, out var inner, out bool hasId, out _))
        {
            return "the seal holds no unsigned event";
        }

        if (inner.PublicKey != seal.PublicKey)
        {
            return "the rumor's author did not sign the seal";
        }

        Span<byte> id = stackalloc byte[Bytes32.Size];
        EventCanonicalForm.ComputeId(inner, id);
        if (hasId && !id.SequenceEqual(inner.Id.Span))
        {
            return "the rumor's id is not its hash";
        }

        rumor = inner with { Id = new Bytes32(id) };
        return null;
    }

    private static bool IsAddressedTo(scoped in NostrEventView wrap, in Bytes32 recipient, bool single)
    {
        bool found = false;
        int tags = 0;
        foreach (var tag in wrap.Tags)
        {
            tags++;
            if (single && (tags > 1 || tag.Count != 2))
            {
                return false;
            }

            found |= tag.HasValue && tag.Name.SequenceEqual("p"u8) && Bytes32.TryParseHex(tag.Value, out var key) && key == recipient;
        }

        return found;
    }

    /// <summary>One buffer and how much of it holds plaintext. Pinned, so that the collector leaves no copies behind.</summary>
    private struct Layer()
    {
        private const int InitialSize = 16 * 1024;

        private byte[] _buffer = GC.AllocateUninitializedArray<byte>(InitialSize, pinned: true);
        private int _used;

        public bool TryDecrypt(scoped in NostrEventView evt, SecretKey recipient, int maxLength, out ReadOnlySpan<byte> plaintext)
        {
            plaintext = default;
            var content = evt.RawContent;

            // Escapes only ever lengthen: six bytes for one.
            if (content.Length > (content.Contains((byte)'\\') ? 6L : 1L) * maxLength)
            {
                return false;
            }

            // Base64 needs no escapes, but JSON allows "\/"; such content is unescaped behind the decoded bytes.
            bool escaped = content.Contains((byte)'\\');
            int decodedSize = Nip44.GetDecryptBufferSize(content.Length);
            Reserve(decodedSize + (escaped ? content.Length : 0));
            if (escaped)
            {
                var plain = _buffer.AsSpan(decodedSize, content.Length);
                content = plain[..JsonText.Unescape(content, plain)];
            }

            Span<byte> key = stackalloc byte[Nip44.ConversationKeySize];
            bool decrypted = Nip44.TryDeriveConversationKey(recipient, evt.PublicKey, key)
                && Nip44.TryDecrypt(key, content, _buffer.AsSpan(0, decodedSize), out plaintext, maxLength);
            CryptographicOperations.ZeroMemory(key);
            return decrypted;
        }

        public void Wipe()
        {
            CryptographicOperations.ZeroMemory(_buffer.AsSpan(0, _used));
            _used = 0;
        }

        private void Reserve(int size)
        {
            if (_buffer.Length < size)
            {
                Wipe();
                _buffer = GC.AllocateUninitializedArray<byte>(
                    (int)Math.Min(Array.MaxLength, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)size)), pinned: true);
            }

            _used = size;
        }
    }
}
