using Marmot.Client.Groups;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Push;

/// <summary>What the gossip of a group says at one moment: the tokens of each leaf, and the updates nobody has answered.</summary>
/// <remarks>Made anew from the stored messages each time, so it needs no state of its own and a rollback cannot spoil it.</remarks>
internal sealed class TokenBook
{
    /// <summary>Tokens older than this are forgotten; members renew theirs every 25 to 35 days.</summary>
    internal static readonly TimeSpan MaxAge = TimeSpan.FromDays(35);

    private readonly Dictionary<(int Leaf, Bytes32 Server), (GossipToken Token, long At)> _tokens = [];
    private readonly Dictionary<Bytes32, int> _unanswered = [];

    private TokenBook()
    {
    }

    /// <summary>Updates without a list in answer, by the leaf that made them.</summary>
    public IReadOnlyDictionary<Bytes32, int> Unanswered => _unanswered;

    /// <summary>Tokens with the leaf they belong to.</summary>
    public IEnumerable<GossipToken> Tokens => _tokens.Select(pair => pair.Value.Token with { Leaf = pair.Key.Leaf });

    public static TokenBook Read(IEnumerable<GroupMessage> messages, IReadOnlyList<GroupLeaf> leaves, long now)
    {
        var book = new TokenBook();
        var members = leaves.ToDictionary(leaf => leaf.Index, leaf => leaf.PublicKey);
        long oldest = now - (long)MaxAge.TotalSeconds;
        foreach (var message in messages)
        {
            var rumor = message.Rumor;
            if (rumor.Kind is < TokenGossip.UpdateKind or > TokenGossip.RemovalKind || rumor.CreatedAt < oldest)
            {
                continue;
            }

            // A leaf that changed hands does not inherit tokens.
            bool isCurrent = members.TryGetValue(message.SenderLeaf, out var member) && member == rumor.PublicKey;
            if (TokenGossip.IsRemoval(rumor))
            {
                book.Forget(message.SenderLeaf);
            }
            else if (!TokenGossip.TryRead(rumor, out var tokens, out var answered))
            {
                continue;
            }
            else if (answered is { } update)
            {
                book._unanswered.Remove(update);
                foreach (var token in tokens.Where(token => members.ContainsKey(token.Leaf!.Value)))
                {
                    // Hearsay never overrules what the leaf itself said.
                    book._tokens.TryAdd((token.Leaf!.Value, token.Server), (token, rumor.CreatedAt));
                }
            }
            else if (isCurrent)
            {
                book.Forget(message.SenderLeaf);
                foreach (var token in tokens)
                {
                    book._tokens[(message.SenderLeaf, token.Server)] = (token, rumor.CreatedAt);
                }

                book._unanswered[rumor.Id] = message.SenderLeaf;
            }
        }

        return book;
    }

    private void Forget(int leaf)
    {
        foreach (var key in _tokens.Keys.Where(key => key.Leaf == leaf).ToList())
        {
            _tokens.Remove(key);
        }
    }
}
