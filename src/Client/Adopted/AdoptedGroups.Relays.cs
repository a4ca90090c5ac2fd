using System.Text;
using System.Threading.Channels;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Adopted;

/// <summary>Looks at relays, once or live, and settles what a look leaves open.</summary>
internal sealed partial class AdoptedGroups
{
    private static IReadOnlyList<string> Places(AdoptedGroup group) => RelayUrls.Distinct([.. group.Relays, .. group.OtherRelays]);

    private static Filter FilterOf(IReadOnlyList<Bytes32> routing, long since) => new()
    {
        Kinds = [GroupEvent.Kind],
        Tags = new Dictionary<char, string[]> { ['h'] = [.. routing.Select(id => id.ToString())] },
        Since = since == 0 ? null : since,
    };

    // Everything stored that is new, and again until nothing moves.
    private async Task LookAsync(string groupId, GroupReport report, bool commitLeaves, CancellationToken cancellationToken)
    {
        for (int look = 0; look < 8; look++)
        {
            var (relays, routing) = Read(groupId, group => (Places(group), group.RoutingIds));
            long askedAt = _account.Now;
            var answers = await Task.WhenAll(relays.Select(relay => _relays.Network.FetchAsync(
                relay, FilterOf(routing, _caughtUp.TryGetValue(Mark(groupId, relay), out long at) ? Math.Max(1, at - LateSeconds) : 0), asAccount: false,
                    cancellationToken)));
            bool isComplete = answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete);
            var events = answers.SelectMany(answer => answer.Events).DistinctBy(evt => evt.Id).OrderBy(evt => evt.CreatedAt).ThenBy(evt => evt.Id).ToList();
            bool hasRoom = await InsideAsync(groupId, group =>
            {
                Add(report, group.Receive(events, isComplete));
                return !group.HasOverflow;
            }, cancellationToken);
            _outbox.MarkShown(events);
            if (isComplete)
            {
                _outbox.SendAgainWhatIsMissing(groupId, [.. events.Select(evt => evt.Id)], askedAt, askedAt - LateSeconds);
            }

            foreach (var answer in answers)
            {
                if (answer.Complete && hasRoom)
                {
                    _caughtUp[Mark(groupId, answer.Relay)] = askedAt;
                }
                else if (!answer.Complete && look == 0)
                {
                    report.Unreachable.Add($"{answer.Relay}: {answer.Message}");
                }
            }

            bool moved = await PassAsync(groupId, report, cancellationToken);
            moved |= await FinishPendingAsync(groupId, commitLeaves, report, cancellationToken);
            if (!moved && Read(groupId, group => group.RoutingIds.SequenceEqual(routing)))
            {
                return;
            }
        }
    }

    private static string Mark(string groupId, string relay) => $"{groupId} {relay}";

    // Waits for the passes that are open; true when there were any.
    private async Task<bool> PassAsync(string groupId, GroupReport report, CancellationToken cancellationToken)
    {
        bool was = false;
        while (Read(groupId, group => group.Remaining) is { } remaining)
        {
            was = true;
            await Task.Delay(remaining < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : remaining, _account.Time, cancellationToken);
            Add(report, await InsideAsync(groupId, group => group.Tick(), cancellationToken));
        }

        return was;
    }

    // What a look at the relays leaves to do; true when something was done.
    private async Task<bool> FinishPendingAsync(string groupId, bool commitLeaves, GroupReport report, CancellationToken cancellationToken)
    {
        bool did = false;

        // 1. An own commit without an answer: does a relay have it?
        if (Read(groupId, group => group.Pending) is { } pending)
        {
            did = true;
            var answers = await Task.WhenAll(pending.Relays
                .Select(relay => _relays.Network.FetchAsync(relay, new Filter { Ids = [pending.EventId] }, asAccount: false, cancellationToken)));
            bool isShown = answers.Any(answer => answer.Events.Any(found => found.Id == pending.EventId));
            if (!isShown && NostrEvent.TryParse(Encoding.UTF8.GetBytes(pending.EventJson), out var evt, out _))
            {
                var published = await _relays.PublishAsync(evt, pending.Relays, cancellationToken);
                isShown = published.Acked;
                if (published.IsRefused || (!isShown && pending.CreatedAt + MaxPendingSeconds < _account.Now))
                {
                    await InsideAsync(groupId, Abandon, cancellationToken);
                }
            }

            if (isShown)
            {
                await InsideAsync(groupId, Confirm, cancellationToken);
            }
        }

        // 2. The wish to leave, where the group has come to; changes that wait; members who leave.
        string? dropped = null;
        IReadOnlyList<string> relays = [];
        bool isCommit = true;
        var made = await InsideAsync(
            groupId,
            group =>
            {
                group.Tick();
                Welcome(group);
                relays = group.Relays;
                if (group.MustRepeatLeave)
                {
                    isCommit = false;
                    return group.CreateLeave();
                }

                return group.StageQueued(out dropped) ?? (commitLeaves && group.HasLeavesToCommit ? group.StageLeaves() : null);
            },
            cancellationToken);
        if (dropped is not null)
        {
            report.Incidents.Add(new GroupIncident(default, GroupOutcome.LostRace, dropped));
        }

        if (made is not null && isCommit)
        {
            did = true;
            try
            {
                await PublishCommitAsync(groupId, made, relays, isFounding: false, cancellationToken);
            }
            catch (ClientException)
            {
                // The commit is dropped, or waits for the next look.
            }
        }

        await _outbox.FlushAsync(entry => entry.GroupId == groupId, cancellationToken);
        return did;
    }

    // New events as they come, and passes as they are due.
    private async Task ListenAsync(string groupId, GroupReport report, Func<bool> isDone, bool commitLeaves, Func<GroupReport, Task> onReport,
        CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested && Read(groupId, group => group.IsActive))
        {
            var (relays, routing) = Read(groupId, group => (Places(group), group.RoutingIds));
            var filter = Read(groupId, group => FilterOf(group.RoutingIds, Math.Max(1, _account.Now - LateSeconds)));
            var arrived = Channel.CreateUnbounded<NostrEvent>(new UnboundedChannelOptions { SingleReader = true });
            using var turn = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var listening = relays.Select(relay =>
                _relays.Network.ListenAsync(relay, filter, asAccount: false, evt => arrived.Writer.TryWrite(evt), turn.Token)).ToList();
            try
            {
                while (Read(groupId, group => group.IsActive && group.RoutingIds.SequenceEqual(routing) && Places(group).SequenceEqual(relays)))
                {
                    var events = await NextAsync(arrived.Reader, Read(groupId, group => group.Remaining), cancellationToken);
                    var step = new GroupReport();
                    await InsideAsync(groupId, group =>
                    {
                        Add(step, group.Receive(events));
                        Add(step, group.Tick());
                        return true;
                    }, cancellationToken);
                    _outbox.MarkShown(events);
                    if (Read(groupId, group => group.IsQuiet))
                    {
                        await FinishPendingAsync(groupId, commitLeaves, step, cancellationToken);
                    }

                    Add(report, step);
                    await onReport(step);
                    if (isDone())
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

    private async Task<List<NostrEvent>> NextAsync(ChannelReader<NostrEvent> reader, TimeSpan? remaining, CancellationToken cancellationToken)
    {
        var events = new List<NostrEvent>();
        using var due = remaining is { } time ? new CancellationTokenSource(time, _account.Time) : new CancellationTokenSource();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(due.Token, cancellationToken);
        try
        {
            await reader.WaitToReadAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // A pass is due.
        }

        while (reader.TryRead(out var evt))
        {
            events.Add(evt);
        }

        return events;
    }

    private static void Add(GroupReport sum, GroupReport part)
    {
        foreach (var one in part.Incidents)
        {
            sum.Incidents.Add(one);
        }

        foreach (var one in part.Messages)
        {
            sum.Messages.Add(one);
        }

        foreach (var one in part.Withdrawn)
        {
            sum.Withdrawn.Add(one);
        }
    }
}
