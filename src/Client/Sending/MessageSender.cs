using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Protocol.Events;

namespace Marmot.Client.Sending;

/// <summary>Sends application messages: sealed and stored inside the gate, flushed and published outside it.</summary>
internal sealed class MessageSender
{
    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;
    private readonly KeyRenewal _renewal;

    public MessageSender(Account account, GroupSessions sessions, RelayRequests relays, Outbox outbox, KeyRenewal renewal)
        => (_account, _sessions, _relays, _outbox, _renewal) = (account, sessions, relays, outbox, renewal);

    /// <summary>Sends a message to a group.</summary>
    public async Task<SentMessage> SendAsync(string groupId, string content, int kind = MarmotNumbers.ChatKind, IReadOnlyList<string[]>? tags = null,
        CancellationToken cancellationToken = default)
    {
        return (await SendInEpochAsync(groupId, content, tags ?? [], null, cancellationToken, kind))!;
    }

    /// <summary>Reacts to a message.</summary>
    public Task<SentMessage> ReactAsync(string groupId, Rumor message, string emoji, CancellationToken cancellationToken = default) =>
        SendAsync(groupId, emoji, MarmotNumbers.ReactionKind, [["e", message.Id.ToString()], ["p", message.PublicKey.ToString()]], cancellationToken);

    /// <summary>The same, or null when the epoch is another one than wanted.</summary>
    public async Task<SentMessage?> SendInEpochAsync(
        string groupId, string content, IReadOnlyList<string[]> tags, ulong? epoch, CancellationToken cancellationToken, int kind = MarmotNumbers.ChatKind)
    {
        NostrEvent? evt = null;
        Rumor rumor = null!;
        IReadOnlyList<string> relays = [];
        while (evt is null)
        {
            await _renewal.EnsureAsync(groupId, cancellationToken);
            using (await _sessions.EnterAsync(cancellationToken))
            {
                var session = _sessions.Require(groupId);
                if (epoch is { } wanted && session.Epoch != wanted)
                {
                    return null;
                }

                if (session.Dates.SecondsAhead <= EventDates.MaxSecondsAhead)
                {
                    rumor = Rumor.Create(_account.PublicKey, kind, tags, content, _account.Now);
                    (evt, _) = session.CreateMessage(rumor);
                    relays = session.Relays;
                }
            }

            if (evt is null)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _account.Time, cancellationToken); // outside the gate: other groups go on
            }
        }

        // Outside the gate: many messages may be under way at once, and share a flush.
        await _account.Store.FlushAsync(CancellationToken.None);
        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        _outbox.TakeReplies(published);
        return published.IsRefused && relays.Count > 0
            ? throw new ClientException($"no relay took the message: {published.Reasons}")
            : new SentMessage(rumor, published);
    }
}
