using System.Collections.Concurrent;
using System.Threading.Channels;
using Marmot.Client.Accounts;
using Marmot.Client.KeyPackages;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Client.Storage;
using Marmot.Client.Welcomes;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>Reads what relays have of the groups, lets it take effect and finishes what was left open; once, or live.</summary>
internal sealed class GroupSync
{
    /// <summary>A change of relays or routing id inside what was read means one more look, but not for ever.</summary>
    private const int MaxLooks = 6;

    /// <summary>How often a watcher asks its inbox relays for what a listening connection may have missed.</summary>
    private static readonly TimeSpan InboxPause = TimeSpan.FromMinutes(1);

    /// <summary>A relay the group has left is often one that is gone: after a failure it is left alone for a while.</summary>
    private static readonly TimeSpan FormerRelayPause = TimeSpan.FromMinutes(1);

    /// <summary>When live messages wait for earlier ones, relays are asked for all they have, at most this often: a member who skips keys on purpose must not
    /// cause more.</summary>
    private static readonly TimeSpan HoldingLookPause = TimeSpan.FromSeconds(5);

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;
    private readonly CommitPublisher _commits;
    private readonly WelcomeInbox _welcomes;
    private readonly KeyPackagePublisher _keyPackages;
    private readonly ConcurrentDictionary<string, long> _formerRelayFailures = new(StringComparer.Ordinal);

    public GroupSync(Account account, GroupSessions sessions, RelayRequests relays, Outbox outbox, CommitPublisher commits, WelcomeInbox welcomes,
        KeyPackagePublisher keyPackages)
        => (_account, _sessions, _relays, _outbox, _commits, _welcomes, _keyPackages) = (account, sessions, relays, outbox, commits, welcomes, keyPackages);

    /// <summary>Reads what the group's relays have, lets it take effect, and finishes what was left open.</summary>
    public async Task<GroupReport> SyncAsync(string groupId, ulong? untilEpoch = null, TimeSpan? wait = null, bool commitLeaves = false,
        CancellationToken cancellationToken = default)
    {
        var session = _sessions.Require(groupId);
        var report = new GroupReport();
        await LookAsync(session, report, commitLeaves, cancellationToken);
        if (wait is { } limit && limit > TimeSpan.Zero && (untilEpoch is not { } epoch || session.Epoch < epoch))
        {
            using var deadline = new CancellationTokenSource(limit, _account.Time);
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
        foreach (var session in _sessions.All.Where(one => one.IsActive).ToList())
        {
            reports.Add(session.GroupId, await SyncAsync(session.GroupId, commitLeaves: commitLeaves, cancellationToken: cancellationToken));
        }

        return reports;
    }

    /// <summary>Follows all groups live until cancelled: messages of others as they arrive, and invitations when they are wanted.</summary>
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
                var report = await _welcomes.AcceptAsync(InboxPause, ending.Token);
                Follow();
                foreach (var joined in report.Joined)
                {
                    await onJoined(joined);
                }

                if (report.Failed.Count > 0 && report.Joined.Count == 0)
                {
                    await Task.Delay(InboxPause, _account.Time, ending.Token); // a Welcome that may still be opened later is shown again at once
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
            foreach (var session in _sessions.All.Where(one => one.IsActive && (!following.TryGetValue(one.GroupId, out var task) || task.IsCompleted)))
            {
                following[session.GroupId] = FollowAsync(session.GroupId, onMessage, oneAtATime, ending);
            }
        }
    }

