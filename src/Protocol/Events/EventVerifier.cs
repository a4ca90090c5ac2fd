using Marmot.Protocol.Encoding;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Events;

/// <summary>Checks that an event's id is the hash of its content and that its author signed that id (NIP-01, BIP-340).</summary>
/// <remarks>Allocates nothing; thread-safe. The hash costs about 1 us, the signature about 35: check cheap rules and duplicates first.</remarks>
public static class EventVerifier
{
    /// <summary>Id first, then signature.</summary>
    public static bool TryVerify(in NostrEventView view, out RejectReason reason)
    {
        if (!IsIdCorrect(view))
        {
            reason = RejectReason.Invalid("id is not the hash of the event");
            return false;
        }

        if (!IsSignatureCorrect(view))
        {
            reason = RejectReason.Invalid("the signature does not verify");
            return false;
        }

        reason = default;
        return true;
    }

    /// <summary>True when the id is the SHA-256 of the canonical form.</summary>
    public static bool IsIdCorrect(in NostrEventView view)
    {
        Span<byte> hash = stackalloc byte[Bytes32.Size];
        EventCanonicalForm.ComputeId(view, hash);
        return hash.SequenceEqual(view.Id.Span);
    }

    /// <summary>True when the signature over the claimed id is the author's; says nothing about the content by itself.</summary>
    public static bool IsSignatureCorrect(in NostrEventView view)
    {
        Span<byte> signature = stackalloc byte[NostrEventView.SignatureHexSize / 2];
        return Hex.TryDecodeLower(view.SignatureHex, signature)
            && Secp256k1.VerifySchnorr(signature, view.Id.Span, view.PublicKey.Span);
    }
}
