using System.Security.Cryptography;
using Marmot.Client.Push;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Client;

/// <summary>A device that wants to be rung for a group.</summary>
/// <param name="Platform">The push service.</param>
/// <param name="DeviceToken">APNs: raw bytes. FCM: the token's text as bytes.</param>
/// <param name="Server">The notification server's key.</param>
/// <param name="RelayHint">A relay the server listens on.</param>
/// <param name="Dialect">MIP-05 with 280 or 1,084 bytes a token.</param>
public sealed record PushRegistration(DevicePlatform Platform, byte[] DeviceToken, Bytes32 Server, string RelayHint, TokenDialect Dialect = TokenDialect.Mip05Long)
{
    /// <summary>When the group was last told, Unix seconds.</summary>
    public long ToldAt { get; init; }
}

public sealed partial class MarmotClient
{
    /// <summary>Tokens in one trigger: what passes through relays that take 64 KiB.</summary>
    private const int MaxLongTokens = 19;

    private const int MaxShortTokens = 70;
    private const int MinDecoys = 3;

    private static readonly TimeSpan RenewTokensAfter = TimeSpan.FromDays(25);

    /// <summary>Tells the group, encrypted to the server, how to ring this device (MIP-05, kind 447).</summary>
    public async Task<SentMessage> RegisterPushAsync(string groupId, PushRegistration registration, CancellationToken cancellationToken = default)
    {
        if (!RelayUrls.IsValid(registration.RelayHint) || registration.Dialect == TokenDialect.MarmotPushV1 || !EncryptedToken.CanEncrypt(registration.Dialect, registration.Platform, registration.DeviceToken.Length))
        {
            throw new ClientException("the relay hint, the dialect or the device token does not fit MIP-05");
        }

        byte[] token = new byte[registration.Dialect.TokenSize];
        if (!EncryptedToken.TryCreate(registration.Dialect, registration.Platform, registration.DeviceToken, registration.Server, token))
        {
            throw new ClientException("the server's key is not on the curve");
        }

        string id = Session(groupId).GroupId;
        var batch = new StoreBatch();
        batch.PutJson(PushKey(id), registration with { ToldAt = Now });
        _store.Commit(batch);
        var rumor = TokenGossip.CreateUpdate(PublicKey, [new GossipToken(token, registration.Server, registration.RelayHint)], Now);
        return await SendAsync(id, rumor.Content, rumor.Kind, rumor.Tags, cancellationToken);
    }

    /// <summary>Takes this device's token back (kind 449).</summary>
    public async Task<SentMessage> UnregisterPushAsync(string groupId, CancellationToken cancellationToken = default)
    {
        string id = Session(groupId).GroupId;
        var batch = new StoreBatch();
        batch.Delete(PushKey(id));
        _store.Commit(batch);
        return await SendAsync(id, string.Empty, TokenGossip.RemovalKind, [], cancellationToken);
    }

    /// <summary>The tokens of the other members, as the group's gossip has them.</summary>
    public IReadOnlyList<GossipToken> GetPushTokens(string groupId)
    {
        var state = GetState(groupId);
        return [.. Book(groupId).Tokens.Where(token => token.Leaf != state.OwnLeaf)];
    }

    /// <summary>
    /// Answers updates nobody has answered with what is known (kind 448). Only the member with the lowest leaf does, so that a large group does not answer in chorus.
    /// </summary>
    public async Task<IReadOnlyList<SentMessage>> AnswerPushGossipAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var state = GetState(groupId);
        var book = Book(groupId);
        var sent = new List<SentMessage>();
        foreach (var (update, leaf) in book.Unanswered.Where(one => one.Value != state.OwnLeaf && state.OwnLeaf == state.Leaves.Where(member => member.Index != one.Value).Min(member => member.Index)).ToList())
        {
            // One token a leaf: leaf indexes are unique in a list.
            var known = book.Tokens.Where(token => token.Leaf != leaf).DistinctBy(token => token.Leaf).ToList();
            if (known.Count > 0)
            {
                var rumor = TokenGossip.CreateList(PublicKey, update, known, Now);
                sent.Add(await SendAsync(groupId, rumor.Content, rumor.Kind, rumor.Tags, cancellationToken));
            }
        }

