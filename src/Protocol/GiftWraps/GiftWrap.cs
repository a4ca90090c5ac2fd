using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.GiftWraps;

/// <summary>NIP-59: a rumor in a seal (kind 13, signed by the sender) in a gift wrap (kind 1059, signed by a one-time key).</summary>
/// <remarks>Thread-safe. For many wraps in a row, and without the string copies of a <see cref="Rumor"/>, use <see cref="GiftWrapOpener"/>.</remarks>
public static class GiftWrap
{
    /// <summary>Kind of a gift wrap.</summary>
    public const int Kind = EventKinds.GiftWrap;

    /// <summary>Kind of a gift wrap that relays pass on without storing it.</summary>
    public const int EphemeralKind = EventKinds.EphemeralGiftWrap;

    /// <summary>Kind of a seal.</summary>
    public const int SealKind = EventKinds.Seal;

    /// <summary>How far back seal and wrap may be dated, in seconds: two days. Subscribers must look back this far.</summary>
    public const int MaxBackdateSeconds = 2 * 24 * 60 * 60;

    /// <summary>Opens a wrap, checking every layer.</summary>
    /// <param name="wrap">The wrap as received.</param>
    /// <param name="recipient">The key the wrap is for.</param>
    /// <param name="rumor">The unsigned event; its author signed the seal.</param>
    /// <param name="reason">Which rule the wrap broke.</param>
    /// <param name="rules">Deviations from the usual checks.</param>
    public static bool TryOpen(
        NostrEvent wrap,
        SecretKey recipient,
        [NotNullWhen(true)] out Rumor? rumor,
        out RejectReason reason,
        GiftWrapRules rules = GiftWrapRules.None)
    {
        rumor = null;
        using var opener = new GiftWrapOpener();
        return NostrEventReader.TryRead(wrap.Json.Span, out var view, out reason)
            && opener.TryOpen(view, recipient, rules, out var inner, out reason)
            && Rumor.TryParse(inner.Json, out rumor, out reason);
    }

    /// <summary>Seals a rumor as its author and wraps the seal under a one-time key.</summary>
    /// <param name="rumor">The unsigned event; it alone carries the true time.</param>
    /// <param name="author">The rumor's author.</param>
    /// <param name="recipient">The reader.</param>
    /// <param name="clock">Seal and wrap are dated independently and evenly over the two days before now, never after.</param>
    /// <param name="ephemeral">Makes a kind 21059 wrap.</param>
    /// <exception cref="ArgumentException">The rumor is by another key, or the recipient's key is not on the curve.</exception>
    public static NostrEvent Create(Rumor rumor, SecretKey author, in Bytes32 recipient, TimeProvider clock, bool ephemeral = false)
    {
        if (rumor.PublicKey != author.PublicKey)
        {
            throw new ArgumentException("only the rumor's author can seal it", nameof(author));
        }

        byte[] rumorJson = rumor.ToJson();
        var seal = NostrEvent.Create(author, SealKind, [], Encrypt(author, recipient, rumorJson), Backdate(clock));
        CryptographicOperations.ZeroMemory(rumorJson);
        using var oneTime = SecretKey.Generate();
        return NostrEvent.Create(
            oneTime,
            ephemeral ? EphemeralKind : Kind,
            [["p", recipient.ToString()]],
            Encrypt(oneTime, recipient, seal.Json.Span),
            Backdate(clock));
    }

    private static string Encrypt(SecretKey from, in Bytes32 to, ReadOnlySpan<byte> plaintext)
    {
        Span<byte> key = stackalloc byte[Nip44.ConversationKeySize];
        if (!Nip44.TryDeriveConversationKey(from, to, key))
        {
            throw new ArgumentException("the recipient's key is not on the curve", nameof(to));
        }

        byte[] payload = new byte[Nip44.GetPayloadLength(plaintext.Length)];
        Nip44.Encrypt(key, plaintext, payload);
        CryptographicOperations.ZeroMemory(key);
        return System.Text.Encoding.ASCII.GetString(payload);
    }

    private static long Backdate(TimeProvider clock) =>
        Math.Max(0, clock.GetUtcNow().ToUnixTimeSeconds() - RandomNumberGenerator.GetInt32(MaxBackdateSeconds + 1));
}
