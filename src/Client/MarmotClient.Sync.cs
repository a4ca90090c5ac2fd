using System.Collections.Concurrent;
using System.Threading.Channels;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Groups;

namespace Marmot.Client;

public sealed partial class MarmotClient
{
    /// <summary>A change of relays or routing id inside what was read means one more look, but not for ever.</summary>
    private const int MaxLooks = 6;

    /// <summary>How often a watcher asks its inbox relays for what a listening connection may have missed.</summary>
    private static readonly TimeSpan InboxPause = TimeSpan.FromMinutes(1);

    /// <summary>A relay the group has left is often one that is gone: after a failure it is left alone for a while.</summary>
    private static readonly TimeSpan FormerRelayPause = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, long> _formerRelayFailures = new(StringComparer.Ordinal);

    /// <summary>Reads what the group's relays have, lets it take effect, and settles what was left open.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="untilEpoch">Goes on listening until this epoch is reached or the time is over.</param>
    /// <param name="wait">How long to listen; without an epoch this long in any case.</param>
    /// <param name="commitLeaves">Commits the self_remove of others at once, as MDK does.</param>
    /// <param name="cancellationToken">Ends it; what was read stays read.</param>
    public async Task<GroupReport> SyncAsync(string groupId, ulong? untilEpoch = null, TimeSpan? wait = null, bool commitLeaves = false, CancellationToken cancellationToken = default)
    {
        var session = Session(groupId);
        var report = new GroupReport();
        await LookAsync(session, report, commitLeaves, cancellationToken);
        if (wait is { } limit && limit > TimeSpan.Zero && (untilEpoch is not { } epoch || session.Epoch < epoch))
        {
            using var deadline = new CancellationTokenSource(limit, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            await ListenAsync(session, report, untilEpoch, commitLeaves, either.Token);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return report;
    }

    /// <summary>Reads every active group.</summary>
    public async Task<IReadOnlyDictionary<string, GroupReport>> SyncAllAsync(bool commitLeaves = false, CancellationToken cancellationToken = default)
    {
        var reports = new Dictionary<string, GroupReport>(StringComparer.Ordinal);
        foreach (var session in _sessions.Values.Where(one => one.IsActive).ToList())
        {
            reports.Add(session.GroupId, await SyncAsync(session.GroupId, commitLeaves: commitLeaves, cancellationToken: cancellationToken));
        }

        return reports;
    }

    /// <summary>What MIP-00 and MIP-02 ask of a client from time to time: renews keys in groups just joined, replaces used key packages, wipes retired ones, renews and answers push tokens.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> MaintainAsync(CancellationToken cancellationToken = default)
    {
        await ResumeAsync(cancellationToken);
        var published = new List<PublishedEvent>();
        foreach (var session in _sessions.Values.Where(one => one.NeedsSelfUpdate).ToList())
        {
            published.AddRange(await SelfUpdateAsync(session.GroupId, cancellationToken));
        }

        published.AddRange(await RenewKeyPackagesAsync(cancellationToken));
        published.AddRange(await RenewPushAsync(cancellationToken));
        return published;
    }

    /// <summary>Follows all groups live until cancelled: messages of others as they arrive, and invitations when they are wanted.</summary>
    /// <param name="onMessage">Called for each message, one at a time.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <param name="onJoined">Called for each group joined meanwhile, which is then followed too; null accepts no invitations.</param>
    /// <remarks>What a callback throws ends it and is thrown.</remarks>
    public async Task WatchAsync(Func<GroupMessage, Task> onMessage, CancellationToken cancellationToken, Func<JoinedGroup, Task>? onJoined = null)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var oneAtATime = new SemaphoreSlim(1, 1);
        var following = new Dictionary<string, Task>(StringComparer.Ordinal);
        Follow();
        try
        {
            while (onJoined is not null)
            {
                var report = await AcceptInvitesAsync(InboxPause, ending.Token);
                Follow();
                foreach (var joined in report.Joined)
                {
                    await onJoined(joined);
                }

                if (report.Failed.Count > 0 && report.Joined.Count == 0)
                {
                    await Task.Delay(InboxPause, _time, ending.Token); // a Welcome that may still be opened later is shown again at once
                }
            }

            await Task.WhenAll(following.Values);
        }
        catch (OperationCanceledException) when (ending.IsCancellationRequested)
        {
            await Task.WhenAll(following.Values); // throws what ended it, if anything did
        }
        finally
        {
            await ending.CancelAsync();
            await Task.WhenAll(following.Values).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        void Follow()
        {
            foreach (var session in _sessions.Values.Where(one => one.IsActive && (!following.TryGetValue(one.GroupId, out var task) || task.IsCompleted)))
            {
                following[session.GroupId] = FollowAsync(session.GroupId, onMessage, oneAtATime, ending);
            }
        }
    }

    private async Task FollowAsync(string groupId, Func<GroupMessage, Task> onMessage, SemaphoreSlim oneAtATime, CancellationTokenSource ending)
    {
        try
        {
            while (!ending.IsCancellationRequested && _sessions.TryGetValue(groupId, out var session) && session.IsActive)
            {
                var report = new GroupReport();
                await LookAsync(session, report, commitLeaves: true, ending.Token);
                await HandOverAsync(report, onMessage, oneAtATime);
                await ListenAsync(session, report, null, commitLeaves: true, ending.Token, () => HandOverAsync(report, onMessage, oneAtATime));
            }
        }
        catch (OperationCanceledException) when (ending.IsCancellationRequested)
        {
            // That is how it ends.
        }
        catch
        {
            await ending.CancelAsync();
            throw;
        }
    }

    /// <summary>The group events on the group's relays as they lie there, oldest first: for comparing and for finding faults.</summary>
    public async Task<IReadOnlyList<NostrEvent>> FetchGroupEventsAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var session = Session(groupId);
        var events = await FetchAsync(session.Relays, GroupFilter(session.RoutingIds, since: 0), asAccount: false, cancellationToken);
        return [.. events.OrderBy(evt => evt.CreatedAt).ThenBy(evt => evt.Id)];
    }

    /// <summary>The account's gift wraps on its inbox relays as they lie there.</summary>
    public Task<IReadOnlyList<NostrEvent>> FetchGiftWrapsAsync(CancellationToken cancellationToken = default) =>
        FetchAsync(Settings.InboxRelays, new Filter { Kinds = [Protocol.GiftWraps.GiftWrap.Kind], Tags = new Dictionary<char, string[]> { ['p'] = [PublicKey.ToString()] } }, asAccount: true, cancellationToken);

    /// <summary>One event by its id, from the account's relays; null when none has it.</summary>
    public async Task<NostrEvent?> FetchEventAsync(Bytes32 id, CancellationToken cancellationToken = default)
    {
        var relays = RelayUrls.Distinct([.. Settings.Relays, .. Settings.KeyPackageRelays]);
        return (await FetchAsync(relays, new Filter { Ids = [id] }, asAccount: false, cancellationToken)).FirstOrDefault(evt => evt.Id == id);
    }

    private static async Task HandOverAsync(GroupReport report, Func<GroupMessage, Task> onMessage, SemaphoreSlim oneAtATime)
    {
        await oneAtATime.WaitAsync();
        try
        {
            foreach (var message in report.Messages)
            {
                await onMessage(message);
            }
        }
        finally
        {
            oneAtATime.Release();
        }

        report.Messages.Clear();
        report.Incidents.Clear();
    }

    // Everything stored that is new, again when the group moved to other relays meanwhile.
    private async Task LookAsync(GroupSession session, GroupReport report, bool commitLeaves, CancellationToken cancellationToken)
    {
        for (int look = 0; look < MaxLooks; look++)
        {
            var relays = session.Relays;
            var routing = session.RoutingIds.ToList();
            long askedAt = Now;
            long since = relays.Count == 0 ? 0 : relays.Min(session.Since);
            var former = AskFormerAsync(session, routing, cancellationToken);
            var answers = await Task.WhenAll(relays.Select(relay => _network.FetchAsync(relay, GroupFilter(routing, session.Since(relay)), asAccount: false, cancellationToken)));
            var left = await former;
            var events = answers.Concat(left).SelectMany(answer => answer.Events).DistinctBy(evt => evt.Id).ToList();
            using (await EnterAsync(cancellationToken))
            {
                foreach (var answer in answers.Concat(left).Where(answer => answer.Complete))
                {
                    session.MarkCaughtUp(answer.Relay, askedAt);
                }

                Add(report, session.Receive(events, OweWelcomes(session)));
                MarkShown(events);
                if (answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete))
                {
                    SendAgainWhatIsMissing(session, [.. events.Select(evt => evt.Id)], askedAt, since);
                }

                await SettleAsync(session, commitLeaves, cancellationToken);
            }

            foreach (var answer in answers.Where(answer => !answer.Complete))
            {
                report.Unreachable.Add($"{answer.Relay}: {answer.Message}");
            }

            if (session.Relays.SequenceEqual(relays) && session.RoutingIds.SequenceEqual(routing))
            {
                return;
            }
        }
    }