        return sent;
    }

    /// <summary>Rings the other members' devices: one trigger a server and dialect, with decoys of other groups, after a random pause (MIP-05).</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="maxPause">Longest pause; null for two seconds.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<IReadOnlyList<PublishedEvent>> NotifyAsync(string groupId, TimeSpan? maxPause = null, CancellationToken cancellationToken = default)
    {
        var state = GetState(groupId);
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
                await Task.Delay(pause, _time, cancellationToken);
            }

            foreach (var part in mixed.Chunk(target.Key.Dialect == TokenDialect.Mip05Short ? MaxShortTokens : MaxLongTokens))
            {
                published.Add(await TriggerAsync(target.Key.Server, target.Key.Dialect, part, target.First().RelayHint, cancellationToken));
            }
        }

        return published;
    }

    /// <summary>Sends encrypted tokens to a server as one trigger under throw-away keys. marmot-push-v1 triggers are padded with random blocks up to a power of two, to hide their number.</summary>
    /// <param name="server">The server's key.</param>
    /// <param name="dialect">The dialect all tokens are in.</param>
    /// <param name="tokens">The encrypted tokens; none is allowed for marmot-push-v1, where padding alone asks whether the server listens.</param>
    /// <param name="relayHint">Where to send it when the server has published no list of inbox relays.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<PublishedEvent> TriggerAsync(Bytes32 server, TokenDialect dialect, IReadOnlyList<byte[]> tokens, string relayHint, CancellationToken cancellationToken = default)
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
            rumor = Trigger.CreateRumor(author.PublicKey, dialect, blocks.SelectMany(block => block).ToArray(), Now);
        }
        catch (ArgumentException exception)
        {
            throw new ClientException(exception.Message, exception);
        }

        var wrap = GiftWrap.Create(rumor, author, server, _time);
        var inbox = await InboxOfAsync(server, RelayUrls.Distinct([relayHint]), cancellationToken);
        return await PublishAsync(wrap, inbox.Count > 0 ? inbox : RelayUrls.Distinct([relayHint]), cancellationToken);
    }

    private static string PushKey(string groupId) => $"p/{groupId}";

    private TokenBook Book(string groupId) => Read(groupId, session => TokenBook.Read(session.Gossip(), session.State().Leaves, Now));

    // MIP-05: decoys are real tokens. The own one every other time, and of other groups a tenth to a fifth, three at least.
    private List<byte[]> Decoys(string groupId, Bytes32 server, TokenDialect dialect, IEnumerable<GossipToken> own, int count)
    {
        var decoys = new List<byte[]>();
        if (RandomNumberGenerator.GetInt32(2) == 0)
        {
            decoys.AddRange(own.Where(token => token.Server == server && token.Dialect == dialect).Select(token => token.Token));
        }

        var elsewhere = _sessions.Values.Where(session => session.IsActive && session.GroupId != groupId)
            .SelectMany(session => GetPushTokens(session.GroupId))
            .Where(token => token.Server == server && token.Dialect == dialect)
            .Select(token => token.Token)
            .ToArray();
        RandomNumberGenerator.Shuffle<byte[]>(elsewhere);
        int wanted = Math.Max(MinDecoys, (int)Math.Ceiling(count * (0.1 + (0.1 * Random.Shared.NextDouble()))));
        decoys.AddRange(elsewhere.Take(wanted));
        return decoys;
    }

    private async Task<IReadOnlyList<PublishedEvent>> RenewPushAsync(CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        foreach (var session in _sessions.Values.Where(one => one.IsActive).ToList())
        {
            if (_store.GetJson<PushRegistration>(PushKey(session.GroupId)) is { } registration && registration.ToldAt < Now - (long)RenewTokensAfter.TotalSeconds)
            {
                published.Add((await RegisterPushAsync(session.GroupId, registration, cancellationToken)).Published);
            }

            published.AddRange((await AnswerPushGossipAsync(session.GroupId, cancellationToken)).Select(sent => sent.Published));
        }

        return published;
    }
}
