using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;

namespace Marmot.Client.Push;

/// <summary>An encrypted device token as members tell each other (MIP-05).</summary>
/// <param name="Token">280 or 1,084 bytes; only the server can open it.</param>
/// <param name="Server">The notification server's key.</param>
/// <param name="RelayHint">Where the server listens.</param>
/// <param name="Leaf">Whose it is; only in a list, kind 448.</param>
public sealed record GossipToken(byte[] Token, Bytes32 Server, string RelayHint, int? Leaf = null)
{
    /// <summary>The dialect, by the length.</summary>
    public TokenDialect Dialect => Token.Length == TokenDialect.Mip05Short.TokenSize ? TokenDialect.Mip05Short : TokenDialect.Mip05Long;
}

/// <summary>Kinds 447, 448 and 449 inside a group: tokens in <c>token</c> tags, the content empty (MIP-05). Thread-safe.</summary>
public static class TokenGossip
{
    /// <summary>A member's own tokens; they replace what he told before.</summary>
    public const int UpdateKind = EventKinds.PushTokenUpdate;

    /// <summary>What a member knows of others, in answer to a 447.</summary>
    public const int ListKind = EventKinds.PushTokenList;

    /// <summary>A member takes his tokens back.</summary>
    public const int RemovalKind = EventKinds.PushTokenRemoval;

    private const string TokenTag = "token";

    /// <summary>The inner event of own tokens.</summary>
    public static Rumor CreateUpdate(in Bytes32 account, IEnumerable<GossipToken> tokens, long createdAt) =>
        Rumor.Create(account, UpdateKind, [.. tokens.Select(token => Tag(token, null))], string.Empty, createdAt);

    /// <summary>The inner event of a list; each token names its leaf.</summary>
    public static Rumor CreateList(in Bytes32 account, in Bytes32 answered, IEnumerable<GossipToken> tokens, long createdAt) =>
        Rumor.Create(account, ListKind,
            [
                ["e", answered.ToString()],
                .. tokens.Select(token => Tag(token, token.Leaf ?? throw new ArgumentException("a listed token names its leaf", nameof(tokens))))
            ], string.Empty, createdAt);

    /// <summary>The inner event of a removal.</summary>
    public static Rumor CreateRemoval(in Bytes32 account, long createdAt) => Rumor.Create(account, RemovalKind, [], string.Empty, createdAt);

    /// <summary>Reads a 447 or 448; anything but what the kind allows makes the whole of it void.</summary>
    /// <param name="rumor">The inner event.</param>
    /// <param name="tokens">The tokens.</param>
    /// <param name="answered">For a list: the 447 it answers.</param>
    public static bool TryRead(Rumor rumor, [NotNullWhen(true)] out IReadOnlyList<GossipToken>? tokens, out Bytes32? answered)
    {
        (tokens, answered) = (null, null);
        var found = new List<GossipToken>();
        bool isList = rumor.Kind == ListKind;
        if (!(isList || rumor.Kind == UpdateKind) || rumor.Content.Length > 0)
        {
            return false;
        }

        foreach (var tag in rumor.Tags)
        {
            if (isList && tag is ["e", var id] && answered is null && Bytes32.TryParseHex(id.AsSpan(), out var eventId))
            {
                answered = eventId;
            }
            else if (TryRead(tag, isList) is { } token)
            {
                found.Add(token);
            }
            else
            {
                return false;
            }
        }

        if (found.Count == 0 || (isList && (answered is null || found.DistinctBy(token => token.Leaf).Count() != found.Count)))
        {
            return false;
        }

        tokens = found;
        return true;
    }

    /// <summary>True for a well-formed 449.</summary>
    public static bool IsRemoval(Rumor rumor) => rumor.Kind == RemovalKind && rumor.Tags.Count == 0 && rumor.Content.Length == 0;

    private static GossipToken? TryRead(string[] tag, bool isList)
    {
        if (tag.Length != (isList ? 5 : 4) || tag[0] != TokenTag || !Bytes32.TryParseHex(tag[2].AsSpan(), out var server) || !RelayUrls.IsValid(tag[3]))
        {
            return null;
        }

        int leaf = 0;
        if (isList && !int.TryParse(tag[4], NumberStyles.None, CultureInfo.InvariantCulture, out leaf))
        {
            return null;
        }

        byte[] bytes = new byte[TokenDialects.MaxTokenSize + 3];
        return Convert.TryFromBase64String(tag[1], bytes, out int length)
            && (length == TokenDialect.Mip05Short.TokenSize || length == TokenDialect.Mip05Long.TokenSize)
            ? new GossipToken(bytes[..length], server, tag[3], isList ? leaf : null)
            : null;
    }

    private static string[] Tag(GossipToken token, int? leaf)
    {
        string[] tag = [TokenTag, Convert.ToBase64String(token.Token), token.Server.ToString(), token.RelayHint];
        return leaf is { } index ? [.. tag, index.ToString(CultureInfo.InvariantCulture)] : tag;
    }
}
