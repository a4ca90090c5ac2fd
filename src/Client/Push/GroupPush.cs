using System.Security.Cryptography;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Client.Push;

/// <summary>Push of groups (MIP-05): tells, renews and takes back the token of this device, and rings those of others.</summary>
internal sealed class GroupPush
{
    /// <summary>Tokens in one trigger: what passes through relays that take 64 KiB.</summary>
    private const int MaxLongTokens = 19;

    private const int MaxShortTokens = 70;
    private const int MinDecoys = 3;

    private static readonly TimeSpan RenewTokensAfter = TimeSpan.FromDays(25);

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly InboxLists _inboxes;
    private readonly MessageSender _messages;

    public GroupPush(Account account, GroupSessions sessions, RelayRequests relays, InboxLists inboxes, MessageSender messages)
        => (_account, _sessions, _relays, _inboxes, _messages) = (account, sessions, relays, inboxes, messages);

    /// <summary>Tells the group, encrypted to the server, how to ring this device (MIP-05, kind 447).</summary>
    public async Task<SentMessage> RegisterAsync(string groupId, PushRegistration registration, CancellationToken cancellationToken = default)
    {
        if (!RelayUrls.IsValid(registration.RelayHint) || registration.Dialect == TokenDialect.MarmotPushV1
            || !EncryptedToken.CanEncrypt(registration.Dialect, registration.Platform, registration.DeviceToken.Length))
        {
            throw new ClientException("the relay hint, the dialect or the device token does not fit MIP-05");
        }

        byte[] token = new byte[registration.Dialect.TokenSize];
        if (!EncryptedToken.TryCreate(registration.Dialect, registration.Platform, registration.DeviceToken, registration.Server, token))
        {
            throw new ClientException("the server's key is not on the curve");
        }

        string id = _sessions.Require(groupId).GroupId;
        var batch = new StoreBatch();
        batch.PutJson(PushKey(id), registration with { ToldAt = _account.Now });
        _account.Store.Commit(batch);
        var rumor = TokenGossip.CreateUpdate(_account.PublicKey, [new GossipToken(token, registration.Server, registration.RelayHint)], _account.Now);
        return await _messages.SendAsync(id, rumor.Content, rumor.Kind, rumor.Tags, cancellationToken);
    }

    /// <summary>Takes this device's token back (kind 449).</summary>
    public async Task<SentMessage> UnregisterAsync(string groupId, CancellationToken cancellationToken = default)
    {
        string id = _sessions.Require(groupId).GroupId;
        var batch = new StoreBatch();
        batch.Delete(PushKey(id));
        _account.Store.Commit(batch);
        return await _messages.SendAsync(id, string.Empty, TokenGossip.RemovalKind, [], cancellationToken);
    }

    /// <summary>The tokens of the other members, as the group's gossip has them.</summary>
    public IReadOnlyList<GossipToken> Tokens(string groupId)
    {
        var state = _sessions.Read(groupId, session => session.State());
        return [.. Book(groupId).Tokens.Where(token => token.Leaf != state.OwnLeaf)];
    }

    /// <summary>
    /// Answers updates nobody has answered with what is known (kind 448). Only the member with the lowest leaf does, so that a large group does not answer in
    /// chorus.
    /// </summary>
    public async Task<IReadOnlyList<SentMessage>> AnswerGossipAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var state = _sessions.Read(groupId, session => session.State());
        var book = Book(groupId);
        var sent = new List<SentMessage>();
        foreach (var (update, leaf) in book.Unanswered.Where(one => one.Value != state.OwnLeaf
            && state.OwnLeaf == state.Leaves.Where(member => member.Index != one.Value).Min(member => member.Index)).ToList())
        {
            // One token a leaf: leaf indexes are unique in a list.
            var known = book.Tokens.Where(token => token.Leaf != leaf).DistinctBy(token => token.Leaf).ToList();
            if (known.Count > 0)
            {
                var rumor = TokenGossip.CreateList(_account.PublicKey, update, known, _account.Now);
                sent.Add(await _messages.SendAsync(groupId, rumor.Content, rumor.Kind, rumor.Tags, cancellationToken));
            }
        }