    // What members who have not seen the group move still write to its old relays.
    private async Task<IReadOnlyList<RelayFetch>> AskFormerAsync(GroupSession session, IReadOnlyList<Bytes32> routing, CancellationToken cancellationToken)
    {
        long now = Now;
        var relays = session.FormerRelays.Where(relay => !_formerRelayFailures.TryGetValue(relay, out long failedAt) || failedAt < now - (long)FormerRelayPause.TotalSeconds);
        var answers = await Task.WhenAll(relays.Select(relay => _network.FetchAsync(relay, GroupFilter(routing, session.Since(relay)), asAccount: false, cancellationToken)));
        foreach (var answer in answers.Where(answer => !answer.Complete))
        {
            _formerRelayFailures[answer.Relay] = now;
        }

        return answers;
    }

    // New events as they come, until the epoch is reached or the time is over.
    private async Task ListenAsync(GroupSession session, GroupReport report, ulong? untilEpoch, bool commitLeaves, CancellationToken cancellationToken, Func<Task>? onReport = null)
    {
        while (!cancellationToken.IsCancellationRequested && session.IsActive)
        {
            var relays = session.Relays;
            var routing = session.RoutingIds.ToList();
            var arrived = Channel.CreateUnbounded<NostrEvent>(new UnboundedChannelOptions { SingleReader = true });
            using var turn = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var filter = GroupFilter(routing, relays.Count == 0 ? 0 : relays.Min(session.Since));
            var listening = relays.Concat(session.FormerRelays).Select(relay => _network.ListenAsync(relay, filter, asAccount: false, evt => arrived.Writer.TryWrite(evt), turn.Token)).ToList();
            try
            {
                while (session.Relays.SequenceEqual(relays) && session.RoutingIds.SequenceEqual(routing) && session.IsActive)
                {
                    var events = new List<NostrEvent> { await arrived.Reader.ReadAsync(cancellationToken) };
                    while (arrived.Reader.TryRead(out var next))
                    {
                        events.Add(next);
                    }

                    using (await EnterAsync(cancellationToken))
                    {
                        if (!_sessions.TryGetValue(session.GroupId, out var current) || current != session)
                        {
                            return; // joined anew meanwhile
                        }

                        Add(report, session.Receive(events, OweWelcomes(session)));
                        MarkShown(events);
                        await SettleAsync(session, commitLeaves, cancellationToken);
                    }

                    if (onReport is not null)
                    {
                        await onReport();
                    }

                    if (untilEpoch is { } epoch && session.Epoch >= epoch)
                    {
                        return;
                    }
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            finally
            {
                await turn.CancelAsync();
                await Task.WhenAll(listening);
            }
        }
    }

    // What a look at the relays leaves to do; inside the gate.
    private async Task SettleAsync(GroupSession session, bool commitLeaves, CancellationToken cancellationToken)
    {
        await SettlePendingAsync(session, cancellationToken);
        if (session.IsActive && session.MustRepeatLeave)
        {
            session.CreateLeave(); // the epoch it was uttered in is over; the outbox sends it
        }

        session.SealOldMessagesAnew(_store.Scan("o/").Select(pair => StoreJson.Read<OutboxEntry>(pair.Value)));
        await FlushOutboxAsync(entry => entry.GroupId == session.GroupId, cancellationToken);
        if (commitLeaves && session.IsActive && session.Pending is null && session.CommittableProposals().Any(one => CommitPolicy.IsLeave(one.Proposal, one.Sender)))
        {
            try
            {
                await CommitPendingInsideAsync(session, cancellationToken);
            }
            catch (ClientException)
            {
                // Somebody else will, or the next sync.
            }
        }
    }

    private static Filter GroupFilter(IReadOnlyList<Bytes32> routing, long since) => new()
    {
        Kinds = [GroupEvent.Kind],
        Tags = new Dictionary<char, string[]> { ['h'] = [.. routing.Select(id => id.ToString())] },
        Since = since,
    };

    private static void Add(GroupReport sum, GroupReport part)
    {
        foreach (var incident in part.Incidents)
        {
            sum.Incidents.Add(incident);
        }

        foreach (var message in part.Messages)
        {
            sum.Messages.Add(message);
        }

        sum.Resent += part.Resent;
    }
}
