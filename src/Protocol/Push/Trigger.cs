using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Push;

/// <summary>A notification request: the kind 446 rumor with its encrypted tokens, all of one dialect (MIP-05, marmot-push-v1).</summary>
/// <remarks>
/// The <c>v</c> tag decides the dialect: <c>marmot-push-v1</c> alone, or <c>mip05-v1</c> with an optional <c>encoding</c>, or none (January 2026 text).
/// Within <c>mip05-v1</c> the length decides between 280 and 1,084 bytes a token. The smallest length that fits both is 75,880 bytes, 271 short
/// tokens, beyond what a short trigger may carry. A malformed request is refused whole; single bad tokens are the business of <see cref="EncryptedToken"/>.
/// </remarks>
public readonly ref struct Trigger
{
    /// <summary>Kind of the rumor.</summary>
    public const int Kind = EventKinds.PushTrigger;

    /// <summary>Bytes of buffer that holds any trigger: 100 tokens of 1,084 bytes.</summary>
    public const int MaxContentSize = 100 * TokenDialects.MaxTokenSize;

    private Trigger(TokenDialect dialect, ReadOnlySpan<byte> content, long createdAt)
    {
        Dialect = dialect;
        Content = content;
        CreatedAt = createdAt;
    }

    /// <summary>The dialect of every token in it.</summary>
    public TokenDialect Dialect { get; }

    /// <summary>The true time of the request, Unix seconds; seal and wrap are back-dated.</summary>
    public long CreatedAt { get; }

    /// <summary>The tokens one after the other. Its SHA-256 tells repeated requests apart, whoever wrapped them.</summary>
    public ReadOnlySpan<byte> Content { get; }

    /// <summary>Number of tokens, at least one.</summary>
    public int Count => Content.Length / Dialect.TokenSize;

    /// <summary>One encrypted token; padding and foreign tokens look the same until decrypted.</summary>
    public ReadOnlySpan<byte> this[int index] => Content.Slice(index * Dialect.TokenSize, Dialect.TokenSize);

    /// <summary>Reads a trigger into <paramref name="buffer"/>, without allocation when the rumor has canonical bytes.</summary>
    /// <param name="rumor">The rumor out of a gift wrap.</param>
    /// <param name="buffer">At least <see cref="MaxContentSize"/> bytes, owned by the caller.</param>
    /// <param name="trigger">The request; lies in <paramref name="buffer"/>.</param>
    /// <param name="reason">Why the whole request is refused.</param>
    public static bool TryRead(scoped in NostrEventView rumor, Span<byte> buffer, out Trigger trigger, out RejectReason reason)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(buffer.Length, MaxContentSize, nameof(buffer));
        trigger = default;
        if (rumor.Kind != Kind)
        {
            reason = RejectReason.Invalid("not a notification request");
            return false;
        }

        if (!rumor.HasCanonicalBytes)
        {
            return TryReadSlow(rumor.ToNormalizedJson(), buffer, out trigger, out reason);
        }

        string? fault = Read(rumor, buffer, out trigger);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>Reads a trigger from a rumor that was copied out of its wrap.</summary>
    public static bool TryRead(Rumor rumor, Span<byte> buffer, out Trigger trigger, out RejectReason reason) =>
        TryReadSlow(rumor.ToJson(), buffer, out trigger, out reason);

    /// <summary>Makes the rumor of a request. Its author should be a throw-away key, which also signs the seal.</summary>
    /// <param name="author">The throw-away key's public half.</param>
    /// <param name="dialect">The dialect of the tokens.</param>
    /// <param name="tokens">The encrypted tokens one after the other, 1 to the dialect's most.</param>
    /// <param name="createdAt">The true time, Unix seconds.</param>
    /// <exception cref="ArgumentException">The tokens are none, too many, or not whole.</exception>
    public static Rumor CreateRumor(in Bytes32 author, TokenDialect dialect, ReadOnlySpan<byte> tokens, long createdAt)
    {
        if (!Fits(dialect, tokens.Length))
        {
            throw new ArgumentException("the tokens do not make a request of this dialect", nameof(tokens));
        }

        string[][] tags = dialect switch
        {
            TokenDialect.Mip05Short => [],
            TokenDialect.Mip05Long => [["v", TokenDialects.Mip05Version], ["encoding", "base64"]],
            _ => [["v", TokenDialects.MarmotPushVersion]],
        };
        return Rumor.Create(author, Kind, tags, Convert.ToBase64String(tokens), createdAt);
    }

    // Escapes in the tags or the content, or a rumor held as strings: written canonically first, then read once more.
    private static bool TryReadSlow(byte[] json, Span<byte> buffer, out Trigger trigger, out RejectReason reason)
    {
        trigger = default;
        bool read = NostrEventReader.TryReadUnsigned(json, out var view, out _, out reason)
            && TryRead(view, buffer, out trigger, out reason);
        CryptographicOperations.ZeroMemory(json);
        return read;
    }

    private static string? Read(scoped in NostrEventView rumor, Span<byte> buffer, out Trigger trigger)
    {
        trigger = default;
        if (!TryReadVersion(rumor, out var version))
        {
            return "the version or encoding tag is wrong";
        }

        // The length is read off the text, so that a wrong request costs no decoding.
        int length = StrictBase64.DecodedLength(rumor.RawContent);
        TokenDialect? dialect = version switch
        {
            Version.MarmotPush when Fits(TokenDialect.MarmotPushV1, length) => TokenDialect.MarmotPushV1,
            Version.Mip05 when Fits(TokenDialect.Mip05Long, length) => TokenDialect.Mip05Long,
            Version.Mip05 or Version.None when Fits(TokenDialect.Mip05Short, length) => TokenDialect.Mip05Short,
            _ => null,
        };
        if (dialect is null)
        {
            return "the content is not 1 to the most whole tokens";
        }

        if (!StrictBase64.TryDecode(rumor.RawContent, buffer, out int written))
        {
            return "the content is not base64";
        }

        trigger = new Trigger(dialect.Value, buffer[..written], rumor.CreatedAt);
        return null;
    }

    private static bool TryReadVersion(in NostrEventView rumor, out Version version)
    {
        version = Version.None;
        int tags = 0;
        int encodings = 0;
        foreach (var tag in rumor.Tags)
        {
            tags++;
            bool isPair = tag.Count == 2;
            if (tag.Name.SequenceEqual("v"u8))
            {
                var named = tag.Value.SequenceEqual("marmot-push-v1"u8) ? Version.MarmotPush
                    : tag.Value.SequenceEqual("mip05-v1"u8) ? Version.Mip05
                    : Version.None;
                if (!isPair || named == Version.None || version != Version.None)
                {
                    return false; // extra values, an unknown version, or a second v tag
                }

                version = named;
            }
            else if (tag.Name.SequenceEqual("encoding"u8)
                && (!isPair || ++encodings > 1 || !tag.Value.SequenceEqual("base64"u8)))
            {
                return false;
            }
        }

        // marmot-push-v1: exactly one tag. MIP-05 says nothing about others: they are ignored.
        return version != Version.MarmotPush || tags == 1;
    }

    private static bool Fits(TokenDialect dialect, int length) =>
        length > 0 && length % dialect.TokenSize == 0 && length / dialect.TokenSize <= dialect.MaxTokens;

    private enum Version
    {
        None,
        Mip05,
        MarmotPush,
    }
}
