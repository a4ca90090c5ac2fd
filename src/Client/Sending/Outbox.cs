using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.KeyPackages;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Sending;

/// <summary>Events that must still reach a relay, stored until one has taken them: messages, leaves, Welcomes, own commits until they were seen.</summary>
internal sealed class Outbox
{
    /// <summary>Relays may refuse what is older, or as far ahead when the clock was wrong; an application message is dated anew then, a commit never, since its
    /// date is its rank.</summary>
    private const int FreshSeconds = 300;

    private const int MaxPublishing = 16;

    private readonly Account _account;
    private readonly RelayRequests _relays;
    private readonly InboxLists _inboxes;

    public Outbox(Account account, RelayRequests relays, InboxLists inboxes)
        => (_account, _relays, _inboxes) = (account, relays, inboxes);

    /// <summary>Events that still must reach a relay.</summary>
    public int Count => _account.Store.Scan("o/").Count(pair => StoreJson.Read<OutboxEntry>(pair.Value).AckedAt == 0);

    /// <summary>The Welcomes of a merged commit as outbox entries: a rumor of its own for each invitee, in a gift wrap of its own (MIP-02).</summary>
    public Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> WelcomesOf(GroupSession session) => (batch, welcome, invitees) =>
    {
        string content = Convert.ToBase64String(welcome.ToBytes());
        var relays = session.Relays;
        foreach (var invitee in invitees)
        {
            var rumor = Rumor.Create(
                _account.PublicKey,
                MarmotNumbers.WelcomeKind,
                [["relays", .. relays], ["e", invitee.KeyPackageEventId.ToString()], ["client", "marmot-server"], ["encoding", "base64"]],
                content,
                _account.Now);
            var wrap = GiftWrap.Create(rumor, _account.Key, invitee.PublicKey, _account.Time);
            batch.PutJson(
                GroupSession.OutboxKey(wrap.Id),
                new OutboxEntry(System.Text.Encoding.UTF8.GetString(wrap.Json.Span), wrap.Kind, wrap.CreatedAt, [.. relays], session.GroupId, session.Epoch,
                    null)
                { Recipient = invitee.PublicKey });
        }
    };

    /// <summary>Sends what waits, the oldest first, several at a time.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> FlushAsync(Func<OutboxEntry, bool> wanted, CancellationToken cancellationToken)
    {
        await _account.Store.FlushAsync(cancellationToken);
        var waiting = _account.Store.Scan("o/").Select(pair => StoreJson.Read<OutboxEntry>(pair.Value))
            .Where(entry => entry is { AckedAt: 0, MustSeal: false } && wanted(entry)).OrderBy(entry => entry.CreatedAt).ToList();
        var published = new PublishedEvent?[waiting.Count];
        await Parallel.ForEachAsync(
            Enumerable.Range(0, waiting.Count),
            new ParallelOptions { MaxDegreeOfParallelism = MaxPublishing, CancellationToken = cancellationToken },
            async (index, token) => published[index] = await SendEntryAsync(waiting[index], token));
        return [.. published.OfType<PublishedEvent>()];
    }

    private async Task<PublishedEvent?> SendEntryAsync(OutboxEntry entry, CancellationToken cancellationToken)
    {
        if (!NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(entry.EventJson), out var evt, out _))
        {
            return null;
        }

        if (entry is { Kind: GroupEvent.Kind, Message: not null, KeepsDate: false }
            && (evt.CreatedAt < _account.Now - FreshSeconds || evt.CreatedAt > _account.Now + FreshSeconds))
        {
            evt = Redate(entry, evt);
        }

        IReadOnlyList<string> relays = entry.Relays;
        if (entry.Recipient is { } reader && await _inboxes.FindAsync(reader, entry.Relays, cancellationToken) is { Count: > 0 } inbox)
        {
            relays = inbox;
        }

        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        TakeReplies(published, isRepeated: true);
        return published;
    }

    // The same sealed message in a new envelope: readers tell repeats apart by the message, relays see a new event.
    private NostrEvent Redate(OutboxEntry entry, NostrEvent evt)
    {
        using var oneTime = SecretKey.Generate();
        var again = NostrEvent.Create(oneTime, evt.Kind, evt.Tags, evt.Content, _account.Now);
        var batch = new StoreBatch();
        batch.Delete(GroupSession.OutboxKey(evt.Id));
        batch.PutJson(GroupSession.OutboxKey(again.Id),
            entry with { EventJson = System.Text.Encoding.UTF8.GetString(again.Json.Span), CreatedAt = again.CreatedAt });
        _account.Store.Commit(batch);
        return again;
    }

    /// <summary>
    /// Notes an answer: an OK ends it for wraps, and for group events once a relay has shown the event. A refusal by all ends a first attempt, whose caller
    /// learns of it; what is repeated in the background was promised, so only a refusal that will not change ends it.
    /// </summary>
    public void TakeReplies(PublishedEvent published, bool isRepeated = false)
    {
        string key = GroupSession.OutboxKey(published.EventId);
        if (_account.Store.GetJson<OutboxEntry>(key) is not { } entry)
        {
            return;
        }

        var batch = new StoreBatch();
        if (published.Acked && entry.Kind == GroupEvent.Kind)
        {
            batch.PutJson(key, entry with { AckedAt = _account.Now });
        }
        else if (published.Acked || (published.IsRefused && published.Replies.Count > 0 && (!isRepeated || published.IsRefusedForGood)))
        {
            batch.Delete(key);
        }

        _account.Store.Commit(batch, durable: false);
    }

    /// <summary>A relay showed these: nothing of them has to be sent again.</summary>
    public void MarkShown(IEnumerable<NostrEvent> events)
    {
        var batch = new StoreBatch();
        foreach (var evt in events)
        {
            string key = GroupSession.OutboxKey(evt.Id);
            if (_account.Store.Get(key) is not null)
            {
                batch.Delete(key);
            }
        }

        _account.Store.Commit(batch, durable: false);
    }

    /// <summary>Relays said OK and do not have it: their promise was empty, it is sent again.</summary>
    public void SendAgainWhatIsMissing(string groupId, HashSet<Bytes32> shown, long askedAt, long since)
    {
        var batch = new StoreBatch();
        foreach (var (key, value) in _account.Store.Scan("o/"))
        {
            var entry = StoreJson.Read<OutboxEntry>(value);
            if (entry.GroupId == groupId && entry.AckedAt > 0 && (entry.AckedAt < askedAt - 1 || entry.AckedAt > askedAt + FreshSeconds)
                && !shown.Contains(Bytes32.ParseHex(key[2..])))
            {
                if (entry.CreatedAt >= since)
                {
                    batch.PutJson(key, entry with { AckedAt = 0 });
                }
                else
                {
                    batch.Delete(key);
                }
            }
        }

        _account.Store.Commit(batch, durable: false);
    }
}
