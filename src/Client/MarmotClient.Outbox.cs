using System.Collections.Concurrent;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client;

public sealed partial class MarmotClient
{
    /// <summary>Relays may refuse what is older; an application message is dated anew then, a commit never, since its date is its rank.</summary>
    private const int FreshSeconds = 300;

    /// <summary>A commit without an answer is sent again this long and no longer: a late one would overturn what others did since.</summary>
    private const int CommitRetrySeconds = 60;

    private const int MaxPublishing = 16;

    /// <summary>How long a list of inbox relays is taken for the owner's newest.</summary>
    private static readonly TimeSpan InboxListPause = TimeSpan.FromMinutes(10);

    private readonly ConcurrentDictionary<Bytes32, (IReadOnlyList<string> Relays, long ReadAt)> _inboxes = new();

    /// <summary>Events that still must reach a relay.</summary>
    public int OutboxCount => _store.Scan("o/").Count(pair => StoreJson.Read<OutboxEntry>(pair.Value).AckedAt == 0);

    /// <summary>Goes on where a crash or a lost connection stopped: pending commits, Welcomes owed, messages not yet taken.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken = default)
    {
        using var gate = await EnterAsync(cancellationToken);
        var batch = new StoreBatch();
        ForgetRetiredKeyPackages(batch);
        _store.Commit(batch, durable: false);
        foreach (var session in _sessions.Values.Where(one => one.Pending is not null).ToList())
        {
            await SettlePendingAsync(session, cancellationToken);
        }

        await FlushOutboxAsync(_ => true, cancellationToken);
    }

    /// <summary>The Welcomes of a merged commit as outbox entries: a rumor of its own for each invitee, in a gift wrap of its own (MIP-02).</summary>
    private Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> OweWelcomes(GroupSession session) => (batch, welcome, invitees) =>
    {
        string content = Convert.ToBase64String(welcome.ToBytes());
        var relays = session.Relays;
        foreach (var invitee in invitees)
        {
            var rumor = Rumor.Create(
                PublicKey,
                MarmotNumbers.WelcomeKind,
                [["relays", .. relays], ["e", invitee.KeyPackageEventId.ToString()], ["client", "marmot-server"], ["encoding", "base64"]],
                content,
                Now);
            var wrap = GiftWrap.Create(rumor, _key, invitee.PublicKey, _time);
            batch.PutJson(
                GroupSession.OutboxKey(wrap.Id),
                new OutboxEntry(System.Text.Encoding.UTF8.GetString(wrap.Json.Span), wrap.Kind, wrap.CreatedAt, [.. relays], session.GroupId, session.Epoch, null) { Recipient = invitee.PublicKey });
        }
    };

    /// <summary>Sends what waits, the oldest first, several at a time.</summary>
    private async Task<IReadOnlyList<PublishedEvent>> FlushOutboxAsync(Func<OutboxEntry, bool> wanted, CancellationToken cancellationToken)
    {
        await _store.FlushAsync(cancellationToken);
        var waiting = _store.Scan("o/").Select(pair => StoreJson.Read<OutboxEntry>(pair.Value)).Where(entry => entry.AckedAt == 0 && wanted(entry)).OrderBy(entry => entry.CreatedAt).ToList();
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

        if (entry is { Kind: GroupEvent.Kind, Message: not null } && evt.CreatedAt < Now - FreshSeconds)
        {
            evt = Redate(entry, evt);
        }

        IReadOnlyList<string> relays = entry.Relays;
        if (entry.Recipient is { } reader && await InboxOfAsync(reader, entry.Relays, cancellationToken) is { Count: > 0 } inbox)
        {
            relays = inbox;
        }

        var published = await PublishAsync(evt, relays, cancellationToken);
        SettleOutbox(published, isRepeated: true);
        return published;
    }

    // The same sealed message in a new envelope: readers tell repeats apart by the message, relays see a new event.
    private NostrEvent Redate(OutboxEntry entry, NostrEvent evt)
    {
        using var oneTime = SecretKey.Generate();
        var again = NostrEvent.Create(oneTime, evt.Kind, evt.Tags, evt.Content, Now);
        var batch = new StoreBatch();
        batch.Delete(GroupSession.OutboxKey(evt.Id));
        batch.PutJson(GroupSession.OutboxKey(again.Id), entry with { EventJson = System.Text.Encoding.UTF8.GetString(again.Json.Span), CreatedAt = again.CreatedAt });
        _store.Commit(batch);
        return again;
    }