        return sent;
    }

    /// <summary>Rings the other members' devices: one trigger a server and dialect, with decoys of other groups, after a random pause (MIP-05).</summary>
    public async Task<IReadOnlyList<PublishedEvent>> NotifyAsync(string groupId, TimeSpan? maxPause = null, CancellationToken cancellationToken = default)
    {
        var state = _sessions.Read(groupId, session => session.State());
        var tokens = Book(groupId).Tokens.ToList();
        var published = new List<PublishedEvent>();
        foreach (var target in tokens.Where(token => token.Leaf != state.OwnLeaf).GroupBy(token => (token.Server, token.Dialect)))
        {
            var list = target.Select(token => token.Token).ToList();
            list.AddRange(Decoys(state.GroupId, target.Key.Server, target.Key.Dialect, tokens.Where(token => token.Leaf == state.OwnLeaf), list.Count));
            byte[][] mixed = [.. list];
            RandomNumberGenerator.Shuffle<byte[]>(mixed);
            var pause = (maxPause ?? TimeSpan.FromSeconds(2)) * Random.Shared.NextDouble();
            if (pause > TimeSpan.Zero)
            {
                await Task.Delay(pause, _account.Time, cancellationToken);
            }

            foreach (var part in mixed.Chunk(target.Key.Dialect == TokenDialect.Mip05Short ? MaxShortTokens : MaxLongTokens))
            {
                published.Add(await TriggerAsync(target.Key.Server, target.Key.Dialect, part, target.First().RelayHint, cancellationToken));
            }
        }

        return published;
    }

    /// <summary>Sends encrypted tokens to a server as one trigger under throw-away keys. marmot-push-v1 triggers are padded with random blocks up to a power of
    /// two, to hide their number.</summary>
    public async Task<PublishedEvent> TriggerAsync(Bytes32 server, TokenDialect dialect, IReadOnlyList<byte[]> tokens, string relayHint,
        CancellationToken cancellationToken = default)
    {
        var blocks = new List<byte[]>(tokens);
        if (dialect == TokenDialect.MarmotPushV1)
        {
            int wanted = Math.Min((int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, blocks.Count)), MaxLongTokens);
            while (blocks.Count < wanted)
            {
                blocks.Add(RandomNumberGenerator.GetBytes(dialect.TokenSize)); // never anybody's token: the opposite of MIP-05
            }

            byte[][] mixed = [.. blocks];
            RandomNumberGenerator.Shuffle<byte[]>(mixed);
            blocks = [.. mixed];
        }

        using var author = SecretKey.Generate();
        Rumor rumor;
        try
        {
            rumor = Trigger.CreateRumor(author.PublicKey, dialect, blocks.SelectMany(block => block).ToArray(), _account.Now);
        }
        catch (ArgumentException exception)
        {
            throw new ClientException(exception.Message, exception);
        }

        var wrap = GiftWrap.Create(rumor, author, server, _account.Time);
        var inbox = await _inboxes.FindAsync(server, RelayUrls.Distinct([relayHint]), cancellationToken);
        return await _relays.PublishAsync(wrap, inbox.Count > 0 ? inbox : RelayUrls.Distinct([relayHint]), cancellationToken);
    }

    private static string PushKey(string groupId) => $"p/{groupId}";

    private TokenBook Book(string groupId) =>
        _sessions.Read(groupId, session => TokenBook.Read(session.History.Gossip(), session.State().Leaves, _account.Now));

    // MIP-05: decoys are real tokens. The own one every other time, and of other groups a tenth to a fifth, three at least.
    private List<byte[]> Decoys(string groupId, Bytes32 server, TokenDialect dialect, IEnumerable<GossipToken> own, int count)
    {
        var decoys = new List<byte[]>();
        if (RandomNumberGenerator.GetInt32(2) == 0)
        {
            decoys.AddRange(own.Where(token => token.Server == server && token.Dialect == dialect).Select(token => token.Token));
        }

        var elsewhere = _sessions.All.Where(session => session.IsActive && session.GroupId != groupId)
            .SelectMany(session => Tokens(session.GroupId))
            .Where(token => token.Server == server && token.Dialect == dialect)
            .Select(token => token.Token)
            .ToArray();
        RandomNumberGenerator.Shuffle<byte[]>(elsewhere);
        int wanted = Math.Max(MinDecoys, (int)Math.Ceiling(count * (0.1 + (0.1 * Random.Shared.NextDouble()))));
        decoys.AddRange(elsewhere.Take(wanted));
        return decoys;
    }

    public async Task<IReadOnlyList<PublishedEvent>> RenewAsync(CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        foreach (var session in _sessions.All.Where(one => one.IsActive).ToList())
        {
            if (_account.Store.GetJson<PushRegistration>(PushKey(session.GroupId)) is { } registration
                && registration.ToldAt < _account.Now - (long)RenewTokensAfter.TotalSeconds)
            {
                published.Add((await RegisterAsync(session.GroupId, registration, cancellationToken)).Published);
            }

            published.AddRange((await AnswerGossipAsync(session.GroupId, cancellationToken)).Select(sent => sent.Published));
        }

        return published;
    }
}