    /// <summary>The group events on the group's relays as they lie there, oldest first: for comparing and for finding faults.</summary>
    public async Task<IReadOnlyList<NostrEvent>> FetchEventsAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var session = _sessions.Require(groupId);
        var events = await _relays.FetchAsync(session.Relays, GroupFilter(session.RoutingIds, since: 0), asAccount: false, cancellationToken);
        return [.. events.OrderBy(evt => evt.CreatedAt).ThenBy(evt => evt.Id)];
    }

    /// <summary>Goes on where a crash or a lost connection stopped: pending commits, pending Welcomes, messages not yet taken.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken = default)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var batch = new StoreBatch();
        _keyPackages.ForgetRetired(batch);
        _account.Store.Commit(batch, durable: false);
        foreach (var session in _sessions.All.Where(one => one.Pending is not null).ToList())
        {
            await _commits.ResolveAsync(session, cancellationToken);
        }

        await _outbox.FlushAsync(_ => true, cancellationToken);
    }

    private async Task FollowAsync(string groupId, Func<GroupMessage, Task> onMessage, SemaphoreSlim oneAtATime, CancellationTokenSource ending)
    {
        try
        {
            while (!ending.IsCancellationRequested && _sessions.TryGet(groupId, out var session) && session.IsActive)
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
            long askedAt = _account.Now;
            int clockSteps = _account.Clock.CountSteps();
            long since = relays.Count == 0 ? 0 : relays.Min(relay => session.Dates.Since(relay, clockSteps));
            var former = AskFormerAsync(session, routing, clockSteps, cancellationToken);
            var answers = await Task.WhenAll(
                relays.Select(relay =>
                    _relays.Network.FetchAsync(relay, GroupFilter(routing, session.Dates.Since(relay, clockSteps)), asAccount: false, cancellationToken)));
            var left = await former;
            var events = answers.Concat(left).SelectMany(answer => answer.Events).DistinctBy(evt => evt.Id).ToList();
            bool isComplete = answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete);
            using (await _sessions.EnterAsync(cancellationToken))
            {
                foreach (var answer in answers.Concat(left).Where(answer => answer.Complete))
                {
                    session.Dates.MarkCaughtUp(answer.Relay, askedAt);
                }

                Add(report, session.Receive(events, _outbox.WelcomesOf(session), isComplete));
                _outbox.MarkShown(events);
                if (isComplete)
                {
                    session.Dates.ClockStepsAtLook = clockSteps;
                    _outbox.SendAgainWhatIsMissing(session.GroupId, [.. events.Select(evt => evt.Id)], askedAt, since);
                }

                await FinishPendingAsync(session, commitLeaves, cancellationToken);
            }

            foreach (var answer in answers.Where(answer => !answer.Complete))
            {
                report.Unreachable.Add($"{answer.Relay}: {answer.Message}");
            }

            // Another look when the group moved, and one when messages wait for others that may have arrived meanwhile.
            if (session.Relays.SequenceEqual(relays) && session.RoutingIds.SequenceEqual(routing) && (look > 0 || !session.IsHolding))
            {
                return;
            }
        }
    }

    // What members who have not seen the group move still write to its old relays.
    private async Task<IReadOnlyList<RelayFetch>> AskFormerAsync(GroupSession session, IReadOnlyList<Bytes32> routing, int clockSteps,
        CancellationToken cancellationToken)
    {
        var relays = session.FormerRelays.Where(relay => !_formerRelayFailures.TryGetValue(relay, out long failedAt)
            || _account.Time.GetElapsedTime(failedAt) > FormerRelayPause);
        var answers = await Task.WhenAll(
            relays.Select(relay =>
                _relays.Network.FetchAsync(relay, GroupFilter(routing, session.Dates.Since(relay, clockSteps)), asAccount: false, cancellationToken)));
        foreach (var answer in answers.Where(answer => !answer.Complete))
        {
            _formerRelayFailures[answer.Relay] = _account.Time.GetTimestamp();
        }

        return answers;
    }

    // New events as they come, until the epoch is reached or the time is over.
    private async Task ListenAsync(GroupSession session, GroupReport report, ulong? untilEpoch, bool commitLeaves, CancellationToken cancellationToken,
        Func<Task>? onReport = null)
    {
        long lookedAt = 0;
        while (!cancellationToken.IsCancellationRequested && session.IsActive)
        {
            var relays = session.Relays;
            var routing = session.RoutingIds.ToList();
            var arrived = Channel.CreateUnbounded<NostrEvent>(new UnboundedChannelOptions { SingleReader = true });
            using var turn = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var filter = GroupFilter(routing, relays.Count == 0 ? 0 : relays.Min(relay => session.Dates.Since(relay, _account.Clock.CountSteps())));
            var listening = relays.Concat(session.FormerRelays)
                .Select(relay => _relays.Network.ListenAsync(relay, filter, asAccount: false, evt => arrived.Writer.TryWrite(evt), turn.Token)).ToList();
            try
            {
                while (session.Relays.SequenceEqual(relays) && session.RoutingIds.SequenceEqual(routing) && session.IsActive)
                {
                    var events = new List<NostrEvent> { await arrived.Reader.ReadAsync(cancellationToken) };
                    while (arrived.Reader.TryRead(out var next))
                    {
                        events.Add(next);
                    }

                    using (await _sessions.EnterAsync(cancellationToken))
                    {
                        if (!_sessions.TryGet(session.GroupId, out var current) || current != session)
                        {
                            return; // joined anew meanwhile
                        }

                        Add(report, session.Receive(events, _outbox.WelcomesOf(session), isComplete: false));
                        _outbox.MarkShown(events);
                        await FinishPendingAsync(session, commitLeaves, cancellationToken);
                    }

                    if (session.IsHolding && _account.Time.GetElapsedTime(lookedAt) > HoldingLookPause)
                    {
                        lookedAt = _account.Time.GetTimestamp();
                        await LookAsync(session, report, commitLeaves, cancellationToken);
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
    private async Task FinishPendingAsync(GroupSession session, bool commitLeaves, CancellationToken cancellationToken)
    {
        await _commits.ResolveAsync(session, cancellationToken);
        if (session.IsActive && session.MustRepeatLeave)
        {
            session.CreateLeave(); // the epoch it was uttered in is over; the outbox sends it
        }

        session.SealOldMessagesAnew(_account.Store.Scan("o/").Select(pair => StoreJson.Read<OutboxEntry>(pair.Value)));
        await _outbox.FlushAsync(entry => entry.GroupId == session.GroupId, cancellationToken);
        if (commitLeaves && session.IsActive && session.Pending is null
            && session.CommittableProposals().Any(one => CommitPolicy.IsLeave(one.Proposal, one.Sender)))
        {
            try
            {
                await _commits.CommitPendingAsync(session, cancellationToken);
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