    /// <summary>
    /// Notes an answer: an OK ends it for wraps, and for group events once a relay has shown the event. A refusal by all ends a first attempt, whose caller learns of it; what is repeated in
    /// the background was promised, so only a refusal that will not change ends it.
    /// </summary>
    private void SettleOutbox(PublishedEvent published, bool isRepeated = false)
    {
        string key = GroupSession.OutboxKey(published.EventId);
        if (_store.GetJson<OutboxEntry>(key) is not { } entry)
        {
            return;
        }

        var batch = new StoreBatch();
        if (published.Acked && entry.Kind == GroupEvent.Kind)
        {
            batch.PutJson(key, entry with { AckedAt = Now });
        }
        else if (published.Acked || (published.IsRefused && published.Replies.Count > 0 && (!isRepeated || published.IsRefusedForGood)))
        {
            batch.Delete(key);
        }

        _store.Commit(batch, durable: false);
    }

    /// <summary>A relay showed these: nothing of them has to be sent again.</summary>
    private void MarkShown(IEnumerable<NostrEvent> events)
    {
        var batch = new StoreBatch();
        foreach (var evt in events)
        {
            string key = GroupSession.OutboxKey(evt.Id);
            if (_store.Get(key) is not null)
            {
                batch.Delete(key);
            }
        }

        _store.Commit(batch, durable: false);
    }

    /// <summary>Relays said OK and do not have it: their promise was empty, it is sent again.</summary>
    private void SendAgainWhatIsMissing(GroupSession session, HashSet<Bytes32> shown, long askedAt, long since)
    {
        var batch = new StoreBatch();
        foreach (var (key, value) in _store.Scan("o/"))
        {
            var entry = StoreJson.Read<OutboxEntry>(value);
            if (entry.GroupId == session.GroupId && entry.AckedAt > 0 && entry.AckedAt < askedAt - 1 && !shown.Contains(Bytes32.ParseHex(key[2..])))
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

        _store.Commit(batch, durable: false);
    }

    private async Task<IReadOnlyList<string>> InboxOfAsync(Bytes32 account, IReadOnlyList<string> also, CancellationToken cancellationToken)
    {
        long oldest = Now - (long)InboxListPause.TotalSeconds;
        if (_inboxes.TryGetValue(account, out var known) && known.ReadAt >= oldest)
        {
            return known.Relays;
        }

        foreach (var (old, _) in _inboxes.Where(pair => pair.Value.ReadAt < oldest))
        {
            _inboxes.TryRemove(old, out _);
        }

        var lists = await FetchAsync(
            RelayUrls.Distinct([.. Settings.Relays, .. also]),
            new Filter { Authors = [account], Kinds = [MarmotNumbers.InboxRelaysKind] },
            asAccount: false,
            cancellationToken);
        var relays = RelaysOf(lists, MarmotNumbers.InboxRelaysKind, "relay");
        if (relays.Count > 0)
        {
            _inboxes[account] = (relays, Now);
        }

        return relays;
    }

    /// <summary>An own commit whose answer stayed away, and which the last look at the relays did not show.</summary>
    private async Task SettlePendingAsync(GroupSession session, CancellationToken cancellationToken)
    {
        if (session.Pending is not { } pending || !NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(pending.EventJson), out var evt, out _))
        {
            return;
        }

        // 1. Does a relay have it?
        var answers = await Task.WhenAll(session.Relays.Select(relay => _network.FetchAsync(relay, new Filter { Ids = [pending.EventId] }, asAccount: false, cancellationToken)));
        bool isShown = answers.Any(answer => answer.Events.Any(found => found.Id == pending.EventId));

        // 2. If it is young, send it again; an old one would be found by nobody who has moved on.
        if (!isShown && pending.CreatedAt >= Now - CommitRetrySeconds)
        {
            var published = await PublishAsync(evt, session.Relays, cancellationToken);
            isShown = published.Acked;
            if (published.IsRefused)
            {
                session.AbandonCommit();
            }
        }
        else if (!isShown && answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete))
        {
            session.AbandonCommit();
        }

        // 3. Somebody has it: it is in force.
        if (isShown)
        {
            session.ConfirmCommit(OweWelcomes(session));
        }
    }
}
