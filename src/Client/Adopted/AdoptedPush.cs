using Marmot.Client.Accounts;
using Marmot.Client.Push;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Components;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;

namespace Marmot.Client.Adopted;

/// <summary>Push of groups of the adopted profile: marmot-push-v1 entries, each signed by its owner, and triggers padded with random blocks.</summary>
internal sealed class AdoptedPush(Account account, AdoptedGroups groups, GroupPush push)
{
    /// <summary>Tokens in one trigger: what passes through relays that take 64 KiB.</summary>
    private const int MaxTokens = 19;

    /// <summary>Tells the group, encrypted to the server, how to ring this device (kind 447).</summary>
    public async Task<SentMessage> RegisterAsync(string groupId, PushRegistration registration, CancellationToken cancellationToken)
    {
        var dialect = TokenDialect.MarmotPushV1;
        if (!RelayUrls.IsValid(registration.RelayHint) || !EncryptedToken.CanEncrypt(dialect, registration.Platform, registration.DeviceToken.Length))
        {
            throw new ClientException("the relay hint or the device token does not fit marmot-push-v1");
        }

        byte[] token = new byte[dialect.TokenSize];
        if (!EncryptedToken.TryCreate(dialect, registration.Platform, registration.DeviceToken, registration.Server, token))
        {
            throw new ClientException("the server's key is not on the curve");
        }

        string id = groups.Read(groupId, group => group.GroupId);
        var batch = new StoreBatch();
        batch.PutJson(PushKey(id), registration with { Dialect = dialect, ToldAt = account.Now });
        account.Store.Commit(batch);
        return await SendAsync(id, PushGossip.UpdateKind, registration, token, cancellationToken);
    }

    /// <summary>Takes this device's token back (kind 449).</summary>
    public async Task<SentMessage> UnregisterAsync(string groupId, CancellationToken cancellationToken)
    {
        string id = groups.Read(groupId, group => group.GroupId);
        var registration = account.Store.GetJson<PushRegistration>(PushKey(id)) ?? throw new ClientException("no device is registered for this group");
        var batch = new StoreBatch();
        batch.Delete(PushKey(id));
        account.Store.Commit(batch);
        return await SendAsync(id, PushGossip.RemovalKind, registration, null, cancellationToken);
    }

    /// <summary>Takes the token back, when there is one: before leaving.</summary>
    public async Task ForgetAsync(string groupId, CancellationToken cancellationToken)
    {
        if (account.Store.Get(PushKey(groups.Read(groupId, group => group.GroupId))) is not null)
        {
            await UnregisterAsync(groupId, cancellationToken);
        }
    }

    /// <summary>The tokens of the other members.</summary>
    public IReadOnlyList<GossipToken> Tokens(string groupId) =>
        [.. Entries(groupId).Select(entry =>
            new GossipToken(entry.EncryptedToken!, entry.Key.Server, entry.RelayHint ?? string.Empty, (int)entry.Key.LeafIndex))];

    /// <summary>Rings the other members' devices.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> NotifyAsync(string groupId, CancellationToken cancellationToken)
    {
        var published = new List<PublishedEvent>();
        foreach (var target in Entries(groupId).GroupBy(entry => entry.Key.Server))
        {
            string hint = target.Select(entry => entry.RelayHint).FirstOrDefault(one => one is not null) ?? string.Empty;
            foreach (var part in target.Select(entry => entry.EncryptedToken!).Chunk(MaxTokens))
            {
                published.Add(await push.TriggerAsync(target.Key, TokenDialect.MarmotPushV1, part, hint, cancellationToken));
            }
        }

        return published;
    }

    private static string PushKey(string groupId) => $"p/{groupId}";

    private async Task<SentMessage> SendAsync(string groupId, int kind, PushRegistration registration, byte[]? token, CancellationToken cancellationToken) =>
        (await groups.SendAsync(
            groupId,
            group =>
            {
                var entry = PushTokenEntry.Create(
                    account.Key, group.Mls.GroupId.Span, (uint)group.Mls.OwnLeaf, registration.Platform, registration.Server,
                        PushTokenEntry.FingerprintOf(registration.Platform, registration.DeviceToken), token,
                    registration.RelayHint, account.Time.GetUtcNow().ToUnixTimeMilliseconds());
                return Rumor.Create(account.PublicKey, kind, PushGossip.Tags, PushGossip.Write(kind, [entry]), account.Now);
            },
            cancellationToken))!;

    // The newest entry of each key, of members who are where it says; removals stand for nothing.
    private List<PushTokenEntry> Entries(string groupId) => groups.Read(groupId, group =>
    {
        var book = new Dictionary<PushTokenKey, PushTokenEntry>();
        byte[] id = group.Mls.GroupId.ToArray();
        long now = account.Time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (var message in group.Messages().Where(one => one.Rumor.Kind is >= PushGossip.UpdateKind and <= PushGossip.RemovalKind))
        {
            foreach (var entry in PushGossip.TryRead(message.Rumor, id, out var entries, out _) ? entries : [])
            {
                if (!entry.IsFromTheFuture(now) && (!book.TryGetValue(entry.Key, out var known) || entry.Replaces(known, id)))
                {
                    book[entry.Key] = entry;
                }
            }
        }

        var leaves = group.Describe().Leaves.ToDictionary(leaf => (uint)leaf.Index, leaf => leaf.PublicKey);
        int own = group.Mls.OwnLeaf;
        return book.Values.Where(entry =>
            !entry.IsRemoval && entry.Key.LeafIndex != (uint)own && leaves.TryGetValue(entry.Key.LeafIndex, out var member) && member == entry.Key.Member)
            .ToList();
    });
}
