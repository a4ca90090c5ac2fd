using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Protocol.Events;

namespace Marmot.Client.Sending;

/// <summary>Sends application messages: sealed and stored inside the gate, flushed and published outside it.</summary>
internal sealed class MessageSender
{
    /// <summary>Own messages run this many seconds ahead of the clock at most; then sending waits.</summary>
    private const int MaxSecondsAhead = 240;

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;

    public MessageSender(Account account, GroupSessions sessions, RelayRequests relays, Outbox outbox)
        => (_account, _sessions, _relays, _outbox) = (account, sessions, relays, outbox);

    /// <summary>Sends a message to a group.</summary>
    public async Task<SentMessage> SendAsync(string groupId, string content, int kind = MarmotNumbers.ChatKind, IReadOnlyList<string[]>? tags = null, CancellationToken cancellationToken = default)
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
        NostrEvent evt;
        Rumor rumor;
        IReadOnlyList<string> relays;
        using (await _sessions.EnterAsync(cancellationToken))
        {
            var session = _sessions.Require(groupId);
            if (epoch is { } wanted && session.Epoch != wanted)
            {
                return null;
            }

            while (session.SecondsAhead > MaxSecondsAhead)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _account.Time, cancellationToken);
            }

            rumor = Rumor.Create(_account.PublicKey, kind, tags, content, _account.Now);
            (evt, _) = session.CreateMessage(rumor);
            relays = session.Relays;
        }

        // Outside the gate: many messages may be under way at once, and share a flush.
        await _account.Store.FlushAsync(CancellationToken.None);
        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        _outbox.Settle(published);
        return published.IsRefused && relays.Count > 0 ? throw new ClientException($"no relay took the message: {published.Reasons}") : new SentMessage(rumor, published);
    }
}
